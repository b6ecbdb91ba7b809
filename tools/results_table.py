"""Write the table of results into README.md: python tools/results_table.py"""

import json
import statistics
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
README = PROJECT / "README.md"
START, END = "<!-- results: python tools/results_table.py -->", "<!-- end of results -->"
# model: (name, accuracy that the article reports on its own films)
MODELS = {
    "knn": ("nearest neighbours", ".7175"),
    "logistic_regression": ("logistic regression", ".6725"),
    "decision_tree": ("decision tree", ".6725"),
    "cnn": ("convolutional network", ".785 to .865"),
    "vgg16": ("VGG16, fine-tuned", ".8575"),
}


def median(results, model, split, score):
    """Median over the seeds, or None where nothing was measured."""
    values = [result[score] for result in results if (result["model"], result["split"]) == (model, split)]
    return statistics.median(values) if values else None


def table():
    """The lines of the table, from results/kermany.json and results/phantoms.json."""
    real, phantoms = (
        json.loads((PROJECT / "results" / f"{films}.json").read_text(encoding="utf-8"))
        for films in ("kermany", "phantoms")
    )
    lines = [
        "| model | real, validation | real, test | phantoms, test | the article | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for model, (name, article) in MODELS.items():
        if median(real, model, "test", "accuracy") is None:
            continue
        figures = [(real, "validation"), (real, "test"), (phantoms, "test")]
        cells = [f"{median(results, model, split, 'accuracy'):.3f}" for results, split in figures]
        seconds = max(1, round(median(real, model, "test", "seconds")))
        lines.append(f"| {name} | {' | '.join(cells)} | {article} | {seconds} |")
    return "\n".join(lines)


def with_table(text):
    """README's text with the present table between the two marks."""
    before, rest = text.split(START)
    return f"{before}{START}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")

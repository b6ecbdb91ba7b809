"""Write the tables of results into README.md and docs/model-card.md: python tools/results_table.py"""

import json
import os
import statistics
import sys
from pathlib import Path

import pandas as pd

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import helpers

README = PROJECT / "README.md"
MODEL_CARD = PROJECT / "docs" / "model-card.md"
RESULTS = ("<!-- results: python tools/results_table.py -->", "<!-- end of results -->")
CARD = ("<!-- model card: python tools/results_table.py -->", "<!-- end of model card -->")
FINAL_MODEL = "vgg16_augmented"
# model: (name, accuracy that the article reports on its own images)
MODELS = {
    "knn": ("nearest neighbours", ".7175"),
    "logistic_regression": ("logistic regression", ".6725"),
    "decision_tree": ("decision tree", ".6725"),
    "cnn": ("convolutional network", ".785 to .865, field .71"),
    "vgg16": ("VGG16, fine-tuned", ".8575"),
    "cnn_augmented": ("convolutional network, prepared", "field .77"),
    "vgg16_augmented": ("VGG16, prepared", ""),
}


def scores_of(images):
    return json.loads((PROJECT / "results" / f"{images}.json").read_text(encoding="utf-8"))


def median(results, model, split, score):
    """Median over the seeds."""
    return statistics.median(r[score] for r in results if (r["model"], r["split"]) == (model, split))


def results_table():
    """The lines of README's table, from results/kermany.json and results/phantoms.json."""
    real, phantoms = scores_of("kermany"), scores_of("phantoms")
    lines = [
        "| model | real, validation | real, test | real, field | phantoms, test | the article | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for model, (name, article) in MODELS.items():
        figures = [(real, "validation"), (real, "test"), (real, "field"), (phantoms, "test")]
        cells = [f"{median(results, model, split, 'accuracy'):.3f}" for results, split in figures]
        seconds = max(1, round(median(real, model, "test", "seconds")))
        lines.append(f"| {name} | {' | '.join(cells)} | {article} | {seconds} |")
    return "\n".join(lines)


def model_card_table():
    """The lines of the model card's table: the final model of seed 0 on each split, with intervals."""
    os.environ["PNEUMONIA_DATA"] = "phantoms"  # the same table of images, without looking for real ones
    patients = helpers.get_metadata().set_index("index")["patient"]
    predictions = pd.read_csv(PROJECT / "results" / "kermany_predictions.csv")
    predictions = predictions[predictions["model"] == FINAL_MODEL]
    of_the_ill = predictions.query("split == 'validation' and label == 1")["probability"].sort_values()
    threshold = of_the_ill.iloc[int(0.05 * len(of_the_ill))]
    lines = [
        f"| images | AUC | accuracy at 0.5 | sensitivity at {threshold:.2f} | specificity at {threshold:.2f} |",
        "| --- | --- | --- | --- | --- |",
    ]
    for split in ("validation", "test", "field"):
        rows = predictions[predictions["split"] == split]
        labels, p, groups = rows["label"].to_numpy(), rows["probability"].to_numpy(), patients[rows["index"]]

        def four_scores(drawn, labels=labels, p=p):
            at_half, at_threshold = (helpers.score(labels[drawn], p[drawn], limit) for limit in (0.5, threshold))
            return [at_half["auc"], at_half["accuracy"], at_threshold["sensitivity"], at_threshold["specificity"]]

        values, ends = four_scores(slice(None)), helpers.bootstrap_interval(four_scores, groups)
        cells = [f"{value:.3f} ({low:.3f} to {high:.3f})" for value, low, high in zip(values, *ends, strict=True)]
        lines.append(f"| {split} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(text, marks, table):
    """The text with the present table between the two marks."""
    before, rest = text.split(marks[0])
    return f"{before}{marks[0]}\n{table}\n{marks[1]}{rest.split(marks[1])[1]}"


if __name__ == "__main__":
    for path, marks, table in [(README, RESULTS, results_table()), (MODEL_CARD, CARD, model_card_table())]:
        path.write_text(with_table(path.read_text(encoding="utf-8"), marks, table), encoding="utf-8")

"""Write what other files quote of the results, and the project's address: python tools/publish.py

It writes the tables of results in README.md and docs/model-card.md, the picture docs/results.png, all badges, and the
setup cells of the notebooks. To publish the course under another address, change REPOSITORY and run this.
"""

import io
import json
import re
import statistics
import sys
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
# more is imported where it is used: site and slides take REPOSITORY from here and have none of the course's packages

PROJECT = Path(__file__).resolve().parents[1]
NOTEBOOKS = PROJECT / "notebooks"
README = PROJECT / "README.md"
MODEL_CARD = PROJECT / "docs" / "model-card.md"
PICTURE = PROJECT / "docs" / "results.png"
MARKS = ("<!-- results: python tools/publish.py -->", "<!-- end of results -->")
# GitHub allows no underscore in an owner's name: until the publisher puts theirs, this address leads nowhere
REPOSITORY = "your_organisation/pneumonia-x-ray-course"

SETUP = f'''\
# Run this cell first. It finds the course's files; in Colab it fetches them.
import subprocess
import sys
from pathlib import Path

folders = [Path.cwd(), *Path.cwd().parents, Path("{REPOSITORY.split("/")[1]}").resolve()]
if not any((folder / "helpers.py").exists() for folder in folders):
    address = "https://github.com/{REPOSITORY}"
    subprocess.run(["git", "clone", "--depth", "1", address], check=True)
sys.path.insert(0, str(next(folder for folder in folders if (folder / "helpers.py").exists())))

import helpers

helpers.describe_setup()'''

# model: (its name in table and picture, accuracy that the article reports on its own images)
MODELS = {
    "knn": ("nearest neighbours", ".7175"),
    "logistic_regression": ("logistic regression", ".6725"),
    "decision_tree": ("decision tree", ".6725"),
    "cnn": ("convolutional network", ".785 to .865, field .71"),
    "vgg16": ("VGG16, fine-tuned", ".8575"),
    "cnn_augmented": ("convolutional network, prepared", "field .77"),
    "vgg16_augmented": ("VGG16, prepared", ""),
}
FINAL_MODEL = "vgg16_augmented"  # which the model card describes
STYLES = {"validation": ("#56b4e9", "o"), "test": ("#de8f05", "s"), "field": ("#73a659", "^")}  # differ in shape, too


def find_notebooks(folder=NOTEBOOKS):
    """The paths of the series in order, then those of the solutions."""
    return [*sorted(folder.glob("*.ipynb")), *sorted(folder.glob("solutions/*.ipynb"))]


def badge(name):
    """The line that opens notebooks/NAME in Colab; a solution's name is solutions/NAME."""
    picture = "https://colab.research.google.com/assets/colab-badge.svg"
    page = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{name}"
    return f"[![Open in Colab]({picture})]({page})"


def with_badges(text):
    """The text of a page with every badge at the present address."""
    return re.sub(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*/notebooks/([^)]+)\)", lambda found: badge(found[1]), text)


def set_opening(notebook, name):
    """Put the badge below the title in the first cell, and the setup cell in the place of the one tagged "setup"."""
    title, *lines = [line for line in notebook.cells[0].source.splitlines() if "[![Open in Colab]" not in line]
    notebook.cells[0].source = f"{title}\n\n{badge(name)}\n\n" + "\n".join(lines).strip()
    setup = next(cell for cell in notebook.cells if "setup" in cell.metadata.get("tags", []))
    setup.source = SETUP


def scores_of(images):
    """The stored runs on "kermany" or "phantoms", as helpers.save_result keeps them."""
    return json.loads((PROJECT / "results" / f"{images}.json").read_text(encoding="utf-8"))


def median(results, model, split, score):
    """The median of one score over the seeds."""
    return statistics.median(run[score] for run in results if (run["model"], run["split"]) == (model, split))


def results_table():
    """The table in README.md."""
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
    """The table in the model card: the final model of seed 0 on each split, with intervals by patient."""
    import pandas as pd

    import helpers
    from data import sources

    patients = pd.read_csv(sources.TABLE, index_col="index")["patient"]
    predictions = pd.read_csv(PROJECT / "results" / "kermany_predictions.csv")
    predictions = predictions[predictions["model"] == FINAL_MODEL]
    of_the_ill = predictions.query("split == 'validation' and label == 1")["probability"].sort_values()
    threshold = of_the_ill.iloc[int(0.05 * len(of_the_ill))]
    lines = [
        f"| images | AUC | accuracy at 0.5 | sensitivity at {threshold:.2f} | specificity at {threshold:.2f} |",
        "| --- | --- | --- | --- | --- |",
    ]
    for split in STYLES:
        rows = predictions[predictions["split"] == split]
        labels, p = rows["label"].to_numpy(), rows["probability"].to_numpy()

        def four_scores(drawn, labels=labels, p=p):
            scores = helpers.score(labels[drawn], p[drawn], threshold)
            accuracy = ((p[drawn] >= 0.5) == labels[drawn]).mean()
            return [scores["auc"], accuracy, scores["sensitivity"], scores["specificity"]]

        values = four_scores(slice(None))
        ends = helpers.bootstrap_interval(four_scores, patients[rows["index"]])
        cells = [f"{value:.3f} ({low:.3f} to {high:.3f})" for value, low, high in zip(values, *ends, strict=True)]
        lines.append(f"| {split} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(text, marks, table):
    """The text of a page with the table between its two marks."""
    before, rest = text.split(marks[0])
    return f"{before}{marks[0]}\n{table}\n{marks[1]}{rest.split(marks[1])[1]}"


def figures(images="kermany"):
    """{model: {split: accuracy}}, median of the seeds: what the picture shows."""
    runs = scores_of(images)
    return {model: {split: round(median(runs, model, split, "accuracy"), 3) for split in STYLES} for model in MODELS}


def draw_picture(accuracies):
    """The PNG file of README.md's picture, with its figures inside, so that a test can tell whether it is stale."""
    import matplotlib.pyplot as plt

    names = [MODELS[model][0] for model in accuracies]
    figure, ax = plt.subplots(figsize=(8, 1.2 + 0.45 * len(names)), layout="constrained")
    for place, of_model in enumerate(accuracies.values()):
        ax.plot([min(of_model.values()), max(of_model.values())], [place, place], color="lightgray", zorder=0)
    for split, (color, marker) in STYLES.items():
        values = [of_model[split] for of_model in accuracies.values()]
        ax.plot(values, range(len(names)), marker, color=color, markersize=9, label=split)
    ax.axvline(0.5, color="gray", linestyle="--", linewidth=1, label="guessing")
    ax.set_yticks(range(len(names)), names)
    ax.margins(y=0.12)
    ax.invert_yaxis()
    ax.set(xlabel="accuracy on real images", xlim=(0.48, 1))
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, dpi=110, metadata={"Figures": json.dumps(accuracies), "Software": None})
    plt.close(figure)
    return file.getvalue()


def main():
    from data.sources import write_whole

    for path in find_notebooks():
        notebook = nbformat.read(path, as_version=4)
        set_opening(notebook, path.relative_to(NOTEBOOKS).as_posix())
        write_whole(path, nbformat.writes(notebook) + "\n")
    for path, table in [(README, results_table()), (MODEL_CARD, model_card_table())]:
        write_whole(path, with_badges(with_table(path.read_text(encoding="utf-8"), MARKS, table)))
    write_whole(PICTURE, draw_picture(figures()))


if __name__ == "__main__":
    main()

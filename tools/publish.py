"""Write what other files quote of the results, and the project's address: python tools/publish.py

It writes the tables of results in README.md and docs/model-card.md, the picture docs/results.png, all badges, and the
setup cells of the notebooks; on the real X-rays docs/thumbnails.webp, too. The address is that of the repository's own
`origin`, where that is on GitHub: after a fork, run this once. CITATION.cff keeps it; until then there are no badges.
"""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import helpers
from data.sources import TABLE, read_json, write_whole
from figures import STYLES

PROJECT = Path(__file__).resolve().parents[1]
NOTEBOOKS = PROJECT / "notebooks"
README = PROJECT / "README.md"
MODEL_CARD = PROJECT / "docs" / "model-card.md"
PICTURE = PROJECT / "docs" / "results.png"
THUMBNAILS = PROJECT / "docs" / "thumbnails.webp"
CITATION = PROJECT / "CITATION.cff"
NO_ADDRESS = "*No address yet: links to Colab, Kaggle or Binder would lead nowhere; `python tools/publish.py` sets it.*"

SETUP = """\
# Run this cell first. It finds the course's files.
import sys
from pathlib import Path

folders = [Path.cwd(), *Path.cwd().parents, Path("pneumonia-x-ray-course").resolve()]
if not any((folder / "data" / "metadata.csv").exists() for folder in folders):
    {}
sys.path.insert(0, str(next(folder for folder in folders if (folder / "data" / "metadata.csv").exists())))

import helpers

helpers.describe_setup()"""
FETCH = """import subprocess  # in Colab and Kaggle the files are fetched

    address = "https://github.com/{}"
    subprocess.run(["git", "clone", "--depth", "1", address, "pneumonia-x-ray-course"], check=True)"""
MISSING = 'raise FileNotFoundError("Open this notebook in the folder of the course, where README.md lies.")'

ARTICLE = {  # model: the accuracy that the article reports on its own images
    "knn": ".7175",
    "logistic_regression": ".6725",
    "decision_tree": ".6725",
    "cnn": ".785 to .865, field .71",
    "vgg16": ".8575",
    "cnn_augmented": "field .77",
}
SPLITS = ["validation", "test", "field", "external"]  # external: the other hospital of notebook 8


def find_notebooks(folder=NOTEBOOKS):
    """The paths of the series in order, then those of the solutions."""
    numbered = "[0-9][0-9]_*.ipynb"  # not Untitled.ipynb, nor what macOS puts beside a file
    return [*sorted(folder.glob(numbered)), *sorted(folder.glob(f"solutions/{numbered}"))]


def read_repository():
    """OWNER/NAME of the course on GitHub, as CITATION.cff has it; "" until somebody published it."""
    found = re.search(r"^repository-code: https://github.com/(.+)", CITATION.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


def take_origin():
    """Write the address of the repository's `origin` into CITATION.cff, where that is on GitHub."""
    command = ["git", "remote", "get-url", "origin"]
    origin = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True).stdout
    if found := re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(\.git)?/?$", origin, re.MULTILINE):
        others = re.sub(r"^repository-code:.*\n", "", CITATION.read_text(encoding="utf-8"), flags=re.MULTILINE)
        write_whole(CITATION, f"{others}repository-code: https://github.com/{found[1]}\n")


def badges(name):
    """What opens notebooks/NAME in Colab, Kaggle and Binder; a solution's name is solutions/NAME. Or "": no address."""
    repository = read_repository()
    file = f"github.com/{repository}/blob/main/notebooks/{name}"
    lab = f"mybinder.org/v2/gh/{repository}/main?urlpath=lab/tree/notebooks/{name}"
    colab = f"colab.research.google.com/{file.replace('.com', '', 1)}"
    kaggle = f"kaggle.com/kernels/welcome?src=https://{file}"
    links = [("Colab", "colab.research.google.com/assets/colab-badge.svg", colab)]
    links += [("Kaggle", "kaggle.com/static/images/open-in-kaggle.svg", kaggle)]
    links += [("Binder", "mybinder.org/badge_logo.svg", lab)]
    marks = [f"[![Open in {name}](https://{image})](https://{page})" for name, image, page in links]
    return " ".join(marks) if repository else ""


def with_badges(text):
    """The text of README.md with its first lines and the badges of all notebooks at the present address."""
    address = badges("01_metadata.ipynb")
    if address:  # the site is where .github/workflows/pages.yml publishes it
        site = "https://{}.github.io/{}".format(*read_repository().split("/"))
        address += f" [Site]({site}/) [Slides]({site}/slides/)"
    text = with_table(text, "address", address or NO_ADDRESS)
    row = re.compile(r"^(\| \[.*\]\(notebooks/(\w+\.ipynb)\) \|.*\|)[^|\n]*\|$", re.MULTILINE)
    return row.sub(lambda found: f"{found[1]} {badges(found[2])} |".replace("  ", " "), text)


def set_opening(notebook, name):
    """Put the badges below the title in the first cell, and the setup cell in the place of the one tagged "setup"."""
    title, *lines = [line for line in notebook.cells[0].source.splitlines() if "[![Open in" not in line]
    notebook.cells[0].source = "\n\n".join(filter(None, [title, badges(name), "\n".join(lines).strip()]))
    setup = next(cell for cell in notebook.cells if "setup" in cell.metadata.get("tags", []))
    setup.source = setup_code()


def setup_code():
    """The setup cell: it finds the course's folder, and fetches it where it has an address."""
    return SETUP.format(FETCH.format(read_repository()) if read_repository() else MISSING)


def scores_of(images):
    """{(model, split): run} of the stored runs with seed 0 on "kermany" or "phantoms"."""
    runs = read_json(PROJECT / "results" / f"{images}.json")
    return {(run["model"], run["split"]): run for run in runs if run["seed"] == 0}


def results_table():
    """The table in README.md."""
    real, phantoms = scores_of("kermany"), scores_of("phantoms")
    titles = ["model", "validation", "test", "field", "other hospital", "phantoms, test", "the article", "seconds"]
    rows = []
    for model, (name, _) in helpers.MODELS.items():
        runs = [*(real[model, split] for split in SPLITS), phantoms[model, "test"]]
        accuracies = [f"{run['accuracy']:.3f}" for run in runs]
        rows.append([name, *accuracies, ARTICLE.get(model, ""), f"{max(1, real[model, 'test']['seconds']):.0f}"])
    return markdown(titles, rows)


def find_threshold(answers):
    """The threshold that finds 95 of 100 of the ill; answers: a table with the columns label and probability."""
    of_the_ill = answers.loc[answers["label"] == 1, "probability"].sort_values().to_numpy()
    return of_the_ill[int(0.05 * len(of_the_ill))]


def model_card_table():
    """The table in the model card: the final model of seed 0 on each split, with intervals by patient."""
    patients = pd.read_csv(TABLE, index_col="index")["patient"]
    predictions = pd.read_csv(PROJECT / "results" / "kermany_predictions.csv")
    predictions = predictions[predictions["model"] == "vgg16_augmented"]
    threshold = find_threshold(predictions[predictions["split"] == "validation"])
    at = f"at {threshold:.2f}"
    table = []
    for split in ("validation", "test", "field"):
        rows = predictions[predictions["split"] == split]
        labels, p = rows["label"].to_numpy(), rows["probability"].to_numpy()

        def four_scores(drawn, labels=labels, p=p):
            scores = helpers.score(labels[drawn], p[drawn], threshold)
            accuracy = ((p[drawn] >= 0.5) == labels[drawn]).mean()
            return [scores["auc"], accuracy, scores["sensitivity"], scores["specificity"]]

        values = four_scores(slice(None))
        ends = helpers.bootstrap_interval(four_scores, patients[rows["index"]])
        cells = [f"{value:.3f} ({low:.3f} to {high:.3f})" for value, low, high in zip(values, *ends, strict=True)]
        table.append([split, *cells])
    return markdown(["images", "AUC", "accuracy at 0.5", f"sensitivity {at}", f"specificity {at}"], table)


def markdown(titles, rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in [titles, ["---"] * len(titles), *rows])


def with_table(text, name, table):
    """The text of a page with the table between the marks of this name."""
    start, end = re.search(rf"<!-- {name}: .* -->\n", text).end(), text.index(f"\n<!-- end of {name} -->")
    return text[:start] + table + text[end:]


def figures(images="kermany"):
    """{model: {split: accuracy}} with seed 0: what the picture shows."""
    runs = scores_of(images)
    return {model: {split: round(runs[model, split]["accuracy"], 3) for split in SPLITS} for model in helpers.MODELS}


def draw_picture(accuracies):
    """The PNG file of README.md's picture, with its figures inside, so that a test can tell whether it is stale."""
    names = [helpers.MODELS[model][0] for model in accuracies]
    figure, ax = plt.subplots(figsize=(8, 1.2 + 0.45 * len(names)), layout="constrained")
    for place, of_model in enumerate(accuracies.values()):
        ax.plot([min(of_model.values()), max(of_model.values())], [place, place], color="lightgray", zorder=0)
    for size, split in zip((14, 10, 9, 9), SPLITS, strict=True):  # equal values stay visible
        color, marker = STYLES[split]
        values = [of_model[split] for of_model in accuracies.values()]
        ax.plot(values, range(len(names)), marker, color=color, markersize=size, label=split)
    ax.axvline(0.5, color="gray", linestyle="--", linewidth=1, label="guessing")
    ax.set_yticks(range(len(names)), names)
    ax.margins(y=0.12)
    ax.invert_yaxis()
    ax.set(xlabel="accuracy on real images", xlim=(0.44, 1))
    figure.legend(loc="outside upper center", ncols=5, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, dpi=110, metadata={"Figures": json.dumps(accuracies), "Software": None})
    plt.close(figure)
    return file.getvalue()


def draw_thumbnails():
    """Every fourth test image side by side in one WebP file: grey, 64 x 64 pixels each. For a page of the site."""
    images, file = helpers.get_test_data()[0][::4, :, :, 0], io.BytesIO()
    Image.fromarray((255 * np.hstack(images)).round().astype("uint8")).save(file, format="webp", quality=75)
    return file.getvalue()


def main():
    take_origin()
    for path in find_notebooks():
        notebook = nbformat.read(path, as_version=4)
        set_opening(notebook, path.relative_to(NOTEBOOKS).as_posix())
        write_whole(path, nbformat.writes(notebook) + "\n")
    write_whole(README, with_badges(with_table(README.read_text(encoding="utf-8"), "results", results_table())))
    write_whole(MODEL_CARD, with_table(MODEL_CARD.read_text(encoding="utf-8"), "results", model_card_table()))
    write_whole(PICTURE, draw_picture(figures()))
    if not helpers.are_simulated():
        write_whole(THUMBNAILS, draw_thumbnails())


if __name__ == "__main__":
    main()

"""Draw the picture of the results in README.md: python tools/results_picture.py

The figures drawn are kept in the picture's file, so that a test can tell whether they are still those of the results.
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.results_table import MODELS, median, scores_of

PROJECT = Path(__file__).resolve().parent.parent
PICTURE = PROJECT / "docs" / "results.png"
# colour-blind-safe, and told apart by shape as well
STYLES = {"validation": ("#56b4e9", "o"), "test": ("#de8f05", "s"), "field": ("#73a659", "^")}


def figures():
    """{model: {split: accuracy}} on the real images, median of the seeds."""
    real = scores_of("kermany")
    return {model: {split: round(median(real, model, split, "accuracy"), 3) for split in STYLES} for model in MODELS}


def drawn_figures():
    """The figures in the picture as it lies there."""
    with Image.open(PICTURE) as picture:
        return json.loads(picture.text["Figures"])


def draw(accuracies):
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
    return figure


if __name__ == "__main__":
    measured = figures()
    PICTURE.parent.mkdir(exist_ok=True)
    draw(measured).savefig(PICTURE, dpi=110, metadata={"Figures": json.dumps(measured), "Software": None})

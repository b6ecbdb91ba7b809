"""Run the notebooks that train models with several seeds, and store what they measure.

python tools/measure.py          all of them, on the images that PNEUMONIA_DATA chooses; about an hour on two cores
python tools/measure.py 04 06    only these; what is stored of the others stays. 06 needs the predictions of 02 to 04
                                 with every seed in results/own: measure those before

Writes results/<images>.json (scores of all seeds), results/<images>_predictions.csv (seed 0), and in results/bands.json
the bands of AUC that the checks in the notebooks compare with, for full and for quick runs. QUICK=1 measures only the
bands of quick runs.
"""

import json
import os
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.run import NOTEBOOKS, OWN_RESULTS, PROJECT, execute

TRAINING = ("02", "03", "04", "06")
SEEDS = (0, 1, 2)
MARGIN = 0.03  # added on both sides of what the seeds gave
BANDS = PROJECT / "results" / "bands.json"


def run_all(images, numbers):
    """Execute the notebooks with every seed; the scores are then in results/own."""
    for seed in SEEDS:
        os.environ["SEED"] = str(seed)
        for number in numbers:
            path = next(NOTEBOOKS.glob(f"{number}_*.ipynb"))
            seconds = execute(path)[1]
            print(f"{images}, seed {seed}, {path.stem}: {seconds:.0f} s", flush=True)


def own_results(images, numbers):
    """What the chosen notebooks left in results/own: (scores, predictions of seed 0)."""
    scores = json.loads((OWN_RESULTS / f"{images}.json").read_text(encoding="utf-8"))
    scores = [run for run in scores if run["seed"] in SEEDS and f"{run['notebook']:02}" in numbers]
    predictions = pd.read_csv(OWN_RESULTS / f"{images}_predictions.csv")
    models = {run["model"] for run in scores}
    return scores, predictions[predictions["model"].isin(models) & (predictions["seed"] == 0)]


def store(images, scores, predictions):
    """Put scores and predictions of these models in the place of the stored ones."""
    path = PROJECT / "results" / f"{images}.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    models = {run["model"] for run in scores}
    scores = [run for run in stored if run["model"] not in models] + scores
    path.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")

    path = PROJECT / "results" / f"{images}_predictions.csv"
    if path.exists():
        stored = pd.read_csv(path)
        predictions = pd.concat([stored[~stored["model"].isin(models)], predictions])
    predictions.to_csv(path, index=False)


def bands_of(scores):
    """{"model split": [lowest, highest AUC that a run may have]}."""
    aucs = {}
    for run in scores:
        aucs.setdefault(f"{run['model']} {run['split']}", []).append(run["auc"])
    return {name: [round(min(a) - MARGIN, 3), round(min(max(a) + MARGIN, 1), 3)] for name, a in aucs.items()}


def main():
    import helpers

    numbers = sys.argv[1:] or TRAINING
    source = helpers.results_name().removesuffix("_quick")
    for images, quick in [(source, False), (f"{source}_quick", True)]:
        if helpers.QUICK and not quick:
            continue
        os.environ["QUICK"] = "1" if quick else "0"
        run_all(images, numbers)
        scores, predictions = own_results(images, numbers)
        if not quick:
            store(images, scores, predictions)
        bands = json.loads(BANDS.read_text(encoding="utf-8")) if BANDS.exists() else {}
        bands[images] = bands.get(images, {}) | bands_of(scores)
        BANDS.write_text(json.dumps(bands, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

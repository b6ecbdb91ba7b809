"""Run the notebooks that train models with several seeds, and store what they measure.

python tools/measure.py        on the films that PNEUMONIA_DATA chooses; takes about 20 minutes on two cores

Writes results/<films>.json (scores of all seeds), results/<films>_predictions.csv (seed 0), and in results/bands.json
the bands of AUC that the checks in the notebooks compare with, for full and for quick runs.
"""

import json
import os
import sys

import pandas as pd

from run import NOTEBOOKS, OWN_RESULTS, PROJECT, execute

SEEDS = (0, 1, 2)
MARGIN = 0.03  # added on both sides of what the seeds gave
BANDS = PROJECT / "results" / "bands.json"


def run_all(films, quick):
    """Execute every training notebook with every seed; the scores are then in results/own."""
    for suffix in (".json", "_predictions.csv"):
        (OWN_RESULTS / f"{films}{suffix}").unlink(missing_ok=True)
    for seed in SEEDS:
        os.environ |= {"SEED": str(seed), "QUICK": "1" if quick else "0"}
        for path in sorted(NOTEBOOKS.glob("*.ipynb"))[1:]:
            seconds = execute(path)[1]
            print(f"{films}, seed {seed}, {path.stem}: {seconds:.0f} s", flush=True)


def bands_of(results):
    """{"model split": [lowest, highest AUC that a run may have]}."""
    aucs = {}
    for result in results:
        aucs.setdefault(f"{result['model']} {result['split']}", []).append(result["auc"])
    return {name: [round(min(a) - MARGIN, 3), round(min(max(a) + MARGIN, 1), 3)] for name, a in aucs.items()}


def main():
    sys.path.insert(0, str(PROJECT))
    import helpers

    bands = json.loads(BANDS.read_text(encoding="utf-8")) if BANDS.exists() else {}
    source = helpers.results_name().removesuffix("_quick")
    for films, quick in [(source, False), (f"{source}_quick", True)]:
        run_all(films, quick)
        results = json.loads((OWN_RESULTS / f"{films}.json").read_text(encoding="utf-8"))
        bands[films] = bands_of(results)
        if not quick:
            (PROJECT / "results" / f"{films}.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            predictions = pd.read_csv(OWN_RESULTS / f"{films}_predictions.csv")
            predictions = predictions[predictions["seed"] == 0]
            predictions.to_csv(PROJECT / "results" / f"{films}_predictions.csv", index=False)
    BANDS.write_text(json.dumps(bands, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

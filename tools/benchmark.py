"""Measure what the course costs in time and memory: make benchmark.

Start-up, loading, models, PyTorch as the peer, curves, each notebook and make test. Writes results/benchmark.json. Each
figure is measured in three rounds, one after the other, so that a slow minute of the machine hits no figure in all of
them; each measurement has a process of its own. BENCHMARK_TINY=1 tries everything but notebooks and make test once, at
tiny sizes, and writes build/benchmark_tiny.json, whose figures mean nothing.
"""

import datetime
import json
import os
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
TOOLS = PROJECT / "tools"
TORCH_PYTHON = PROJECT / "build" / "benchmark-venv" / "bin" / "python"
TINY = bool(os.environ.get("BENCHMARK_TINY"))
RESULTS = PROJECT / ("build/benchmark_tiny.json" if TINY else "results/benchmark.json")
REPEATS = 1 if TINY else 3
MINUTES = 70  # on two cores, for the announcement
# what this module imports stays small: on Linux a process counts its parent's memory as its own until it has more


def all_tasks(reduced):
    """The measurements; reduced: the short number format of this machine, or "float32".

    A task is "part argument ...": a function of benchmark_parts.py, or of benchmark_torch.py if it starts with torch.
    """
    tasks = []
    if not TINY:  # they have one size only; first, since they are the most likely to fail
        tasks += ["make_test", *(f"notebook {path.stem}" for path in sorted((PROJECT / "notebooks").glob("*.ipynb")))]
    tasks += ["start_up", "loading_cold", "loading_warm", "knn", "logistic_regression"]
    tasks += ["ten_fits", "ten_fits on"]
    for precision in dict.fromkeys(["float32", reduced]):
        tasks += [f"matmul {precision}", f"torch_matmul {precision}"]
        tasks += [f"{model}_{doing} {precision}" for model in ("cnn", "vgg16") for doing in ("training", "inference")]
        tasks += [
            f"torch_{doing} {precision} {layout}"
            for doing in ("training", "inference")
            for layout in ("channels_first", "channels_last")
        ]
    costs = ["loading", "knn", "logistic_regression", "cnn_training", "vgg16_training", "vgg16_inference"]
    return tasks + [f"curve_by_{size} {cost}" for size in ("images", "pixels") for cost in costs]


def command(task):
    """The command line that measures a task."""
    if task.startswith("torch"):
        return [str(TORCH_PYTHON), str(TOOLS / "benchmark_torch.py"), *task.split()]
    return [sys.executable, str(TOOLS / "benchmark_parts.py"), *task.split()]


def measure(task):
    """What a task gives in a new process: {quantity: figure}. Ends the program with a sentence where it fails."""
    settings = {name: value for name, value in os.environ.items() if name not in ("QUICK", "SEED", "MAKEFLAGS")}
    settings["PNEUMONIA_DATA"] = settings.get("PNEUMONIA_DATA") or "phantoms"
    try:
        done = subprocess.run(command(task), env=settings, cwd=PROJECT, capture_output=True, text=True)
    except OSError:
        sys.exit("PyTorch, the peer, is not installed in build/benchmark-venv: run make benchmark, which does it.")
    if done.returncode:
        print(*done.stderr.splitlines()[-20:], sep="\n")
        last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
        sys.exit(f'The measurement "{task}" failed ({last_line.rstrip(".")}): nothing was stored.')
    return json.loads(done.stdout.splitlines()[-1])


def measure_all(tasks):
    """{task: {quantity: [figure of each round]}}, one line of progress for each measurement."""
    figures = {task: {} for task in tasks}
    for number in range(REPEATS):
        for place, task in enumerate(tasks, start=1):
            start = time.perf_counter()
            for quantity, figure in measure(task).items():
                figures[task].setdefault(quantity, []).append(figure)
            seconds = time.perf_counter() - start
            print(f"round {number + 1}/{REPEATS}  {place}/{len(tasks)}  {task}: {seconds:.0f} s", flush=True)
    return figures


def load(path):
    """What was measured. Ends the program with a sentence where there is nothing, or nothing sound."""
    try:
        measured = json.loads(path.read_text(encoding="utf-8"))
        if not measured["machine"] or not measured["figures"]:
            raise ValueError
        return measured
    except FileNotFoundError:
        sys.exit(f"{path.name} is missing: run make benchmark first.")
    except (OSError, ValueError, KeyError, TypeError):
        sys.exit(f"{path.name} is damaged: run make benchmark again.")


def store(measured, path):
    """Write results so that a stop half-way leaves the old ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def main():
    load_before = round(os.getloadavg()[0], 2)
    machine = measure("machine")
    tasks = all_tasks(machine["reduced"])
    print(f"{len(tasks)} measurements, {REPEATS} rounds: about {MINUTES} minutes on two cores.", flush=True)
    if load_before > 0.5:
        print(f"Other programs are running (load {load_before}): figures will be too slow.", flush=True)
    machine |= {"date": str(datetime.date.today()), "load_before": load_before}
    machine["packages"] |= measure("torch_version")
    store({"machine": machine, "figures": measure_all(tasks)}, RESULTS)


if __name__ == "__main__":
    main()

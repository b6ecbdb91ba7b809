"""Execute the notebooks in order.

python tools/run.py            into build/notebooks, and print the results; for readers
python tools/run.py --refresh  the solutions, too; stores outputs and times; on the real X-rays
"""

import argparse
import json
import re
import shutil
import statistics
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import helpers
from data.sources import DataError, describe_source, write_whole
from tools.publish import find_notebooks, set_opening

PROJECT = helpers.PROJECT
NOTEBOOKS = PROJECT / "notebooks"
BUILD = PROJECT / "build" / "notebooks"
TIMES = PROJECT / "results" / "times.json"  # in seconds, of the real images
BENCHMARK = PROJECT / "results" / "benchmark.json"  # among others, of the notebooks on simulated images


def follow(begin, left):
    """Write which notebook begins and the time left, from seconds. Returns what follows its cells, at a terminal."""
    start = time.perf_counter()

    def show(cell=None, cell_index=None):
        minutes = max(0, left - time.perf_counter() + start) / 60
        place = begin if cell is None else f"\r{begin}, cell {cell_index + 1}"
        print(f"{place}, about {minutes:.0f} min left ...", end=" ", flush=True)

    show()
    return show if sys.stdout.isatty() else None


def execute(path, on_cell=None):
    """The notebook with fresh outputs, without what only a live page can show, and the seconds it took."""
    for backup in (PROJECT / "build" / "weights").glob("*.backup"):
        shutil.rmtree(backup)  # a training that goes on in the middle gives other figures than one from the beginning
    try:
        notebook = nbformat.read(path, as_version=4)
    except ValueError as error:
        raise DataError(f"{path.name} cannot be read as a notebook: look for git's conflict marks in it.") from error
    set_opening(notebook, path.relative_to(NOTEBOOKS).as_posix())
    start = time.perf_counter()
    client = NotebookClient(
        notebook,
        timeout=3 * 3600,  # seconds of one cell; notebook 7 trains for more than one hour on a slow machine
        kernel_name="python3",
        on_cell_start=on_cell,
        shutdown_kernel="immediate",  # all is written, and TensorFlow takes two seconds to say goodbye
        store_widget_state=False,
        coalesce_streams=True,  # a progress bar comes in pieces
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # else the kernel writes a warning about itself into the progress
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    seconds = time.perf_counter() - start
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None):
                output.data["text/plain"] = "(The form works in a live notebook.)"
            if output.output_type == "stream":
                output.text = re.sub(r"[^\n]*\r", "", output.text)  # a progress bar draws over itself
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("text") != ""]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook, seconds


def store(notebook, path):
    write_whole(path, nbformat.writes(notebook) + "\n")


def explain(error):
    """One or two lines about why a notebook failed, and where."""
    if isinstance(error, CellExecutionError):
        first_line = str(error).split("------------------")[1].strip().splitlines()[0]
        return f"{error.ename}: {error.evalue}\nThe cell begins with: {first_line}"
    return f"{type(error).__name__}: {error}"


def print_results():
    """The table of what the notebooks measured on this computer."""
    print(f"\n{'model':20} {'images':16} {'accuracy':>8} {'AUC':>6}")
    record = helpers.read_kept(helpers.own_path("_reader.json"), {})
    if record:
        print(f"{'reader':20} {'ten test images':16} {record['right'] / len(record['answers']):8.3f}")
    for run in helpers.read_kept(helpers.own_path(".json"), []):
        if run["seed"] == helpers.SEED:
            print(f"{run['model']:20} {run['split']:16} {run['accuracy']:8.3f} {run['auc']:6.3f}")


def main():
    parser = argparse.ArgumentParser(description="Execute the notebooks in order.")
    parser.add_argument("--refresh", action="store_true", help="store the outputs in notebooks/ and results/times.json")
    options = parser.parse_args()
    try:
        source, elsewhere = describe_source(), helpers.are_simulated(elsewhere=True)
    except DataError as error:
        sys.exit(str(error))
    if options.refresh and (helpers.QUICK or elsewhere):
        advice = "set PNEUMONIA_DATA and PNEUMONIA_EXTERNAL to their folders"
        sys.exit(f"Stored outputs come from full runs on the real X-rays of both hospitals: {advice}.")

    paths = [path for path in find_notebooks(NOTEBOOKS) if options.refresh or path.parent == NOTEBOOKS]
    target = NOTEBOOKS if options.refresh else BUILD
    times = helpers.read_kept(TIMES, {})
    if helpers.are_simulated():  # as make benchmark measured them
        figures = helpers.read_kept(BENCHMARK, {"figures": {}})["figures"]
        times = {task.removeprefix("notebook "): statistics.median(of["seconds"]) for task, of in figures.items()}
    expected, done, spent = sum(times.get(path.stem, 0) for path in paths), 0, 0
    minutes = f"{'at most ' if helpers.QUICK else ''}about {max(1, round(expected / 60))} min on two cores"
    folder = target.relative_to(PROJECT)
    print(f"Executing {len(paths)} notebooks into {folder}: {minutes}. Images: {source}", flush=True)
    for number, path in enumerate(paths, start=1):
        on_cell = follow(f"{number}/{len(paths)}  {path.stem}", (expected - done) * (spent / done if done else 1))
        try:
            notebook, seconds = execute(path, on_cell)
            store(notebook, target / path.relative_to(NOTEBOOKS))
        except (CellExecutionError, DataError, DeadKernelError, TimeoutError) as error:
            sys.exit(f"failed.\n{explain(error)}")
        print(f"{seconds:.0f} s", flush=True)
        done, spent = done + times.get(path.stem, seconds), spent + seconds
        times[path.stem] = round(seconds, 1)
    if options.refresh:
        write_whole(TIMES, json.dumps(times, indent=2) + "\n")
    print_results()
    print(f"\nThe executed notebooks are in {folder}")


if __name__ == "__main__":
    main()

"""Measure what the course costs in time and memory: make benchmark PNEUMONIA_DATA=path/to/chest_xray

python tools/benchmark.py        measures all; writes results/benchmark.json and the tables of docs/performance.md
python tools/benchmark.py page   writes the tables once more, from results/benchmark.json

Each measurement has a process of its own, `python tools/benchmark.py PART ARGUMENT ...`. All are made in three rounds,
one after the other, so that a slow minute of the machine hits no figure in all rounds.
"""

import datetime
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
# all else is imported where it is used: PyTorch has an environment of its own, and Linux counts the memory of a process
# that starts another one as the other one's too

TORCH_PYTHON = PROJECT / "build" / "docs-venv" / "bin" / "python"
RESULTS = PROJECT / "results" / "benchmark.json"
PAGE = PROJECT / "docs" / "performance.md"
ROUNDS = 3
# how a task begins: what it is called on the page, and how many images it takes
NETWORKS = {
    "network cnn training": ("convolutional network, training", 1600),
    "network cnn inference": ("convolutional network, inference", 2000),
    "network vgg16 training": ("VGG16, training", 512),
    "peer training": ("VGG16 in PyTorch, training", 512),
    "network vgg16 inference": ("VGG16, inference", 640),
    "peer inference": ("VGG16 in PyTorch, inference", 640),
}


# --- the parts: each gives seconds of the wall clock and of all processors together -----------------------------------


def measured(action, *arguments, repeats=1, **settings):
    """{"seconds", "processor_seconds"} of a call, with all processes it starts; of several calls the median."""
    calls = []
    for _ in range(repeats):
        start = os.times()  # four kinds of processor seconds, and the clock; in steps of 0.01 s
        action(*arguments, **settings)
        *processor, seconds = (end - begin for begin, end in zip(start, os.times(), strict=True))
        calls.append((seconds, sum(processor)))
    return dict(zip(("seconds", "processor_seconds"), sorted(calls)[repeats // 2], strict=True))


def machine():
    """The machine in words; prepares the images, too, so that later measurements find them."""
    import helpers
    import networks
    from data import sources

    if sources.choose_source() not in ("phantoms", "folder"):
        raise sources.DataError("Loading is measured on simulated images or on a folder: set PNEUMONIA_DATA to one.")
    networks.import_keras()
    helpers.get_train_data()
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    packages = [f"{name} {version(name)}" for name in ("numpy", "scikit-learn", "pillow", "tensorflow", "keras")]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "packages": ", ".join([f"Python {platform.python_version()} on {sys.platform}", *packages]),
        "peer": re.search(r"torch==\S+", (PROJECT / "tools" / "benchmark-requirements.txt").read_text("utf-8"))[0],
        "images": sources.describe_source(),
        "short numbers": networks.choose_precision(),
        "date": str(datetime.date.today()),
    }


def notebook(name):
    """As a reader of a fresh copy runs it: in full, on simulated images."""
    os.environ["PNEUMONIA_DATA"] = "phantoms"
    from tools import run

    return measured(run.execute, PROJECT / "notebooks" / f"{name}.ipynb")


def loading(state):
    """state: "unprepared", with an empty cache, or "prepared"; the system itself may hold the files in memory."""
    import helpers
    from data import sources

    with tempfile.TemporaryDirectory() as folder:
        if state == "unprepared":
            sources.CACHE = Path(folder)
        return measured(helpers.get_train_data)


def network(name, doing, precision, count):
    """Our "cnn" or "vgg16"; doing: "training", one epoch, or "inference"; count: how many images that takes."""
    import helpers
    import networks

    networks.import_keras().mixed_precision.set_global_policy(precision)
    images, labels = helpers.get_train_data()
    images, labels = images[: int(count)], labels[: int(count)]
    model = networks.build_cnn() if name == "cnn" else networks.build_vgg16()
    if doing == "inference":
        model.predict(images[:64], batch_size=64, verbose=0)  # the first batch prepares the network
        return measured(model.predict, images, batch_size=64, verbose=0, repeats=3)
    model.fit(images[:64], labels[:64], verbose=0)
    return measured(model.fit, images, labels, batch_size=32, verbose=0, repeats=3)


def peer(doing, precision, count):
    """The VGG16 of networks.build_vgg16 in PyTorch, with the channels last in memory, which is its fastest layout.

    Images and weights are random: they cost as much as real ones.
    """
    import torch
    from torch import nn

    layers, channels = [], 3
    for maps, convolutions in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, maps, 3, padding=1), nn.ReLU(inplace=True)]
            channels = maps
        layers.append(nn.MaxPool2d(2))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Dropout(0.3)]
    layers += [nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1)]
    model = nn.Sequential(*layers).to(memory_format=torch.channels_last).train(doing == "training")
    images = torch.rand(int(count), 3, 64, 64).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 2, (int(count), 1)).float()
    means = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.95, fused=True)

    def log_odds(images):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "mixed_bfloat16"):
            return model(images.flip(1) * 255 - means).float()

    def train(count):
        for rows in torch.randperm(count).split(32):
            loss = nn.functional.binary_cross_entropy_with_logits(log_odds(images[rows]), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    @torch.inference_mode()
    def predict(count):
        return torch.cat([log_odds(batch).sigmoid() for batch in images[:count].split(64)])

    action = {"training": train, "inference": predict}[doing]
    action(64)  # the first batches prepare the network
    return measured(action, int(count), repeats=3)


PARTS = {part.__name__: part for part in (machine, notebook, loading, network, peer)}


# --- all parts, in rounds ---------------------------------------------------------------------------------------------


def all_tasks(short_numbers):
    """The measurements, each "part argument ..."; short_numbers: the format this machine is fast in, or "float32"."""
    tasks = ["loading unprepared", "loading prepared"]
    tasks += [f"notebook {path.stem}" for path in sorted((PROJECT / "notebooks").glob("*.ipynb"))]
    for start, (_, count) in NETWORKS.items():
        tasks += [f"{start} {precision} {count}" for precision in dict.fromkeys(["float32", short_numbers])]
    return tasks


def measure(task):
    """What a task gives in a new process: {quantity: figure}. Ends the program with a sentence where it fails."""
    settings = {name: value for name, value in os.environ.items() if name not in ("QUICK", "SEED", "MAKEFLAGS")}
    settings["PNEUMONIA_DATA"] = settings.get("PNEUMONIA_DATA") or "phantoms"
    command = [TORCH_PYTHON if task.startswith("peer") else sys.executable, __file__, *task.split()]
    done = subprocess.run(command, env=settings, cwd=PROJECT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f'{done.stderr[-3000:]}\nThe measurement "{task}" failed: nothing was stored.')
    return json.loads(done.stdout.splitlines()[-1])


def measure_all():
    """{"machine": {...}, "figures": {task: {quantity: [figure of each round]}}}"""
    load = round(os.getloadavg()[0], 1)
    words = measure("machine") | {"load before": load}
    tasks = all_tasks(words["short numbers"])
    print(f"{len(tasks)} measurements, {ROUNDS} rounds: about an hour on two cores.", flush=True)
    if load > 0.5:
        print(f"Other programs are running (load {load}): figures will be too slow.", flush=True)
    figures = {task: {} for task in tasks}
    for number in range(1, ROUNDS + 1):
        for place, task in enumerate(tasks, start=1):
            for quantity, figure in measure(task).items():
                figures[task].setdefault(quantity, []).append(figure)
            print(f"round {number}/{ROUNDS}  {place}/{len(tasks)}  {task}", flush=True)
    return {"machine": words, "figures": figures}


# --- the page ---------------------------------------------------------------------------------------------------------


def cells(figures):
    """One row of a table: {quantity: [figure of each round]} as text."""
    seconds, processor = figures["seconds"], statistics.median(figures["processor_seconds"])
    spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
    return [f"{statistics.median(seconds):.2f}", spread, f"{processor:.2f}", f"{max(figures['memory_gb']):.2f}"]


def filled(page, results):
    """The text of the page with all tables between their marks."""
    from tools.publish import markdown, with_table

    titles = ["seconds", "lowest to highest", "processor seconds", "peak memory, GB"]
    steps, networks = [], []
    for task, figures in results["figures"].items():
        if task.startswith(tuple(NETWORKS)):
            start, precision, count = task.rsplit(" ", 2)
            speed = int(count) / statistics.median(figures["seconds"])
            networks.append([NETWORKS[start][0], precision, f"{speed:.0f}", *cells(figures)])
        else:
            steps.append([task, *cells(figures)])
    words = [[name, str(value)] for name, value in results["machine"].items()]
    page = with_table(page, "machine", markdown(["machine", ""], words))
    page = with_table(page, "steps", markdown(["what", *titles], steps))
    return with_table(page, "networks", markdown(["what", "numbers", "images/s", *titles], networks))


def main(part=None, *arguments):
    if part in PARTS:
        figures = PARTS[part](*arguments)
        if part != "machine":
            peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
            figures["memory_gb"] = max(peaks) * 1024 / 1e9  # Linux counts in KiB
        return print("\n" + json.dumps(figures))
    results = measure_all() if part is None else json.loads(RESULTS.read_text(encoding="utf-8"))
    from data.sources import write_whole

    write_whole(RESULTS, json.dumps(results, indent=1) + "\n")
    write_whole(PAGE, filled(PAGE.read_text(encoding="utf-8"), results))


if __name__ == "__main__":
    main(*sys.argv[1:])

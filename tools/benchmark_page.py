"""Write the tables of docs/performance.md and its picture from results/benchmark.json: python tools/benchmark_page.py

The figures drawn are kept in the picture's file, so that a test can tell whether they are still those of the results.
"""

import json
import statistics
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullLocator
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import benchmark
from tools.results_table import with_table

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs" / "performance.md"
PICTURE = PROJECT / "docs" / "performance.png"
ALT = (
    "Two panels of curves with logarithmic axes: seconds against the number of images, and seconds against the number "
    "of pixels of an image, for loading, nearest neighbours, logistic regression, the convolutional network and VGG16. A "
    "dotted grey line shows how a cost grows that is in proportion."
)
PARTS = {
    "start_up": "start-up, from the kernel to the first table",
    "loading_cold": "training images, nothing prepared: all 2,800 are",
    "loading_warm": "training images, prepared before",
    "knn": "nearest neighbours, 400 images among 1,600",
    "logistic_regression": "logistic regression, fitted to 1,600 images",
    "ten_fits": "ten short trainings of the small network",
    "ten_fits on": "the same, TensorFlow tuning its pipelines",
}
NETWORKS = {"cnn": "convolutional network", "vgg16": "VGG16"}
# cost: (name, colour that the colour-blind tell apart, marker)
CURVES = {
    "loading": ("loading", "#000000", "o"),
    "knn": ("nearest neighbours", "#0173b2", "s"),
    "logistic_regression": ("logistic regression", "#de8f05", "^"),
    "cnn_training": ("convolutional network, one epoch", "#029e73", "D"),
    "vgg16_training": ("VGG16, one epoch", "#cc78bc", "v"),
    "vgg16_inference": ("VGG16, inference", "#ca9161", "P"),
}


# --- figures ----------------------------------------------------------------------------------------------------------


def median(measured, task, quantity):
    """Median of the rounds, or None where this was not measured."""
    values = measured["figures"].get(task, {}).get(quantity)
    return statistics.median(values) if values else None


def precisions(measured):
    return list(dict.fromkeys(["float32", measured["machine"]["reduced"]]))


def best_of(measured, start, quantity):
    """The highest median among the tasks whose names begin so, or None."""
    medians = [median(measured, task, quantity) for task in measured["figures"] if task.startswith(start)]
    return max(medians, default=None)


def peak_speed(measured, precision):
    """GFLOP/s of matrix multiplication, the faster of TensorFlow and PyTorch."""
    return max(median(measured, f"{name} {precision}", "gflop_per_second") for name in ("matmul", "torch_matmul"))


def curve(measured, size, cost):
    """Two arrays: images, or pixels of a whole image; median seconds."""
    task = f"curve_by_{size} {cost}"
    sizes = [name for name in measured["figures"][task] if name.isdigit()]
    seconds = np.array([median(measured, task, name) for name in sizes])
    numbers = np.array([int(name) for name in sizes], float)
    return (numbers if size == "images" else numbers**2), seconds


def exponent(sizes, costs):
    """The power of the size with which a cost grows: 1 where it is in proportion. Needs two sizes or more."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


# --- tables -----------------------------------------------------------------------------------------------------------


def table(*rows):
    """Markdown; the first row holds the titles."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def spread(values, form):
    return f"{min(values):{form}} to {max(values):{form}}"


def machine_words(measured):
    machine = measured["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"Measured on {machine['date']}: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['total_memory_gb']:.0f} GB of memory, {machine['system']}; Python {machine['python']}, {packages}. "
        f"Images: {machine['images']}. The short number format of this machine: {machine['reduced']}. Load of the "
        f"machine before: {machine['load_before']:.1f}."
    )


def seconds_row(measured, task, name):
    values = measured["figures"][task]["seconds"]
    memory = median(measured, task, "memory_gb")
    return [name, f"{statistics.median(values):.2f}", spread(values, ".2f"), f"{memory:.2f}"]


def parts_table(measured):
    return table(
        ["what", "seconds", "lowest to highest", "peak memory, GB"],
        *(seconds_row(measured, task, name) for task, name in PARTS.items()),
    )


def network_row(measured, network, doing, precision):
    task = f"{network}_{doing} {precision}"
    images, reached, memory = (
        median(measured, task, quantity) for quantity in ("images_per_second", "gflop_per_second", "memory_gb")
    )
    speeds = spread(measured["figures"][task]["images_per_second"], ".0f")
    share = reached / peak_speed(measured, precision)
    row = [NETWORKS[network], doing, precision, f"{images:.0f}", speeds]
    return [*row, f"{reached:.0f}", f"{share:.0%}", f"{memory:.2f}"]


def networks_table(measured):
    return table(
        ["network", "what", "numbers", "images/s", "lowest to highest", "GFLOP/s", "of the peak", "peak memory, GB"],
        *(
            network_row(measured, network, doing, precision)
            for network in NETWORKS
            for doing in ("training", "inference")
            for precision in precisions(measured)
        ),
    )


def peaks_table(measured):
    speeds = [f"{peak_speed(measured, precision):.0f}" for precision in precisions(measured)]
    return table(["", *precisions(measured)], ["fastest matrix multiplication, GFLOP/s", *speeds])


def peer_table(measured):
    rows = [["VGG16, images/s", "numbers", "training", "inference"]]
    for precision in precisions(measured):
        variants = {"this course": ("vgg16", precision)}
        for layout in ("channels_first", "channels_last"):
            variants[f"PyTorch, {layout.replace('_', ' ')}"] = ("torch", f"{precision} {layout}")
        for name, (prefix, ending) in variants.items():
            speeds = [
                median(measured, f"{prefix}_{doing} {ending}", "images_per_second")
                for doing in ("training", "inference")
            ]
            rows.append([name, precision, *(f"{speed:.0f}" for speed in speeds)])
    return table(*rows)


def curves_table(measured):
    rows = [["cost", "exponent over images", "seconds", "exponent over pixels", "seconds"]]
    for cost, (name, _, _) in CURVES.items():
        row = [name]
        for size in ("images", "pixels"):
            sizes, seconds = curve(measured, size, cost)
            power = round(exponent(sizes, seconds), 2) + 0.0  # no "-0.00"
            row += [f"{power:.2f}", f"{seconds[0]:.2f} to {seconds[-1]:.2f}"]
        rows.append(row)
    return table(*rows) + f"\n\n![{ALT}](performance.png)"


def notebooks_of(measured):
    return {task: task.split()[1] for task in measured["figures"] if task.startswith("notebook ")}


def notebooks_table(measured):
    tasks = notebooks_of(measured) | {"make_test": "`make test`"}
    rows = (seconds_row(measured, task, name) for task, name in tasks.items())
    return table(["notebook", "seconds", "lowest to highest", "peak memory, GB"], *rows)


def targets(measured):
    """[(what, target, what was measured, whether that is met)]"""
    return [*speed_targets(measured), *time_targets(measured), memory_target(measured)]


def speed_targets(measured):
    rows = []
    for doing, least in [("training", 0.95), ("inference", 1.0)]:
        ours, theirs = (best_of(measured, f"{who}_{doing} ", "images_per_second") for who in ("vgg16", "torch"))
        share = ours / theirs
        rows.append((f"VGG16, {doing}", f"at least {least:.2f} of PyTorch's best", f"{share:.2f}", share >= least))
    return rows


def time_targets(measured):
    notebooks = sum(median(measured, task, "seconds") for task in notebooks_of(measured))
    tests = median(measured, "make_test", "seconds")
    return [
        (name, f"at most {most} minutes", f"{seconds / 60:.1f} minutes", seconds <= 60 * most)
        for name, seconds, most in [("`make run`, simulated images", notebooks, 10), ("`make test`", tests, 6)]
    ]


def memory_target(measured):
    ours = [task for task in measured["figures"] if not task.startswith("torch")]
    peak = max(max(measured["figures"][task]["memory_gb"]) for task in ours)
    return "peak memory of a process", "under 3 GB", f"{peak:.2f} GB", peak < 3


def targets_table(measured):
    rows = [["what", "target", "measured", "met"]]
    for what, target, found, met in targets(measured):
        rows.append([what, target, found, "yes" if met else "no"])
    return table(*rows)


TABLES = {
    "machine": machine_words,
    "targets": targets_table,
    "parts": parts_table,
    "networks": networks_table,
    "peaks": peaks_table,
    "peer": peer_table,
    "notebooks": notebooks_table,
    "curves": curves_table,
}


def filled(page, measured):
    """The text of the page with all tables between their marks."""
    for name, text_of in TABLES.items():
        marks = (f"<!-- {name}: python tools/benchmark_page.py -->", f"<!-- end of {name} -->")
        page = with_table(page, marks, text_of(measured))
    return page


# --- picture ----------------------------------------------------------------------------------------------------------


def drawn_curves(measured):
    """{size: {cost: [sizes, seconds]}}"""
    return {
        size: {cost: [np.round(values, 4).tolist() for values in curve(measured, size, cost)] for cost in CURVES}
        for size in ("images", "pixels")
    }


def curves_in_picture(path):
    """The curves in the picture as it lies there."""
    with Image.open(path) as picture:
        return json.loads(picture.text["Figures"])


def draw(curves):
    figure, axes = plt.subplots(1, 2, figsize=(10, 5), sharey=True, layout="constrained")
    for ax, (size, costs) in zip(axes, curves.items(), strict=True):
        for cost, (sizes, seconds) in costs.items():
            name, color, marker = CURVES[cost]
            ax.loglog(sizes, seconds, color=color, marker=marker, label=name)
        ends = np.array([min(sizes for sizes, _ in costs.values())[0], max(sizes[-1] for sizes, _ in costs.values())])
        ax.loglog(ends, ends / ends[0] * 0.1, ":", color="gray", label="in proportion")
        ticks = sorted({number for sizes, _ in costs.values() for number in sizes})
        ax.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set_xlabel("number of images" if size == "images" else "pixels of an image")
    axes[0].set_ylabel("seconds")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return figure


def save(curves, path):
    draw(curves).savefig(path, dpi=110, metadata={"Figures": json.dumps(curves), "Software": None})


def main():
    measured = benchmark.load(benchmark.RESULTS)
    for size in ("images", "pixels"):
        for cost, (name, _, _) in CURVES.items():
            print(f"{name} grows with {size} to the power {exponent(*curve(measured, size, cost)):.2f}")
    for what, target, found, met in targets(measured):
        print(f"{what}: {found} ({target}): {'met' if met else 'NOT met'}")
    if not benchmark.TINY:
        save(drawn_curves(measured), PICTURE)
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), measured), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Figures that explain: players that move, drawings of a network's parts, and the score board of all models."""

import base64
import hashlib
import html
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.animation import FuncAnimation
from PIL import Image
from scipy.stats import binomtest
from sklearn.neighbors import KNeighborsClassifier

import helpers
import reader
from data import external, phantoms, sources
from helpers import CLASS_COLORS, CLASS_NAMES

# the buttons of matplotlib's player, which would fetch icons by these names
ICONS = {"minus": "−", "fast-backward": "|◄", "step-backward": "‹", "play fa-flip-horizontal": "◄", "pause": "||"}
ICONS |= {"play": "►", "step-forward": "›", "fast-forward": "►|", "plus": "+"}
# the score board: colour and marker of each kind of images
STYLES = {
    "validation": ("#0173b2", "o"),
    "test": ("#de8f05", "s"),
    "field": ("#73a659", "^"),
    "external": ("black", "v"),
    "reader": ("black", "D"),
}
# where to look on two real images: tip and start of each arrow, in pixels from the left and from the top
SIGNS = {
    "train/PNEUMONIA/person1838_bacteria_4703.jpeg": [((17, 40), (5, 34)), ((19, 54), (7, 48)), ((53, 57), (60, 45))],
    "train/PNEUMONIA/person911_bacteria_2836.jpeg": [((47, 36), (60, 28)), ((19, 38), (3, 32))],
}


def show_player(figure, draw, frames, description, images=True):
    """Show a figure that moves when one clicks: matplotlib's own player, which needs no kernel and no network.

    draw: a function that draws one frame, draw(frame), for each of frames, a short list. description: what the frames
    show, in full sentences, for readers who cannot see it. images: as in show_figure. All frames have the layout of the
    first, and a page where nothing can move shows that one.
    """
    if images and helpers.are_simulated():
        figure.supxlabel("Simulated images, not patients", fontsize=9, color="dimgray")
        description = f"Simulated images, not patients. {description}"
    draw(frames[0])
    figure.canvas.draw()
    figure.set_layout_engine("none")  # else the axes would jump with the length of a title
    with plt.rc_context({"savefig.dpi": 80, "savefig.bbox": None}):
        page = FuncAnimation(figure, draw, frames, cache_frame_data=False).to_jshtml(fps=1, default_mode="once")
    plt.close(figure)
    display({"text/html": improve_player(page, description), "text/plain": description}, raw=True)


def improve_player(page, description):
    """The HTML of matplotlib's player with texts and a first frame, small, nothing to fetch, the same on every run."""
    page = re.sub(r"<link[^>]*>", "", page)
    for name, character in ICONS.items():
        page = page.replace(f'<i class="fa fa-{name}"></i>', character)
    page = page.replace('type="range"', 'type="range" aria-label="frame"')
    page = re.sub(r"data:image/png;base64,([^\"]*)", shrink, page)
    first = re.search(r"data:image[^\"]*", page)[0]
    still = f'src="{first}" alt="{html.escape(description)}" style="float: none; max-width: 100%"'
    page = page.replace("<img ", f"<img {still} ")
    random = re.search(r'id="_anim_img(\w+)"', page)[1]
    return page.replace(random, hashlib.sha256(page.replace(random, "").encode()).hexdigest()[:16])


def shrink(found):
    """The address of a picture with fewer colours, a quarter as long."""
    picture, file = Image.open(io.BytesIO(base64.b64decode(found[1]))), io.BytesIO()
    picture.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(file, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def play_convolution(numbers, kernel, description):
    """Show how a kernel moves over an image: the nine products, their sum, and the result, which grows.

    numbers: a small image, such as (6, 6); kernel: (3, 3).
    """
    numbers, kernel = np.asarray(numbers), np.asarray(kernel)
    rows, columns = numbers.shape[0] - 2, numbers.shape[1] - 2
    products = np.lib.stride_tricks.sliding_window_view(numbers, (3, 3)).reshape(-1, 3, 3) * kernel
    sums = products.sum(axis=(1, 2)).astype(float)
    widths = [columns + 2, 3, 3, columns]
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 4.2), layout="constrained", width_ratios=widths)

    def draw(step):
        row, column = divmod(step, columns)
        result = np.where(np.arange(len(sums)) <= step, sums, np.nan).reshape(rows, columns)
        draw_numbers(axes[0], numbers, "image", "gray", numbers.min(), numbers.max())
        signed = [("kernel", kernel, kernel), ("products", products[step], products), ("result", result, sums)]
        for ax, (title, table, every) in zip(axes[1:], signed, strict=True):
            draw_numbers(ax, table, title, "PuOr_r", -1.5 * abs(every).max(), 1.5 * abs(every).max())
        axes[2].set_xlabel(f"their sum: {sums[step]:.3g}", fontsize=12)
        for ax, side in ((axes[0], 3), (axes[3], 1)):
            ax.add_patch(plt.Rectangle((column, row), side, side, fill=False, edgecolor="#de8f05", linewidth=4))

    show_player(figure, draw, range(len(sums)), description, images=False)


def draw_numbers(ax, numbers, title, cmap, lowest, highest):
    """Draw a table of numbers as squares in colours from lowest to highest; what is not known yet (NaN) stays blank."""
    ax.clear()
    picture = ax.pcolormesh(numbers, cmap=cmap, vmin=lowest, vmax=highest, edgecolors="gray", linewidth=0.5)
    for (row, column), number in np.ndenumerate(numbers):
        brightness = np.dot(picture.cmap(picture.norm(number))[:3], [0.3, 0.59, 0.11])  # as eyes weigh colours
        text = "" if np.isnan(number) else f"{number:.3g}"
        color = "black" if brightness > 0.45 else "white"
        ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=color, fontsize=12)
    ax.set(title=title, aspect="equal", xticks=[], yticks=[], ylim=(len(numbers), 0))


def draw_pooling(numbers):
    """Draw how max pooling makes one number of four, the largest. numbers: (4, 4). Show it with show_figure."""
    numbers = np.asarray(numbers)
    largest = numbers.reshape(2, 2, 2, 2).max(axis=(1, 3))
    colors = [["#56b4e9", "#b5dff7"], ["lightgray", "#de8f05"]]
    ax = plt.subplots(figsize=(7.2, 4.2), layout="constrained")[1]
    for table, left, top, title in ((numbers, 0, 0, "4 x 4 numbers"), (largest, 5.5, 1, "the largest of each four")):
        side = len(table)
        ax.text(left + side / 2, top - 0.1, title, ha="center", fontsize=12)
        for (row, column), number in np.ndenumerate(table):
            x, y, square = left + column, top + row, (row * 2 // side, column * 2 // side)
            color, weight = colors[square[0]][square[1]], "bold" if number == largest[square] else "normal"
            ax.add_patch(plt.Rectangle((x, y), 1, 1, facecolor=color, edgecolor="white", linewidth=2))
            ax.text(x + 0.5, y + 0.5, f"{number:g}", ha="center", va="center", fontsize=15, fontweight=weight)
    ax.annotate("", (5.4, 2), (4.1, 2), arrowprops={"arrowstyle": "-|>", "linewidth": 2})
    ax.set(xlim=(0, 8), ylim=(4, -0.4), aspect="equal")
    ax.axis("off")


def draw_network(model):
    """Draw the layers of a Keras Sequential model from left to right. Show it with show_figure.

    Below each box stands the shape of what the layer passes on (height x width x maps), above it its number of weights.
    """
    layers = [("image", model.input_shape[1:], 0)]
    layers += [(type(layer).__name__, layer.output.shape[1:], layer.count_params()) for layer in model.layers]
    ax, left = plt.subplots(figsize=(10, 3.8), layout="constrained")[1], 0
    for name, shape, weights in layers:
        width = 0.5 if name == "Dropout" else 1
        height = 1.4 + (shape[0] / 50 if len(shape) == 3 else 0)
        color = "#56b4e9" if weights else "white" if name == "image" else "lightgray"
        ax.add_patch(plt.Rectangle((left, -height / 2), width, height, facecolor=color, edgecolor="dimgray"))
        place = {"x": left + width / 2, "ha": "center", "fontsize": 11}
        ax.text(y=0, s=name, rotation=90, va="center", **place)
        if name != "Dropout":  # which passes on the shape that it gets
            ax.text(y=-1.5, s=" x\n".join(map(str, shape)), va="top", **place)
        if weights:
            ax.text(y=1.5, s=f"{weights:,}\nweights", va="bottom", **place)
        left += width + 0.25
    ax.set(xlim=(-0.1, left - 0.15), ylim=(-2.6, 2.3))
    ax.axis("off")


def play_neighbours(points, labels, counts, names, description):
    """Show how the border between the classes changes with the number of neighbours that vote.

    points: (N, 2); labels: (N,) of 0 and 1; counts: the numbers of neighbours; names: of the two axes.
    """
    points, labels = np.asarray(points), np.asarray(labels)
    margin = 0.03 * np.ptp(points, axis=0)  # else points would lie on the edge
    (left, low), (right, high) = points.min(axis=0) - margin, points.max(axis=0) + margin
    across, up = np.meshgrid(np.linspace(left, right, 150), np.linspace(low, high, 150))
    figure, ax = plt.subplots(figsize=(6.6, 4), layout="constrained")

    def draw(count):
        model = KNeighborsClassifier(count).fit(points, labels)
        votes = model.predict(np.column_stack([across.ravel(), up.ravel()])).reshape(across.shape)
        ax.clear()
        ax.contourf(across, up, votes, levels=[-0.5, 0.5, 1.5], colors=CLASS_COLORS, alpha=0.25)
        draw_points(ax, *points.T, labels)
        ax.set(xlabel=names[0], ylabel=names[1], title=f"k = {count}")

    show_player(figure, draw, list(counts), description)


def draw_points(ax, across, up, labels):
    for number, marker in enumerate("os"):
        color, name, chosen = CLASS_COLORS[number], CLASS_NAMES[number], labels == number
        ax.scatter(across[chosen], up[chosen], s=16, color=color, marker=marker, edgecolor="white", lw=0.3, label=name)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def play_logistic_curve(values, labels, weights, name, description):
    """Show how the curve of logistic regression grows steeper with its weight, for one feature.

    values: (N,), the feature; labels: (N,) of 0 and 1; weights: one for each frame; name: of the feature. Each curve
    crosses one half in the middle between the means of the two classes.
    """
    values, labels = np.asarray(values, dtype=float), np.asarray(labels)
    middle = (values[labels == 0].mean() + values[labels == 1].mean()) / 2
    line = np.linspace(values.min(), values.max(), 200)
    heights = labels + np.random.default_rng(0).uniform(-0.05, 0.05, len(labels))  # else points hide each other
    figure, ax = plt.subplots(figsize=(6.6, 3.8), layout="constrained")

    def draw(weight):
        ax.clear()
        ax.axhline(0.5, color="gray", linestyle="--", linewidth=1)
        ax.plot(line, 1 / (1 + np.exp(-weight * (line - middle))), color="black", linewidth=2, label="curve", zorder=3)
        draw_points(ax, values, heights, labels)
        ax.set(xlabel=name, ylabel="probability of pneumonia", ylim=(-0.1, 1.1), title=f"weight = {weight:g}")

    show_player(figure, draw, list(weights), description)


def play_descent(loss, start, rate, steps, description):
    """Show gradient descent on one weight: a ball on the curve of the loss, and where its next step leads.

    loss: a function of one weight; start: the first weight; rate: the learning rate.
    """
    weights, slopes = [start], []
    for _ in range(steps + 1):
        slopes.append((loss(weights[-1] + 1e-3) - loss(weights[-1] - 1e-3)) / 2e-3)
        weights.append(weights[-1] - rate * slopes[-1])
    losses = [loss(weight) for weight in weights]
    margin = 0.3 * (max(weights) - min(weights))
    line = np.linspace(min(weights) - margin, max(weights) + margin, 100)
    curve = [loss(weight) for weight in line]
    figure, ax = plt.subplots(figsize=(6.6, 3.8), layout="constrained")

    def draw(step):
        ax.clear()
        ax.plot(line, curve, color="#0173b2")
        ax.plot(weights[:step], losses[:step], "o", color="lightgray")
        ax.plot(weights[step], losses[step], "o", color="#de8f05", markersize=11)
        ends = [(weights[number], losses[number]) for number in (step + 1, step)]
        ax.annotate("", *ends, arrowprops={"arrowstyle": "-|>", "linewidth": 2})
        ax.set(xlabel="weight", ylabel="loss")
        ax.set_title(f"step {step}: weight {weights[step]:.3f}, loss {losses[step]:.3f}, slope {slopes[step]:.3f}")

    show_player(figure, draw, range(steps + 1), description)


def plot_score_board(notebook):
    """Draw the scores of every model of the notebooks up to this one, as far as there are any. Returns the two axes.

    AUC and accuracy (at 0.5) on validation and test images, beginning with notebook 6 on field images, with notebook 8
    on those of another hospital; of your own run, else of the stored one, and the accuracy of the reader, with 95 %
    intervals by patient. Show it with show_figure.
    """
    table = helpers.get_metadata().set_index("index")
    patients = dict.fromkeys(STYLES, table["patient"])
    splits = [*STYLES][: 2 if notebook < 6 else 3 if notebook < 8 else 4]
    if "external" in splits:
        patients["external"] = pd.Series(external.list_external()[2])
    answers = [helpers.read_predictions(split) for split in splits]
    names = {model: name for model, (name, number) in helpers.MODELS.items() if number <= notebook}
    own = helpers.read_kept(helpers.own_path("_reader.json"), {})
    if record := own or reader.load_example():
        judged = pd.DataFrame({"index": record["indices"], "probability": record["answers"]})
        labels = table["class"].reindex(judged["index"]).to_numpy()
        answers.append(judged.assign(model="reader", split="reader", label=labels))
        names["reader"] = f"{'you' if own else 'another reader'}, {len(judged)} images"
    answers = pd.concat(answers)
    rows = [model for model in names if model in set(answers["model"])]
    size = (10, 1.4 + 0.17 * (len(splits) + 1) * len(rows))
    figure, axes = plt.subplots(1, 2, figsize=size, layout="constrained", sharey=True)
    for (model, split), part in answers[answers["model"].isin(rows)].groupby(["model", "split"], sort=False):
        color, marker = STYLES[split]
        shift = (splits.index(split) + 1) / (len(splits) + 1) - 0.5 if split in splits else 0
        if split == "reader":  # who has no AUC; drawn anew by patient, ten right answers of ten would stay ten of ten
            right = binomtest(int((part["label"] == part["probability"]).sum()), len(part))
            scores = {axes[1]: (right.statistic, *right.proportion_ci())}
        else:
            scores = score_by_patient(part["label"], part["probability"], patients[split].reindex(part["index"]))
            scores = dict(zip(axes, scores, strict=True))
        for ax, (value, low, high) in scores.items():
            row, reach = rows.index(model), np.maximum([[value - low], [high - value]], 0)
            ax.errorbar(value, row + shift, xerr=reach, fmt=marker, color=color, linewidth=2, label=split)
            ax.text(low - 0.015, row + shift, f"{value:.3f}", ha="right", va="center", fontsize=8)
    axes[0].set(title="AUC", yticks=range(len(rows)), yticklabels=[names[model] for model in rows])
    axes[1].set(title="accuracy at 0.5", ylim=(len(rows) - 0.4, -0.6))
    for ax in axes:
        ax.set_xlim(ax.get_xlim()[0] - 0.08, 1.03)  # room for the leftmost number
        ax.grid(axis="x", color="lightgray")
    lines, labels = axes[1].get_legend_handles_labels()
    drawn = dict(zip(labels, lines, strict=True))  # one of each
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=5)
    return axes


def score_by_patient(labels, probabilities, patients):
    """AUC and accuracy at 0.5, each as (value, lower, upper) with the 95 % interval by patient."""
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=float)

    def measure(rows):
        scores = helpers.score(labels[rows], probabilities[rows])
        return scores["auc"], scores["accuracy"]

    lower, upper = helpers.bootstrap_interval(measure, patients, draws=300)
    return list(zip(measure(np.arange(len(labels))), lower, upper, strict=True))


# --- the data of notebook 1 -------------------------------------------------------------------------------------------


def plot_splits(metadata):
    """Draw the parts of the images, how many each holds, and what becomes of their labels. Returns the axes."""
    training, validation = helpers.split_by_patient(metadata)
    counts = [len(training), len(validation), *metadata["split"].value_counts()[["test", "field"]]]
    colors = {"training": "#56b4e9", "validation": "#b5dff7", "test": "#de8f05", "field": "#73a659"}
    answers = ["images,\nlabels hidden", "the model\nanswers", "its answers are compared\nwith the labels, "]
    steps = {
        "training": ["images\nand labels", "the model\nlearns", "once more,\nmany times over"],
        "validation": [*answers[:2], answers[2] + "as often as\none likes, to choose settings"],
        "test": [*answers[:2], answers[2] + "once,\nat the very end"],
        "field": [*answers[:2], answers[2] + "once:\ndoes it work elsewhere, too?"],
    }
    ax = plt.subplots(figsize=(10, 4.4), layout="constrained")[1]
    for row, (name, words) in enumerate(steps.items()):
        ax.barh(row + 0.12, counts[row] / max(counts) * 2.2, height=0.36, color=colors[name])
        ax.text(0, row - 0.12, f"{name}: {counts[row]:,} images", va="bottom", fontsize=11)
        for step, (place, text) in enumerate(zip([3.3, 5.2, 7.9], words, strict=True)):
            line = {"edgecolor": "gray", "linestyle": "--"} if "hidden" in text else {"edgecolor": colors[name]}
            box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "linewidth": 2, **line}
            ax.text(place, row, text, ha="center", va="center", fontsize=9.5, bbox=box)
            if step:
                left, right = [(4.0, 4.5), (5.9, 6.45)][step - 1]
                ax.annotate("", (right, row), (left, row), arrowprops={"arrowstyle": "-|>", "linewidth": 2})
    ax.set(xlim=(-0.05, 9.6), ylim=(3.6, -0.6))
    ax.axis("off")
    return ax


def plot_signs(data, table, index):
    """Draw an image and, beside it, the same image with the signs of pneumonia marked. Returns the two axes.

    data: (N, 64, 64, 3) in [0, 1]; table: these images' rows of get_metadata(); index: which of them. A line surrounds
    the pneumonia of a simulated image, which is known; arrows with numbers stand on the real images of SIGNS only.
    """
    axes = plt.subplots(1, 2, figsize=(8, 4.3), layout="constrained")[1]
    row = table.iloc[[index]]
    for ax in axes:
        helpers.plot_one_image(data, table["class"], index, ax)
    axes[1].set_title("where to look")
    if helpers.are_simulated():
        axes[1].contour(phantoms.draw_masks(row)[0], levels=[0.5], colors="#de8f05", linewidths=2)
        return axes
    for number, (tip, start) in enumerate(SIGNS.get(row["filename"].item(), []), start=1):
        box = {"boxstyle": "circle", "facecolor": "white", "edgecolor": "#de8f05"}
        arrow = {"arrowstyle": "-|>", "color": "#de8f05", "linewidth": 2.5}
        axes[1].annotate(str(number), tip, start, fontsize=11, ha="center", va="center", bbox=box, arrowprops=arrow)
    return axes


def plot_two_sizes(data, table, index, size=224):
    """Draw an image with 64 x 64 pixels and, where its file is at hand, the same with size x size. Returns the axes.

    data, table, index: as in plot_signs.
    """
    pictures = [data[index][..., 0], read_large(table.iloc[[index]], size)]
    pictures = [picture for picture in pictures if picture is not None]
    axes = plt.subplots(1, len(pictures), figsize=(5 * len(pictures), 5.3), squeeze=False, layout="constrained")[1][0]
    for ax, picture in zip(axes, pictures, strict=True):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set_title(f"{len(picture)} x {len(picture)} = {picture.size:,} pixels")
        ax.axis("off")
    return axes


def read_large(row, size):
    """One image of the table, (size, size) in [0, 1], or None where that takes a download or there is no such file."""
    source = sources.choose_source()
    if source == "phantoms":
        return phantoms.draw_images(row, size)[0] / 255
    at_hand = sources.in_hosted_notebook() or (sources.CACHE / "chest_xray").is_dir()
    if source == "folder" or (source == "kermany" and at_hand):
        return sources.read_images(sources.SOURCES[source].folder(size), row["filename"], size)[0] / 255
    return None

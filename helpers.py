"""What every notebook shares: images (from data/sources.py), figures, scores and results."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.ticker import MaxNLocator
from scipy.stats import rankdata

from data import external, sources
from data.arguments import check_count, check_images, check_labels, check_probabilities, check_several
from data.field import disturb
from data.select_images import hold_out_patients
from data.sources import DataError, one_line, read_json, write_whole

PROJECT = Path(__file__).resolve().parent
RESULTS = PROJECT / "results"  # what the course measured
OWN_RESULTS = RESULTS / "own"  # what this computer measured

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow: errors only
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # faster convolutions on every processor, not on new ones only
os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever Keras' own settings on this computer say
_seed = os.environ.get("SEED", "").strip() or "0"
if not _seed.isdecimal():
    raise DataError(f'SEED is "{_seed}": set it to a whole number, such as 0, and restart.')
SEED = int(_seed)
QUICK = os.environ.get("QUICK", "").strip().lower() not in ("", "0", "no", "false")  # train on less, for fewer epochs

MODELS = {  # name in results: (words, notebook that trains it)
    "knn": ("nearest neighbours", 2),
    "logistic_regression": ("logistic regression", 2),
    "decision_tree": ("decision tree", 2),
    "cnn": ("convolutional network", 3),
    "vgg16": ("VGG16", 4),
    "cnn_augmented": ("convolutional network, prepared", 6),
    "vgg16_augmented": ("VGG16, prepared", 6),
}
# an empty table whose columns have their types: those of a table joined to it stay numbers
NO_PREDICTIONS = pd.DataFrame([{"model": "", "split": "", "seed": 0, "index": 0, "label": 0, "probability": 0.0}])[:0]
CLASS_NAMES = ["healthy", "pneumonia"]
CLASS_COLORS = ["#0173b2", "#de8f05"]  # blue and orange: told apart by the colour-blind too


def describe_setup():
    """Print the versions in use and where the images come from."""
    packages = ["numpy", "pandas", "scikit-learn", "tensorflow", "keras"]
    print(", ".join([f"Python {platform.python_version()}"] + [f"{name} {_version(name)}" for name in packages]))
    print(f"Images: {sources.describe_source()}")
    if is_quick():
        print("Quick run: fewer images and epochs, so scores are lower than they could be.")


def is_quick():
    """True where fewer images and epochs shall do: with QUICK=1, and on simulated images, which are easier."""
    return QUICK or are_simulated()


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:  # another package may bring the module, such as tensorflow-cpu
        return next(map(version, packages_distributions().get(name, [])), "is not installed")


# --- images and their table ------------------------------------------------------------------------------------------


def get_metadata():
    """The table of images: a DataFrame with one row each. Raises DataError.

    Columns: index (in the image array), class (0 healthy, 1 pneumonia), split (train, test, field), patient, filename.
    """
    return sources.load_table()


def get_train_data(flatten=False):
    """The training images and their labels.

    Returns (images, labels): images float32 in [0, 1] of shape (N, 64, 64, 3), the grey value repeated three times, or
    (N, 12288) with flatten=True; labels int of shape (N,), 0 healthy, 1 pneumonia. Raises DataError.
    """
    return _get_split("train", flatten)


def get_test_data(flatten=False):
    """The test images and their labels, in the form of get_train_data. Only for the last measurement of a model."""
    return _get_split("test", flatten)


def get_field_data(flatten=False):
    """The field images, disturbed as by a portable machine (each by its index), and labels, as in get_train_data."""
    return _get_split("field", flatten)


def _get_split(split, flatten):
    rows = get_metadata().query("split == @split")
    grey = sources.load_images()[rows["index"]] / np.float32(255)
    if split == "field":
        grey = np.stack([disturb(image, seed) for image, seed in zip(grey, rows["index"], strict=True)])
    images = in_colour(grey)
    return images.reshape(len(images), -1) if flatten else images, rows["class"].to_numpy()


def get_external_data(size=64):
    """The images of another hospital, which PNEUMONIA_EXTERNAL chooses, for notebook 8.

    Returns (images, labels, patients): images (N, size, size, 3) and labels as in get_train_data; patients (N,), str.
    """
    paths, labels, patients = external.list_external(size)
    return in_colour(sources.read_all(paths, size) / np.float32(255)), labels, patients


def in_colour(grey):
    """Grey images (N, side, side) with their grey value repeated three times: (N, side, side, 3)."""
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)


def get_own_data(folder):
    """Images from your own folder, which holds the folders healthy and pneumonia with image files of any size.

    Returns (images, labels) as get_train_data does. Raises DataError where images are missing or damaged.
    """
    folder = sources.find_folders([Path(str(folder)).expanduser()], CLASS_NAMES)
    paths, labels = sources.list_classes(folder, CLASS_NAMES)
    return in_colour(sources.read_all(paths) / np.float32(255)), labels


def split_by_patient(metadata):
    """Divide the images of the train split: four fifths to learn from, one fifth (validation) to choose settings.

    metadata: get_metadata(), or some of its rows in any order. No patient stands in both parts, and both hold the
    classes in the same proportion. Returns (training, validation), two int arrays of positions in get_train_data()'s
    arrays. Raises DataError for another table.
    """
    missing = [name for name in sources.COLUMNS[:4] if name not in metadata]
    if missing or metadata["index"].duplicated().any():
        fault = f"lacks {', '.join(missing)}" if missing else "has rows twice"
        raise DataError(f"This table {fault}: give get_metadata(), or some of its rows, each once.")
    parts = hold_out_patients(metadata[metadata["split"] == "train"].set_index("index"), 5)
    order = get_metadata().query("split == 'train'")["index"]  # of get_train_data()'s arrays
    return tuple(np.searchsorted(order, part) for part in parts)


# --- figures --------------------------------------------------------------------------------------------------------


def are_simulated(elsewhere=False):
    """True where the images in use are phantoms; elsewhere=True: those, or the images of the other hospital."""
    return "phantoms" in (sources.choose_source(), elsewhere and external.choose_external())


def show_figure(alt, images=True):
    """Show the current figure, with a text for readers who cannot see it.

    alt: what the figure shows, in full sentences. Where it is drawn from images (images=True; "external": those of the
    other hospital, too) and these are simulated, a line under it and the text say so: nobody may mistake a phantom for
    a patient.
    """
    figure = plt.gcf()
    if images and are_simulated(images == "external"):
        figure.text(0.5, -0.01, "Simulated images, not patients", ha="center", va="top", fontsize=9, color="dimgray")
        alt = f"Simulated images, not patients. {alt}"
    display(figure, metadata={"image/png": {"alt": alt}})
    plt.close(figure)


def plot_one_image(data, labels=None, index=None, ax=None):
    """Draw one image. Returns the matplotlib axes.

    data: one image (64, 64, 3), or many, (N, 64, 64, 3) or (N, 12288), of which index chooses one; values in [0, 1].
    labels: the classes of the images, for the title. Raises DataError for others, IndexError for another index.
    """
    images = np.asarray(data)
    if images.shape != (64, 64, 3) and images.shape[1:] not in [(64, 64, 3), (12288,)]:
        raise DataError(f"images have shape (N, 64, 64, 3), (N, 12288) or (64, 64, 3); these have {images.shape}.")
    images = check_images(images.reshape(-1, 64, 64, 3))
    position = 0 if index is None else index
    if position not in range(len(images)):
        raise IndexError(f"there is no image {index}: the indices go from 0 to {len(images) - 1}, by position")
    ax = ax or plt.subplots(figsize=(3.5, 3.5))[1]
    ax.imshow(images[position], vmin=0, vmax=1)
    words = [] if labels is None else [CLASS_NAMES[check_labels(labels, len(images))[position]]]
    words += [] if index is None else [f"image {index}"]
    words += ["simulated"] if are_simulated() else []
    ax.set_title(", ".join(words))
    ax.axis("off")
    return ax


def plot_images(images, titles=None, columns=5):
    """Draw images in rows of `columns`, with a title for each. Returns the array of matplotlib axes.

    images: in colour (64, 64, 3) in [0, 1], or grey of any size and range, drawn from their darkest to their brightest.
    """
    check_several(images)
    rows = -(-len(images) // columns)
    size = (1.75 * columns, (1.75 if titles is None else 2) * rows)
    titles = [""] * len(images) if titles is None else titles
    check_count(titles, len(images), "titles")
    axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")[1]
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image, cmap="gray")
        ax.set_title(title, fontsize=10)
    return axes


def plot_acc(history, ax=None):
    """Draw the accuracy of each epoch on training and on validation images. Returns the matplotlib axes.

    history: what Keras' fit returned. Dashed: a coin toss; dotted: lowest validation loss.
    """
    return _plot_epochs(history, "accuracy", ax)


def plot_loss(history, ax=None):
    """Draw the loss of each epoch as plot_acc draws the accuracy. Returns the matplotlib axes."""
    return _plot_epochs(history, "loss", ax)


def plot_history(history):
    """Draw plot_acc and plot_loss side by side. Returns the two matplotlib axes."""
    axes = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")[1]
    return plot_acc(history, axes[0]), plot_loss(history, axes[1])


def _plot_epochs(history, quantity, ax):
    kept = history
    while hasattr(kept, "history"):  # what fit returned, the model, or the dictionary inside both
        kept = kept.history
    kept = {name: list(values) for name, values in dict(kept if kept is not None else {}).items()}
    name = next((name for name in (quantity, quantity[:3], f"binary_{quantity}") if kept.get(name)), None)
    if name is None:
        raise DataError(f'There is no {quantity} in this: give what fit returned, compiled with metrics=["accuracy"].')
    epochs = [epoch + 1 for epoch in getattr(history, "epoch", range(len(kept[name])))]
    ax = ax or plt.subplots(figsize=(6, 3.5), layout="constrained")[1]
    curves = [(name, "o", "training images"), (f"val_{name}", "s", "validation images")]
    upper = max((curve for curve in (name, f"val_{name}") if curve in kept), key=lambda curve: kept[curve][-1])
    for (name, marker, label), color in zip(curves, CLASS_COLORS, strict=True):
        if name in kept:
            ax.plot(epochs, kept[name], color=color, marker=marker, markersize=3, label=label)
            side = {"va": "bottom" if name == upper else "top", "xycoords": ("axes fraction", "data")}
            ax.annotate(f" {label}", (1, kept[name][-1]), color=color, **side)
    losses = np.array(kept.get("val_loss", []), dtype=float)
    if not np.isnan(losses).all():  # an epoch whose loss was no number is never the best
        best = epochs[np.nanargmin(losses)]
        ax.axvline(best, color="black", linestyle=":", label="best epoch")
        ax.annotate("best epoch", (best, 1.02), xycoords=("data", "axes fraction"), ha="center")
    toss = {"accuracy": 0.5, "loss": np.log(2)}[quantity]
    if quantity == "accuracy" or ax.get_ylim()[1] > 0.6:
        ax.axhline(toss, color="gray", linestyle="--", linewidth=1, label="coin toss")
        side = {"va": "bottom" if quantity == "accuracy" else "top", "ha": "center", "color": "dimgray"}
        ax.annotate("coin toss", (0.5, toss), xycoords=("axes fraction", "data"), **side)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel=quantity)
    return ax


# --- scores and results ---------------------------------------------------------------------------------------------


def score(labels, probabilities, threshold=0.5):
    """How good the probabilities of pneumonia are, as a dict of four numbers in [0, 1].

    labels: (N,) of 0 and 1; probabilities: (N,) in [0, 1]; from the threshold on an image counts as ill. accuracy:
    share of right answers; sensitivity: of the ill called ill; specificity: of the healthy called healthy; auc: how
    often an ill image has a higher probability than a healthy one. Raises DataError for anything else.
    """
    labels = check_labels(labels, len(labels))
    if not 0 <= threshold <= 1:
        raise DataError(f"The threshold is from 0 to 1, and this one is {threshold}: divide percent by 100.")
    probabilities = check_probabilities(probabilities, len(labels))
    ill, called_ill = labels == 1, probabilities >= threshold
    if ill.all() or not ill.any():
        raise DataError(f"All labels are {labels[:1]}: a score needs healthy images (0) and ill ones (1).")
    won = rankdata(probabilities)[ill].mean() - (ill.sum() + 1) / 2  # roc_auc_score takes twenty times as long
    return {
        "accuracy": float(np.mean(called_ill == labels)),
        "auc": float(won / np.sum(~ill)),
        "sensitivity": float(np.mean(called_ill[ill])),
        "specificity": float(np.mean(~called_ill[~ill])),
    }


def results_name():
    """Under which name results are kept: "kermany" from a folder, too; a quick run on real images stays apart."""
    source = sources.choose_source()
    return ("kermany" if source == "folder" else source) + ("_quick" if QUICK and source != "phantoms" else "")


def own_path(ending):
    """Where this computer keeps results on the images in use; ending: of the file's name, such as "_reader.json"."""
    return sources.writable(OWN_RESULTS) / f"{results_name()}{ending}"


def keep(path, content):
    """Write what only later notebooks use: where that fails, a line says so, and the lesson goes on."""
    try:
        write_whole(path, content)
    except DataError as error:
        print(f"{error} The lesson goes on without this file.")


def read_kept(path, nothing):
    """What a file of results (JSON or CSV) holds, or `nothing` where there is none; a line tells of a damaged one."""
    try:
        return read_json(path) if path.suffix == ".json" else pd.read_csv(path)[[*nothing]].dropna()
    except FileNotFoundError:
        return nothing
    except (OSError, ValueError, KeyError) as error:
        print(f"{path.name} is damaged ({one_line(error)}): it counts as not there.")
        return nothing


def save_result(model, split, indices, labels, probabilities, seconds, notebook):
    """Score a model's probabilities of pneumonia and keep both in results/own for later notebooks. Returns the scores.

    model: such as "knn"; split: such as "test"; indices: the images' `index`; labels, probabilities: as in score();
    seconds: for training; notebook: its number. Replaces what the same model, split and seed left before.
    """
    probability = np.ravel(probabilities).astype(float).round(6)  # fewer digits would make a sure model's answers equal
    scores, run = score(labels, probability), {"model": model, "split": split, "seed": SEED}
    check_count(indices, len(labels), "indices")
    table = {**run, "index": np.ravel(indices), "label": np.ravel(labels), "probability": probability}
    results = [other for other in read_kept(own_path(".json"), []) if any(other.get(key) != run[key] for key in run)]
    results.append({**run, **scores, "seconds": seconds, "notebook": notebook})
    old = read_kept(own_path("_predictions.csv"), NO_PREDICTIONS)
    old = old[(old[list(run)] != pd.Series(run)).any(axis=1)]
    keep(own_path(".json"), json.dumps(results, indent=1) + "\n")
    keep(own_path("_predictions.csv"), pd.concat([old, pd.DataFrame(table)]).to_csv(index=False))
    return scores


def read_predictions(split):
    """As load_predictions, but of any models that have a run, one row per model and image, with the probability."""
    stored = RESULTS / f"{results_name().removesuffix('_quick')}_predictions.csv"
    tables = [read_kept(path, NO_PREDICTIONS) for path in (stored, own_path("_predictions.csv"))]
    stored, own = [table[(table["split"] == split) & (table["seed"] == SEED)] for table in tables]
    if split == "external":  # there are several such sets of images: answers for another one are of no use
        labels = pd.Series(external.list_external()[1])
        stored, own = [
            table.groupby("model").filter(lambda rows: labels.equals(rows.set_index("index")["label"]))
            for table in (stored, own)
        ]
    return pd.concat([stored[~stored["model"].isin(own["model"])], own])


def load_predictions(split):
    """Every model's probabilities of pneumonia for one split ("validation", "test" or "field"), for later notebooks.

    Returns a DataFrame with one row per image: index, label, and one column per model, such as "knn". Your own runs go
    before the stored ones. Raises DataError where a model of notebooks 2 to 4 has no run.
    """
    table = read_predictions(split)
    missing = [name for name, (_, notebook) in MODELS.items() if notebook <= 4 and name not in set(table["model"])]
    if missing:
        what = f"{split} predictions of {', '.join(missing)}"
        raise DataError(f"There are no {what} for these images with seed {SEED} yet: run notebooks 2 to 4 first.")
    wide = table.pivot(index=["index", "label"], columns="model", values="probability")
    return wide[[model for model in MODELS if model in wide]].reset_index().rename_axis(columns=None)


def load_results():
    """All stored scores on these images, or else your own: a DataFrame. Raises DataError without any."""
    stored = RESULTS / f"{results_name().removesuffix('_quick')}.json"
    runs = read_kept(stored, []) or read_kept(own_path(".json"), [])
    if not runs:
        raise DataError("There are no results for these images yet: run notebooks 2 to 4 first.")
    return pd.DataFrame(runs)


def check_band(model, split, scores):
    """Print whether the AUC in scores, from score(), lies where runs with several seeds had it (results/bands.json)."""
    band = read_kept(RESULTS / "bands.json", {}).get(results_name(), {}).get(f"{model} {split}")
    inside = bool(band and band[0] <= scores["auc"] <= band[1])
    verdict = f"AUC in the expected band: {inside}" if band else "no earlier runs on these images to compare with"
    print(f"{model}, {split}: {verdict}")


def bootstrap_interval(statistic, patients, draws=1000, seed=0):
    """The range that holds a statistic in 95 % of repeated draws of patients, (lower, upper).

    statistic: of an int array of positions of images, such as lambda rows: score(y[rows], p[rows])["auc"], one number
    or several; patients: (N,), the patient of each image. Patients are drawn with replacement, each with all her
    images: these resemble each other, so drawing single images would make the range too narrow.
    """
    without = int(pd.isna(np.asarray(patients)).sum())
    if without or not len(patients):
        raise DataError(f"{without} of {len(patients)} images have no patient: take those of get_metadata() by index.")
    images_of = list(pd.Series(range(len(patients))).groupby(np.asarray(patients)).indices.values())
    drawn = np.random.default_rng(seed).integers(len(images_of), size=(draws, len(images_of)))
    values = [statistic(np.concatenate([images_of[patient] for patient in patients])) for patients in drawn]
    return tuple(np.percentile(values, [2.5, 97.5], axis=0))

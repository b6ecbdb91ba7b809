"""Measure what notebook 7 tells about, on the images that PNEUMONIA_DATA chooses.

python tools/measure_further.py ingredients   trains its network with one ingredient at a time and writes
                                              results/ingredients.json; 15 minutes on two cores
python tools/measure_further.py recipes       trains it with all random changes, longer or on larger images, and writes
                                              results/recipes.json; an hour on two cores
python tools/measure_further.py exam          executes the notebook with three seeds, stores the one of the first, and
                                              writes results/further.json, with the mean of the three as one network
                                              more; an hour and a quarter on the real images

Of the ingredients every network sees the same training images of 64 x 64 pixels for two epochs. All figures but those of
the exam are of validation patients, on their images as they are and disturbed as in notebook 6.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import shift
from sklearn.metrics import log_loss

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import helpers
import networks
from data import field
from tools import run

keras = networks.import_keras()
from keras import layers

SEEDS = (0, 1, 2)
EPOCHS = 2
SIZE = 64
RECIPES = {"4 epochs, 128 pixels": (4, 128), "7 epochs, 128 pixels": (7, 128), "4 epochs, 160 pixels": (4, 160)}
EQUALISE = layers.Equalization(value_range=(0, 1))


def nothing():
    return []


def shifts_and_zooms():
    return [layers.RandomTranslation(0.1, 0.1, fill_mode="constant"), layers.RandomZoom(0.2, fill_mode="constant")]


def tilt_and_exposure():
    return [
        layers.RandomRotation(10 / 360, fill_mode="constant"),
        layers.RandomBrightness(0.15, value_range=(0, 1)),
        layers.RandomContrast(0.3, value_range=(0, 1)),
    ]


def stream(table, equalised, shuffle=False):
    images = networks.stream_images(table, SIZE, shuffle)
    return images.map(lambda pictures, labels: (EQUALISE(pictures), labels)) if equalised else images


def train(table, make_changes=nothing, equalised=False, weighted=False, averaged=False):
    """A network fine-tuned on the training images; make_changes: a function, as layers take their seed when made."""
    rows = table[table["split"] == "train"].sample(frac=1, random_state=0)
    keras.utils.set_random_seed(0)
    model, _ = networks.start_vgg16(stream(rows, equalised), rows["class"].to_numpy(), make_changes(), EPOCHS)
    share = rows["class"].mean()
    weights = {0: 0.5 / (1 - share), 1: 0.5 / share} if weighted else None
    model.optimizer.use_ema = averaged  # in the end the weights are their mean over about the last hundred steps
    model.fit(stream(rows, equalised, shuffle=True), epochs=EPOCHS, verbose=0, shuffle=False, class_weight=weights)
    return model


def views(images):
    """The image as it is, and moved by a sixteenth of its side to each of the four sides."""
    step = images.shape[1] // 16
    moves = [(0, 0), (0, step), (0, -step), (step, 0), (-step, 0)]
    return [shift(images, (0, *move, 0), order=0) for move in moves]


def scores(labels, probabilities):
    labels, probabilities = np.ravel(labels), np.ravel(probabilities).astype(float)
    result = helpers.score(labels, probabilities) | {"loss": log_loss(labels, probabilities)}
    return {name: round(float(value), 4) for name, value in result.items()}


def store(result, name):
    helpers.write_whole(PROJECT / "results" / name, json.dumps(result, indent=1) + "\n")


def validation_images(validation, size):
    """The images as they are, and disturbed as in notebook 6."""
    images = np.concatenate([batch.numpy() for batch, _ in networks.stream_images(validation, size)])
    grey = [field.disturb(image, 100_000 + number) for number, image in enumerate(images[:, :, :, 0])]
    return {"as they are": images, "disturbed": helpers.in_colour(np.stack(grey))}


def keep(result, file, name, labels, kinds, answers):
    """Add the scores of one network to the result, which is stored each time."""
    result[name] = {kind: scores(labels, answer) for kind, answer in zip(kinds, answers, strict=True)}
    print(name, result[name], flush=True)
    store(result, file)


def mean_of_views(model, kinds):
    return [
        np.mean([model.predict(view, verbose=0) for view in views(pictures)], axis=0) for pictures in kinds.values()
    ]


def measure_ingredients():
    print("calculating in:", networks.choose_precision())
    table = all_images.list_all_images(SIZE)
    validation = table[table["split"] == "validation"]
    labels, kinds, result = validation["class"].to_numpy(), validation_images(validation, SIZE), {}
    for name, options in {
        "nothing": {},
        "shifts and zooms": {"make_changes": shifts_and_zooms},
        "tilt and exposure": {"make_changes": tilt_and_exposure},
        "equalised": {"equalised": True},
        "class weights": {"weighted": True},
        "mean of the weights": {"averaged": True},
    }.items():
        model = train(table, **options)
        prepare = EQUALISE if options.get("equalised") else np.asarray
        answers = [model.predict(prepare(pictures), verbose=0) for pictures in kinds.values()]
        keep(result, "ingredients.json", name, labels, kinds, answers)
        if name == "nothing":
            keep(result, "ingredients.json", "mean of five views", labels, kinds, mean_of_views(model, kinds))


def measure_recipes():
    print("calculating in:", networks.choose_precision())
    result = {}
    for name, (epochs, size) in RECIPES.items():
        parts = dict(tuple(all_images.list_all_images(size).groupby("split")))
        validation = parts["validation"]
        labels, kinds = validation["class"].to_numpy(), validation_images(validation, size)
        keras.utils.set_random_seed(helpers.SEED)
        changes = [*shifts_and_zooms(), *tilt_and_exposure()]
        rows = parts["train"].sample(frac=1, random_state=helpers.SEED)
        images = networks.stream_images(rows, size)
        model, _ = networks.start_vgg16(images, rows["class"].to_numpy(), changes, epochs, size)
        model.fit(
            networks.stream_images(rows, size, shuffle=True),
            validation_data=networks.stream_images(validation, size),
            epochs=epochs,
            verbose=0,
            shuffle=False,
            callbacks=networks.training_callbacks("recipe", epochs),
        )
        networks.load_best_weights(model, "recipe")
        answers = [model.predict(pictures, verbose=0) for pictures in kinds.values()]
        keep(result, "recipes.json", name, labels, kinds, answers)
        keep(result, "recipes.json", f"{name}, five views", labels, kinds, mean_of_views(model, kinds))


def measure_exam():
    path = run.NOTEBOOKS / "07_going_further.ipynb"
    for seed in SEEDS:
        os.environ["SEED"] = str(seed)
        notebook, seconds, _ = run.execute(path)
        print(f"{path.stem}, seed {seed}: {seconds:.0f} s", flush=True)
        if seed == SEEDS[0]:
            run.write_whole(notebook, path)
    own = json.loads((run.OWN_RESULTS / f"{helpers.results_name()}.json").read_text(encoding="utf-8"))
    own = [result for result in own if result["model"] == "vgg16_all" and result["seed"] in SEEDS]
    store([*own, *exam_of_the_mean()], "further.json")


def exam_of_the_mean():
    """Scores of the mean answer of the three networks, on each split, with intervals."""
    answers = pd.read_csv(run.OWN_RESULTS / f"{helpers.results_name()}_predictions.csv")
    answers = answers[(answers["model"] == "vgg16_all") & answers["seed"].isin(SEEDS)]
    patients, results = all_images.list_all_images(SIZE)["patient"], []
    for split, rows in answers.groupby("split"):
        images = rows.groupby("index")[["label", "probability"]].mean()
        truth, p = images["label"].to_numpy(), images["probability"].to_numpy()
        low, high = helpers.bootstrap_interval(
            lambda drawn, truth=truth, p=p: list(helpers.score(truth[drawn], p[drawn]).values()), patients[images.index]
        )
        scores = helpers.score(truth, p)
        ends = {name: [float(low[n]), float(high[n])] for n, name in enumerate(scores)}
        results.append({"model": "mean of the three", "split": split, **scores, "intervals": ends})
    return results


def main():
    parts = {"ingredients": measure_ingredients, "recipes": measure_recipes, "exam": measure_exam}
    try:
        if helpers.are_simulated() or helpers.QUICK:
            sys.exit(
                "These are figures of full runs on the real images: unset QUICK, and set PNEUMONIA_DATA to their folder."
            )
        if sys.argv[1:] not in [[name] for name in parts]:
            sys.exit("Say what to measure: python tools/measure_further.py ingredients, recipes or exam.")
        parts[sys.argv[1]]()
    except helpers.sources.DataError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

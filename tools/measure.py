"""Measure what the texts quote, and store it in results/.

python tools/measure.py               lists the experiments, with their minutes on two cores
python tools/measure.py tinkering     makes one of them, on the real images that PNEUMONIA_DATA names
python tools/measure.py seeds 04 06   of the seeds only these notebooks; results of others stay. 06 needs the answers of
                                      02 to 04 with every seed in results/own: measure those before
"""

import hashlib
import itertools
import os
import sys
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from sklearn import linear_model, pipeline, preprocessing

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import helpers
import networks
from data import all_images, field, phantoms, sources
from tools import run, trials
from tools.trials import SEEDS, disturbed, require_real_images, store

keras = networks.import_keras()
layers, schedules = keras.layers, keras.optimizers.schedules
MARGIN = 0.03  # of a band, on both sides of what the seeds gave
LOSS = {"loss": "binary_crossentropy", "metrics": ["accuracy"]}


def fit(model, training, validation, epochs):
    """Train a compiled model; scores and loss on validation images in its best epoch. Both parts: (images, labels)."""
    best = keras.callbacks.EarlyStopping(patience=epochs, restore_best_weights=True)  # does not stop: takes the best
    history = model.fit(*training, validation_data=validation, epochs=epochs, verbose=0, callbacks=[best])
    scores = helpers.score(validation[1], model.predict(validation[0], verbose=0))
    return scores | {"loss": min(history.history["val_loss"])}


def train_all(recipes, seeds, precision="float32"):
    """A row of scores on validation images for each recipe and seed; precision: Keras' name of the numbers' format.

    recipes: {name: function of training images, validation images and seed, which returns the arguments of fit}.
    """
    images, labels = helpers.get_train_data()
    parts = [(images[rows], labels[rows]) for rows in helpers.split_by_patient(helpers.get_metadata())]
    result = []
    for name, seed in itertools.product(recipes, seeds):
        keras.backend.clear_session()
        keras.mixed_precision.set_global_policy(precision)
        keras.utils.set_random_seed(seed)
        scores = fit(*recipes[name](*parts, seed))
        result.append({"recipe": name, "precision": precision, "seed": seed, **scores})
        print(result[-1], flush=True)
    return result


def compare(recipes):
    """{name of the recipe: AUC} with seed 0."""
    return {row["recipe"]: round(row["auc"], 3) for row in train_all(recipes, [0])}


def measure_seeds(*numbers):
    """Scores of every seed, predictions of seed 0, and bands; of full and of quick runs, with QUICK=1 only of these.

    Bands only widen, since other processors round otherwise; delete those of a recipe that has changed.
    """
    paths = [path for path in sorted(run.NOTEBOOKS.glob("*.ipynb")) if "check_band(" in path.read_text("utf-8")]
    paths = [path for path in paths if not numbers or path.name[:2] in numbers]
    if not paths:
        sys.exit(f"No notebook {' or '.join(numbers)} compares its scores with a band: name one that does, such as 02.")
    source = helpers.results_name().removesuffix("_quick")
    for name in [helpers.results_name()] if helpers.is_quick() else [source, f"{source}_quick"]:
        os.environ["QUICK"] = str(int(name != source))
        for seed, path in itertools.product(SEEDS, paths):
            os.environ["SEED"] = str(seed)
            run.execute(path)
        runs = pd.DataFrame(sources.read_json(helpers.OWN_RESULTS / f"{name}.json"))
        runs = runs[runs["notebook"].isin([int(path.name[:2]) for path in paths]) & runs["seed"].isin(SEEDS)]
        bands = sources.read_json(helpers.RESULTS / "bands.json")
        banded = runs[runs["split"] != "external"].groupby(["model", "split"])["auc"]
        for (model, split), low, high in banded.agg(["min", "max"]).itertuples():
            known, of = bands.setdefault(name, {}), f"{model} {split}"
            lowest, highest = known.get(of, (1, 0))
            known[of] = [min(lowest, round(low - MARGIN, 3)), max(highest, round(min(high + MARGIN, 1), 3))]
        store("bands.json", bands)
        if name == source:
            if name == "phantoms":
                runs = runs[runs["seed"] == SEEDS[0]]  # more seeds only of real images
            answers = pd.read_csv(helpers.OWN_RESULTS / f"{name}_predictions.csv")
            store_answers(name, answers[answers["model"].isin(runs["model"]) & (answers["seed"] == SEEDS[0])])
            path = helpers.RESULTS / f"{name}.json"
            stored = sources.read_json(path) if path.exists() else []
            others = [run for run in stored if run["model"] not in set(runs["model"])]
            store(path.name, others + runs.to_dict("records"))


def store_answers(name, answers):
    """Put answers among the stored ones; those of other models stay."""
    path = helpers.RESULTS / f"{name}_predictions.csv"
    old = pd.read_csv(path) if path.exists() else helpers.NO_PREDICTIONS
    table = pd.concat([old[~old["model"].isin(answers["model"])], answers])
    sources.write_whole(path, table.to_csv(index=False))


def measure_exam():
    """Notebook 7: stores it, its answers to images of another hospital, and its exams beside those of trials.py."""
    path = next(run.NOTEBOOKS.glob("07_*.ipynb"))
    for seed in SEEDS:
        os.environ["SEED"] = str(seed)
        notebook, _ = run.execute(path)
        if seed == SEEDS[0]:
            run.store(notebook, path)
    answers = pd.read_csv(helpers.own_path("_predictions.csv")).query("model == 'vgg16_all' and seed in @SEEDS")
    store_answers("kermany", answers[(answers["split"] == "external") & (answers["seed"] == SEEDS[0])])
    exams = trials.examine_all(answers, all_images.list_all_images()["patient"])
    return sources.read_json(helpers.RESULTS / "further.json") | {"notebook 7": exams}


def measure_sizes(path="original_sizes.csv"):
    """AUC of what the original files alone tell; path: of a table with the columns filename, width and height."""
    table = pd.read_csv(path)
    ill = table["filename"].str.contains("/PNEUMONIA/").to_numpy()
    clues = {"pixels": -table["width"] * table["height"], "shape": table["width"] / table["height"]}
    aucs = {name: helpers.score(ill, clue.rank(pct=True))["auc"] for name, clue in clues.items()}
    return {"images": len(table), **aucs}


def small_network(training, validation, _, change=list, rate=1e-3, epochs=15, optimizer=keras.optimizers.RMSprop):
    """Notebook 3's fair recipe; change: a function of the list of its layers; rate: a number, or one that falls."""
    model = keras.Sequential([keras.Input((64, 64, 3)), *change(networks.build_cnn().layers)])
    model.compile(optimizer(rate), **LOSS)
    return model, training, validation, epochs


def of_one_pixel(part):
    return layers.Conv2D(part.filters, 1, activation="relu") if isinstance(part, layers.Conv2D) else part


TINKERING = {
    "as it is": small_network,
    "without dropout": partial(small_network, change=lambda parts: [p for p in parts if "dropout" not in p.name]),
    "the article's learning rate, 0.0001": partial(small_network, rate=1e-4),
    "kernels of 1 x 1 instead of 3 x 3": partial(small_network, change=partial(map, of_one_pixel)),
}


FALLING = schedules.CosineDecay(1e-3, 15 * 1600 // 32)
CNN_RECIPES = {
    "RMSprop, 0.0001 (the article's)": partial(small_network, rate=1e-4),
    "RMSprop, 0.001": small_network,
    "RMSprop, 0.001, falling": partial(small_network, rate=FALLING),
    "Adam, 0.001, falling": partial(small_network, rate=FALLING, optimizer=keras.optimizers.Adam),
}


def six_fold(ways, training, validation, seed, change=list):
    """Notebook 6's recipe: six copies of every image, disturbed in some ways; the validation images in all."""
    with mock.patch.dict(vars(field), {way: lambda image, rng: image for way in {*WAYS.values()} - {*ways}}):
        copies = [disturbed(training[0], 1_000_000 * number) for number in range(1, 6)]
    training = (np.concatenate([training[0], *copies]), np.tile(training[1], 6))
    pair = (disturbed(validation[0], 100_000), validation[1])
    rate = schedules.CosineDecay(1e-3, 5 * len(training[1]) // 32)
    return small_network(training, pair, seed, change, rate, epochs=5)


WAYS = {"turned": "turn", "exposure": "expose", "noise": "add_noise"}
ABLATION = {"nothing": []} | {f"only {name}": [way] for name, way in WAYS.items()}
ABLATION |= {f"all but {name}": {*WAYS.values()} - {way} for name, way in WAYS.items()} | {"all": WAYS.values()}
ABLATION = {name: partial(six_fold, ways) for name, ways in ABLATION.items()}
ABLATION["all, and framing"] = partial(six_fold, WAYS.values(), change=lambda parts: [trials.framing(), *parts])


def at_once(training, validation, _):
    """Notebook 4's recipe, the article's: all layers of VGG16 learn from the first step."""
    return networks.build_vgg16(), training, validation, 5


def head_first(training, validation, seed):
    """The gentler recipe of notebook 4."""
    tilt = layers.RandomRotation(0.05, fill_mode="constant", seed=seed)
    model = networks.build_vgg16([tilt, *trials.shifts_and_zooms(seed)])
    head, features = model.layers[-1], keras.Model(model.inputs, model.layers[-2].output)
    head.compile(keras.optimizers.Adam(1e-3), **LOSS)
    head.fit(features.predict(training[0], batch_size=64, verbose=0), training[1], epochs=5, verbose=0)
    for layer in model.get_layer("vgg16").layers:
        layer.trainable = not layer.name.startswith(("block1", "block2", "block3"))
    falling = schedules.CosineDecay(3e-4, 2 * len(training[1]) // 32)
    model.compile(keras.optimizers.SGD(falling, momentum=0.9), **LOSS)
    return model, training, validation, 2


def measure_vgg16():
    taken, gentle = {"all at once, the article's": at_once}, {"head first, then blocks 4 and 5": head_first}
    return train_all(taken, range(10)) + train_all(gentle, range(6)) + train_all(taken, SEEDS, "mixed_bfloat16")


def measure_phantoms():
    training, validation = helpers.split_by_patient(helpers.get_metadata())
    sides, each = {}, []
    for side, source in [("real", sources.setting()), ("phantom", "phantoms")]:
        os.environ["PNEUMONIA_DATA"] = source
        sides[side] = (*helpers.get_train_data(), *helpers.get_test_data())
    (drawn, labels), (real, truth) = sides["phantom"][:2], sides["real"][2:]
    edge = np.pad(np.zeros((56, 56), bool), 4, constant_values=True)  # the pixels within 4 of the border

    def logistic(images, pixels, examined, classes):
        regression = linear_model.LogisticRegression(C=0.003, max_iter=3000)
        model = pipeline.make_pipeline(preprocessing.StandardScaler(), regression)
        model.fit(images[training][:, pixels, 0], labels[training])
        return helpers.score(classes, model.predict_proba(examined[:, pixels, 0])[:, 1])

    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        model, *rest = small_network(*((drawn[rows], labels[rows]) for rows in (training, validation)), seed)
        fit(model, *rest)
        each.append(helpers.score(truth, model.predict(real, verbose=0))["auc"])
    linear = logistic(drawn, edge | True, real, truth)["auc"]
    on_real = {"logistic_regression": linear, "cnn": float(np.median(each))}
    result = {"phantoms_sha256": hashlib.sha256(Path(phantoms.__file__).read_bytes()).hexdigest()}
    result |= {"auc_on_real_test_after_training_on_phantoms": on_real, "auc_of_each_cnn": each}
    result |= {"border_val_accuracy": {}, "brightness_auc_train": {}}
    for side, (images, *_) in sides.items():
        border = logistic(images, edge, images[validation], labels[validation])
        result["border_val_accuracy"][side] = border["accuracy"]
        result["brightness_auc_train"][side] = helpers.score(labels, images.mean((1, 2, 3)))["auc"]
    return result


EXPERIMENTS = {  # name: (file in results/, minutes on two cores, what it measures, function)
    "seeds": ("kermany.json", 60, "notebooks that compare scores with a band; simulated images, too", measure_seeds),
    "cnn": ("cnn_recipes.json", 15, "recipes for notebook 3's network", partial(train_all, CNN_RECIPES, SEEDS)),
    "tinkering": ("tinkering.json", 4, "changes of notebook 3's network", partial(compare, TINKERING)),
    "vgg16": ("vgg16_recipes.json", 90, "notebook 4's recipes, with ten seeds and with six", measure_vgg16),
    "ablation": ("ablation.json", 10, "parts of notebook 6's disturbance", partial(compare, ABLATION)),
    "exam": ("further.json", 110, "notebook 7 with every seed; see trials.py for what came before", measure_exam),
    "phantoms": ("phantom_realism.json", 5, "how like real images the simulated are", measure_phantoms),
    "sizes": ("original_sizes.json", 1, "what the sizes of original files tell: give a table of them", measure_sizes),
}


def main():
    name, *numbers = sys.argv[1:] or [""]
    if name not in EXPERIMENTS:
        for known, (file, minutes, words, _) in EXPERIMENTS.items():
            print(f"{known:12} {minutes:3} min  results/{file:21} {words}")
        sys.exit(f"There is no experiment {name}: name one of these." if name else None)
    file, _, _, function = EXPERIMENTS[name]
    try:
        if name != "seeds":
            require_real_images()
        result = function(*numbers)
        if result:
            store(file, result)
    except (sources.DataError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

"""Every check of an exercise accepts the solution and its equals, and refuses each kind of mistake in its own words."""

import inspect
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT
from scipy.ndimage import rotate
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import checks
import helpers
import networks

CHECKS = {name: check for name, check in inspect.getmembers(checks, callable) if name.startswith("check_")}
NONSENSE = [
    "nonsense",
    -7,
    float("nan"),
    [],
    {},
    [None, "x"],
    object(),
    np.zeros((2, 3)),
    pd.DataFrame(),
    len,
    b"x",
    10**400,
]


@pytest.fixture
def verdict(capsys):
    """verdict(check, *answers): what the check prints, one line, without the number of the exercise."""

    def run(check, *answers):
        assert check(*answers) is None
        printed = capsys.readouterr().out
        number = re.escape(check.__name__[-1])
        match = re.fullmatch(rf"Exercise {number}: ((right|not yet|not answered yet)\. [^\n]+)\n", printed)
        assert match, printed
        return match[1]

    return run


@pytest.fixture
def right(verdict):
    def run(check, *answers):
        said = verdict(check, *answers)
        assert said.startswith("right. "), said
        return said

    return run


@pytest.fixture
def refused(verdict):
    """refused(check, {words: answers}): each is refused in words that hold the key, and no two in the same words."""

    def run(check, wrong):
        said = {words: verdict(check, *answers) for words, answers in wrong.items()}
        for words, sentence in said.items():
            assert sentence.startswith("not yet. ") and words in sentence, (words, sentence)
            assert "could not use" not in sentence
        assert len(wrong) >= 3 and len(set(said.values())) == len(wrong)

    return run


@pytest.fixture(scope="module")
def data():
    """The images, as the notebooks name them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PNEUMONIA_DATA", "phantoms")
        metadata = helpers.get_metadata()
        images, labels = helpers.get_train_data()
        test_images, test_labels = helpers.get_test_data()
    training, validation = helpers.split_by_patient(metadata)
    names = ("metadata", "images", "labels", "test_images", "test_labels", "training", "validation")
    values = (metadata, images, labels, test_images, test_labels, training, validation)
    return dict(zip(names, values, strict=True))


def test_there_are_three_checks_for_each_notebook():
    assert set(CHECKS) == {f"check_{notebook}_{exercise}" for notebook in range(1, 8) for exercise in (1, 2, 3)}


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_nothing_and_nonsense_get_a_sentence(name, verdict, data):  # data: the bar of preparing images comes before
    check = CHECKS[name]
    count = len(inspect.signature(check).parameters)
    assert verdict(check, *[None] * count).startswith("not answered yet. ")
    for answer in NONSENSE:
        assert not verdict(check, *[answer] * count).startswith("right")
    assert "could not use" in verdict(check, *[1] * (count + 1))


@pytest.mark.parametrize("number", range(1, 7))
def test_every_notebook_calls_its_three_checks(number):
    path = next((PROJECT / "notebooks").glob(f"{number:02}_*.ipynb"))
    source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    assert re.findall(r"checks\.check_(\d)_(\d)\(", source) == [(str(number), exercise) for exercise in "123"]


def test_checks_are_found_beside_a_helper_in_another_folder(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); import helpers, checks; checks.check_1_1(None)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("Exercise 1: not answered yet."), done.stderr


# --- notebook 1 -----------------------------------------------------------------------------------------------------


def test_1_1(right, refused):
    for answer in [
        (30, "train"),
        ["train", np.int64(30)],
        (30.0, np.array(["train"])),
        ("Train", 30),
        {"images": 30, "split": "train"},
    ]:
        right(checks.check_1_1, answer)
    wrong = {
        "number of images in a split": (2000, "train"),
        "number of patients": (1667, "train"),
        "Another patient": (29, "train"),
        "the split is not": (30, "test"),
        "name of a patient": (30, "train-person23"),
        "no split": (30, "validation"),
        "Two things": 30,
    }
    refused(checks.check_1_1, {words: (answer,) for words, answer in wrong.items()})


def test_1_2(right, refused, data):
    metadata = data["metadata"]
    kind = metadata["filename"].str.extract("(bacteria|virus)", expand=False)
    table = pd.crosstab(kind, metadata["split"])
    assert table.loc["bacteria"].sum() == pytest.approx(2 / 3 * table.to_numpy().sum(), rel=0.05)
    series = metadata.groupby([kind, "split"]).size()
    for answer in [
        table,
        table.T,
        table.to_dict(),
        table.T.to_dict(),
        series,
        dict(series),
        table.rename({"virus": "viral"}),
    ]:
        right(checks.check_1_2, answer)
    healthy = pd.crosstab(np.where(kind == "virus", "virus", "bacteria"), metadata["split"])
    ill = pd.crosstab(metadata["split"], metadata["class"])[1]
    one_off = table.copy()
    one_off.loc["virus", "field"] += 1
    wrong = {
        "exchanged": table.rename({"virus": "bacteria", "bacteria": "virus"}),
        "healthy images": healthy,
        "shares": table / table.to_numpy().sum(),
        "all images with pneumonia": {"virus": ill, "bacteria": ill},
        "virus in field": one_off,
        "Give a table": {"virus": 900, "bacteria": 500},
    }
    refused(checks.check_1_2, {words: (answer,) for words, answer in wrong.items()})


def test_1_3(right, refused, data):
    images, labels, test_images, test_labels = (data[name] for name in ("images", "labels", "test_images", "test_labels"))
    healthy, test_healthy = images[labels == 0].mean(axis=0), test_images[test_labels == 0].mean(axis=0)
    difference = test_healthy - healthy
    for answer in [difference, -difference, difference[..., 0], difference.ravel(), difference.tolist()]:
        right(checks.check_1_3, answer)
    wrong = {
        "pneumonia": test_images[test_labels == 1].mean(axis=0) - images[labels == 1].mean(axis=0),
        "both classes": test_images.mean(axis=0) - images.mean(axis=0),
        "ill minus healthy": images[labels == 1].mean(axis=0) - healthy,
        "one of the two means": test_healthy,
        "zero everywhere": healthy - healthy,
        "another picture": test_images[0] - images[0],
        "One picture": images[labels == 0][:5] - test_images[:5],
    }
    refused(checks.check_1_3, {words: (answer,) for words, answer in wrong.items()})


# --- notebook 2 -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(data):
    grey = data["images"][..., 0].reshape(len(data["images"]), -1)
    labels, training, validation = data["labels"], data["training"], data["validation"]
    return grey[training], labels[training], grey[validation], labels[validation]


def test_2_1(right, refused, rows):
    training_rows, training_labels, grey, labels = rows
    sensitivity, specificity = {}, {}
    for k in [1, 3, 5, 10, 20, 40, 80]:
        model = KNeighborsClassifier(k).fit(training_rows, training_labels)
        sensitivity[k] = model.score(grey[labels == 1], labels[labels == 1])
        specificity[k] = model.score(grey[labels == 0], labels[labels == 0])
    best, most_specific = max(sensitivity, key=sensitivity.get), max(specificity, key=specificity.get)
    for answer in [best, float(best), np.int64(best), [best]]:
        right(checks.check_2_1, answer)
    wrong = {
        "looks like a sensitivity": sensitivity[best],
        "specificity": most_specific,
        "Another k": 1,
        "one of ks": 7,
        "One number": "forty",
    }
    refused(checks.check_2_1, {words: (answer,) for words, answer in wrong.items()})


def test_2_2(right, refused, verdict, rows, data):
    training_rows, training_labels, grey, labels = rows
    test_grey = data["test_images"][..., 0].reshape(400, -1)

    def curve(images, truth, sizes=(50, 100, 200, 400, 800, 1600), k=10):
        models = {n: KNeighborsClassifier(k).fit(training_rows[:n], training_labels[:n]) for n in sizes}
        pairs = {n: (images[:n], truth[:n]) if images is training_rows else (images, truth) for n in sizes}
        return {n: model.score(*pairs[n]) for n, model in models.items()}

    solution = curve(grey, labels)
    for answer in [solution, pd.Series(solution), list(solution.items()), curve(grey, labels, (100, 300, 500, 900))]:
        right(checks.check_2_2, answer)
    wrong = {
        "had learned from": curve(training_rows, training_labels),
        "test images": curve(test_grey, data["test_labels"]),
        "percent": {n: 100 * share for n, share in solution.items()},
        "Look at 200 images": {**solution, 200: solution[200] + 0.05},
        "four sizes": {50: 0.7, 100: 0.8},
        "all training images": {50: 0.7, 100: 0.8, 200: 0.8, 2000: 0.9},
        "A dictionary": 0.9,
    }
    refused(checks.check_2_2, {words: (answer,) for words, answer in wrong.items()})
    assert "with k = 10" in verdict(checks.check_2_2, curve(grey, labels, k=3))


def even(images):
    return (images - images.mean(axis=1, keepdims=True)) / images.std(axis=1, keepdims=True)


def test_2_3(right, refused, verdict):
    assert "before, and" in right(checks.check_2_3, even)
    right(checks.check_2_3, lambda images: even(images).tolist())
    right(checks.check_2_3, lambda images: images.reshape(-1, 64, 64)[:, ::2, ::2].reshape(len(images), -1))
    assert verdict(checks.check_2_3, lambda images: images).startswith("not answered yet")

    def in_place(images):
        images -= images.mean(axis=1, keepdims=True)
        return images

    wrong = {
        "prepared alone": lambda images: images - images.mean(axis=0),
        "work on a copy": in_place,
        "takes away": lambda images: images[:, :3],
        "one row": lambda images: images.reshape(-1, 64, 64),
        "end with return": lambda images: None,
        "equal": lambda images: np.ones((len(images), 3)),
        "without brackets": even(np.random.default_rng(0).random((5, 4096))),
        "rows came out": lambda images: images[:7],
    }
    refused(checks.check_2_3, {words: (answer,) for words, answer in wrong.items()})


# --- notebook 3 -----------------------------------------------------------------------------------------------------


def test_3_1(right, refused):
    solution = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])
    for answer in [solution, solution.tolist(), [[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]], solution[..., None, None]]:
        right(checks.check_3_1, answer)
    wrong = {
        "add up to 0": [[0, -1, 0], [-1, 4, -1], [0, -1, 0]],
        "blurs": np.full((3, 3), 1 / 9),
        "add up to 9": [[0, 1, 0], [1, 5, 1], [0, 1, 0]],
        "array of 3 x 3": [0, -1, 0, -1, 5, -1, 0, -1, 0],
        "symmetric": [[0, 0, 0], [-1, 3, -1], [0, 0, 0]],
        "does not strengthen": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    }
    refused(checks.check_3_1, {words: (answer,) for words, answer in wrong.items()})


def test_3_2_agrees_with_keras(right):
    keras = networks.import_keras()
    layers = [keras.layers.Conv2D(32, 3), keras.layers.Dense(32)]
    layers[0].build((None, 64, 64, 3))
    layers[1].build((None, 64 * 64 * 3))
    right(checks.check_3_2, *[layer.count_params() for layer in layers])
    right(checks.check_3_2, np.float64(896), 393248.0)


def test_3_2(refused):
    wrong = {
        "bias": (864, 393248),
        "neuron also has a bias": (896, 393216),
        "one colour": (320, 393248),
        "3 colours": (896, 131104),
        "exchanged": (393248, 896),
        "inputs times outputs": (897, 393248),
        "one whole number": ("many", 393248),
    }
    refused(checks.check_3_2, wrong)


def blocks(count, end=None):
    keras = networks.import_keras()
    layers = keras.layers
    parts = [part for _ in range(count) for part in (layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(2))]
    return keras.Sequential(
        [keras.Input((64, 64, 3)), *parts, layers.Flatten(), end or layers.Dense(1, activation="sigmoid")]
    )


def test_3_3(right, refused):
    aucs = {"two blocks": [0.90, 0.92], "three blocks": [0.95, 0.96]}
    assert "difference is larger" in right(checks.check_3_3, blocks(3), aucs)
    close = {"two blocks": np.array([0.90, 0.92]), "three blocks": pd.Series([0.93, 0.90, 0.91])}
    assert "not larger" in right(checks.check_3_3, blocks(3), close)
    many = networks.import_keras().layers.Dense(2)
    wrong = {
        "Three blocks": (blocks(2), aucs),
        "one number from 0 to 1": (blocks(3, many), aucs),
        "at least two seeds": (blocks(3), {"two blocks": [0.9], "three blocks": [0.95]}),
        "same AUC": (blocks(3), {"two blocks": [0.9, 0.9], "three blocks": [0.95, 0.96]}),
        "percent": (blocks(3), {"two blocks": [90, 92], "three blocks": [95, 96]}),
        "close to chance": (blocks(3), {"two blocks": [0.5, 0.51], "three blocks": [0.95, 0.96]}),
        "A dictionary": (blocks(3), [0.9, 0.95]),
        "Keras network": (0.9, aucs),
    }
    refused(checks.check_3_3, wrong)


# --- notebook 4 -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_trunk():
    """A network with the names and the numbers of maps of VGG16, but small."""
    keras = networks.import_keras()
    keras.utils.set_random_seed(1)
    inputs = keras.Input((64, 64, 3))
    maps = keras.layers.Conv2D(256, 8, strides=8, activation="relu", name="block3_pool")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(512, 4, strides=4, activation="relu")(maps))


@pytest.fixture(scope="module")
def feature_sets(small_trunk, data):
    from keras import Model
    from keras.applications.vgg16 import preprocess_input

    early = Model(small_trunk.input, small_trunk.get_layer("block3_pool").output)
    prepared, images = preprocess_input(data["images"] * 255), data["images"]
    return {
        "last": small_trunk.predict(prepared, verbose=0).mean(axis=(1, 2)),
        "early": early.predict(prepared, verbose=0).mean(axis=(1, 2)),
        "maps": early.predict(prepared, verbose=0),
        "raw": early.predict(images * 255, verbose=0).mean(axis=(1, 2)),
        "0 to 1": early.predict(images, verbose=0).mean(axis=(1, 2)),
    }


def aucs_of(features, data):
    labels, training, validation = data["labels"], data["training"], data["validation"]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)).fit(features[training], labels[training])
    p = model.predict_proba(features[validation])[:, 1]
    return {
        "right": roc_auc_score(labels[validation], p),
        "fit": roc_auc_score(labels[training], model.predict_proba(features[training])[:, 1]),
        "classes": roc_auc_score(labels[validation], p >= 0.5),
        "turned": roc_auc_score(labels[validation], 1 - p),
    }


def test_4_1(right, refused, feature_sets, data):
    features = feature_sets["last"]
    aucs = aucs_of(features, data)
    for answer in [aucs["right"], np.float32(aucs["right"]), round(aucs["right"], 3), [aucs["right"]]]:
        right(checks.check_4_1, answer, features)
    wrong = {
        "had learned from": (aucs["fit"], features),
        "predict_proba(...)[:, 1]": (aucs["classes"], features),
        "wrong way round": (aucs["turned"], features),
        "percent": (100 * aucs["right"], features),
        "Another number": (0.5, features),
        "features of the notebook": (aucs["right"], features[:100]),
    }
    refused(checks.check_4_1, wrong)


def test_4_2(right, refused, verdict, feature_sets, small_trunk, data):
    early = feature_sets["early"]
    aucs = aucs_of(early, data)
    right(checks.check_4_2, early, aucs["right"], small_trunk)
    right(checks.check_4_2, early.tolist(), np.float64(aucs["right"]), small_trunk)
    wrong = {
        "end of the trunk": (feature_sets["last"], aucs["right"], small_trunk),
        "Average each": (feature_sets["maps"], aucs["right"], small_trunk),
        "not prepared": (feature_sets["raw"], aucs["right"], small_trunk),
        "old weights": (early[::-1], aucs["right"], small_trunk),
        "had learned from": (early, aucs["fit"], small_trunk),
        "One row": (early[:400], aucs["right"], small_trunk),
        "these are 100": (early[:, :100], aucs["right"], small_trunk),
    }
    refused(checks.check_4_2, wrong)
    assert "not prepared" in verdict(checks.check_4_2, feature_sets["0 to 1"], aucs["right"], small_trunk)


def test_4_3(right, refused):
    layers = networks.import_keras().layers
    turn, flip = layers.RandomRotation(0.03, fill_mode="constant"), layers.RandomFlip("horizontal")
    assert "+0.010" in right(checks.check_4_3, [turn, layers.GaussianNoise(0.03)], 0.95, 0.96)
    assert "heart" not in right(checks.check_4_3, (turn,), np.float64(0.95), 0.96)
    assert "heart" in right(checks.check_4_3, [flip], 0.95, 0.94)
    wrong = {
        "list of Keras layers": (["RandomZoom"], 0.95, 0.96),
        "on their heads": ([layers.RandomFlip("vertical")], 0.95, 0.96),
        "leave the range": ([layers.RandomBrightness(0.5, value_range=(0, 255))], 0.95, 0.96),
        "came out": ([layers.RandomCrop(32, 32)], 0.95, 0.96),
        "come out as they went": ([layers.Dropout(0.0)], 0.95, 0.96),
        "outside of training": ([layers.Rescaling(0.5)], 0.95, 0.96),
        "Hardly anything": ([layers.RandomTranslation((0.9, 0.9), 0.0, fill_mode="constant")], 0.95, 0.96),
        "exactly the same": ([turn], 0.95, 0.95),
        "percent": ([turn], 95, 96),
        "close to chance": ([turn], 0.95, 0.5),
    }
    refused(checks.check_4_3, wrong)


# --- notebook 5 -----------------------------------------------------------------------------------------------------


@pytest.fixture
def answers(monkeypatch):
    """The last model's stored answers to test images: (labels, probabilities, patients).

    It is the CNN here: VGG16 errs so seldom on simulated images that right and wrong answers lie too close together.
    """
    stored = helpers.load_predictions
    monkeypatch.setattr(helpers, "load_predictions", lambda split: stored(split)[["index", "label", "cnn"]])
    images = helpers.load_predictions("test")
    patients = helpers.get_metadata().set_index("index")["patient"][images["index"]].to_numpy()
    return images["label"].to_numpy(), images[checks.last_model(images)].to_numpy(), patients


def test_5_1(right, refused, answers):
    truth, p, _ = answers
    scores = helpers.score(truth, p)
    false_alarms = 1 - scores["specificity"]
    solution = false_alarms / (scores["sensitivity"] + false_alarms)
    for answer in [solution, np.float32(solution), round(solution, 2), np.array([solution])]:
        right(checks.check_5_1, answer)
    validation = helpers.load_predictions("validation")
    other = helpers.score(validation["label"], validation[checks.last_model(validation)])
    exchanged = (1 - scores["sensitivity"]) / (1 - scores["sensitivity"] + scores["specificity"])
    wrong = {
        "one minus the answer": 1 - solution,
        "validation images": (1 - other["specificity"]) / (other["sensitivity"] + 1 - other["specificity"]),
        "among the healthy": false_alarms,
        "exchanged": exchanged,
        "our exam": 0.5,
        "percent": 100 * solution,
        "share_really_ill": 0.97,
    }
    refused(checks.check_5_1, {words: (answer,) for words, answer in wrong.items()})


def test_5_2(right, refused, answers):
    truth, p, patients = answers

    def interval(name, groups, **settings):
        return helpers.bootstrap_interval(lambda r: helpers.score(truth[r], p[r])[name], groups, 300, **settings)

    images = range(len(truth))
    solution = interval("sensitivity", patients), interval("sensitivity", images)
    right(checks.check_5_2, *solution)
    right(checks.check_5_2, list(interval("sensitivity", patients, seed=1)), np.array(solution[1]))
    middle = np.mean(solution[0])
    wrong = {
        "Both are the same": (solution[0], solution[0]),
        "lower end": (solution[0][::-1], solution[1]),
        "two numbers": (solution[0][0], solution[1]),
        "another score, specificity": (interval("specificity", patients), solution[1]),
        "by_image lies elsewhere": (solution[0], (0.1, 0.2)),
        "percent": ([90, 95], solution[1]),
        "too narrow": ((middle - 0.001, middle + 0.001), solution[1]),
    }
    refused(checks.check_5_2, wrong)


def corner(images):
    return images[:, :8, :8, 0].mean(axis=(1, 2))


def test_5_3(right, refused, verdict, monkeypatch):
    assert "Simulated" in right(checks.check_5_3, corner)
    right(checks.check_5_3, lambda images: np.stack([corner(images), images[:, -8:, :, 0].std(axis=(1, 2))], axis=1))
    right(checks.check_5_3, lambda images: [image[:8].max() for image in images])
    assert verdict(checks.check_5_3, lambda images: np.zeros(len(images))).startswith("not answered yet")
    monkeypatch.setattr(helpers, "are_simulated", lambda: False)
    wrong = {
        "looks at the lungs": lambda images: images.mean(axis=(1, 2, 3)),
        "Measure each image alone": lambda images: corner(images) - corner(images).mean(),
        "one for each image": lambda images: images[:, :8, :8, 0].mean(axis=(0, 1)),
        "that is chance": lambda images: images[:, 0, 0, 0],
        "end with return": lambda images: None,
        "without brackets": 0.7,
    }
    refused(checks.check_5_3, {words: (answer,) for words, answer in wrong.items()})


def test_5_3_finds_a_shortcut_that_is_there(right, data, monkeypatch):
    images, labels = data["images"].copy(), data["labels"]
    images[labels == 1, :3, :3] = 1
    monkeypatch.setattr(helpers, "get_train_data", lambda: (images, labels))
    assert "AUC of 1.00" in right(checks.check_5_3, lambda pictures: pictures[:, :3, :3, 0].mean(axis=(1, 2)))


# --- notebook 6 -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(data):
    """Logistic regression on grey values, with the predict of a Keras network."""
    images, labels, training = data["images"], data["labels"], data["training"]

    def flat(pictures):
        return np.asarray(pictures)[..., 0].reshape(len(pictures), -1)

    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-4, max_iter=1000)).fit(
        flat(images[training]), labels[training]
    )

    class Network:
        def predict(self, pictures, verbose=0):
            return model.predict_proba(flat(pictures))[:, 1:]

    return Network()


def accuracy(network, images, labels):
    return helpers.score(labels, network.predict(images))["accuracy"]


def test_6_1(right, refused, network, data):
    images, labels = data["images"][data["validation"]], data["labels"][data["validation"]]
    test_images, test_labels = data["test_images"], data["test_labels"]
    darker, brighter = (accuracy(network, images**power, labels) for power in (1.6, 0.6))
    right(checks.check_6_1, {"darker": darker, "brighter": brighter}, network)
    right(checks.check_6_1, {"brighter": np.float32(brighter), "darker": [round(darker, 3)]}, network)
    same = accuracy(network, images, labels)
    on_test = [accuracy(network, test_images**power, test_labels) for power in (1.6, 0.6)]
    aucs = [helpers.score(labels, network.predict(images**power))["auc"] for power in (1.6, 0.6)]
    wrong = {
        "exchanged": (brighter, darker),
        "undisturbed": (same, same),
        "test images": on_test,
        "AUCs": aucs,
        "Look at the brighter": (darker, brighter + 0.1),
        "percent": (100 * darker, 100 * brighter),
    }
    refused(
        checks.check_6_1,
        {words: (dict(zip(("darker", "brighter"), pair, strict=True)), network) for words, pair in wrong.items()}
        | {"A dictionary": ([darker, brighter], network)},
    )


def test_6_2(right, refused, verdict, network, data):
    images, labels = data["images"][data["validation"]], data["labels"][data["validation"]]

    def curve(sign=1, angles=(0, 10, 20, 30, 40), axes=(1, 2), factor=1, pictures=images, truth=labels):
        def of(model):
            turned = {a: rotate(pictures, sign * a, axes=axes, reshape=False, order=1) for a in angles}
            return {a: factor * accuracy(model, turned[a], truth) for a in angles}

        return of

    right(checks.check_6_2, curve(), network)
    right(checks.check_6_2, lambda model: list(curve(sign=-1)(model).items()), network)
    assert verdict(checks.check_6_2, lambda model: {}, network).startswith("not answered yet")

    def forgets(model):
        return dict.fromkeys((0, 10, 20, 30, 40), accuracy(model, images, labels))

    wrong = {
        "in degrees": curve(angles=tuple(np.deg2rad([0, 10, 20, 30, 40]))),
        "All angles give the same": forgets,
        "percent": curve(factor=100),
        "test images": curve(pictures=data["test_images"], truth=data["test_labels"]),
        "axes=(1, 2)": curve(axes=(0, 1)),
        "nothing is turned": lambda model: {0: 0.1, 10: 0.2, 20: 0.3, 30: 0.4, 40: 0.5},
        "return a dictionary": lambda model: 0.9,
        "without brackets": 0.9,
    }
    refused(checks.check_6_2, {words: (answer, network) for words, answer in wrong.items()})


def test_6_2_with_reshape_says_what_happened(network, verdict, data):
    images, labels = data["images"][data["validation"]], data["labels"][data["validation"]]

    def reshaped(model):
        return {a: accuracy(model, rotate(images, a, axes=(1, 2), order=1), labels) for a in (0, 10, 20, 30, 40)}

    assert "could not use this answer" in verdict(checks.check_6_2, reshaped, network)


def test_6_3(right, refused, verdict, network):
    def cable(images):
        changed = images.copy()
        changed[:, 30:33] = 1
        return changed

    assert "withstands" in right(checks.check_6_3, lambda images: np.clip(images + 0.001, 0, 1), network)
    right(checks.check_6_3, cable, network)
    assert "does not withstand" in right(checks.check_6_3, lambda images: images * 0.2, network)
    assert verdict(checks.check_6_3, lambda images: images, network).startswith("not answered yet")

    def in_place(images):
        images[:, 30:33] = 1
        return images

    wrong = {
        "leave the range": lambda images: images + 0.5,
        "work on a copy": in_place,
        "Keep the shape": lambda images: images[:, :32],
        "Nobody could read": lambda images: np.ones_like(images),
        "end with return": lambda images: None,
        "without brackets": np.ones((400, 64, 64, 3)),
    }
    refused(checks.check_6_3, {words: (answer, network) for words, answer in wrong.items()})


# --- notebook 7 -----------------------------------------------------------------------------------------------------


def test_7_1(right, refused):
    def answer(accuracy, balanced):
        return {"accuracy": accuracy, "balanced accuracy": balanced}, 30, 10

    right(checks.check_7_1, *answer(0.75, 0.5))
    right(checks.check_7_1, {"balanced accuracy": np.float64(0.5), "accuracy": [0.75]}, 30, 10)
    wrong = {
        "exchanged": answer(0.5, 0.75),
        "calls every image healthy": answer(0.25, 0.5),
        "percent": answer(75, 50),
        "which share of these images is ill": answer(1.0, 0.5),
        "which of the healthy": answer(0.75, 0.75),
    }
    refused(checks.check_7_1, wrong)


def test_7_2(right, refused):
    images = pd.DataFrame({"class": [0, 1] * 1000})
    large, small = 2000 * 64 * 64 * 12 / 1e9, 2000 * 64 * 64 / 1e9

    def answer(one, other):
        return {"float32, three colours": one, "one byte, grey": other}, images, 64

    right(checks.check_7_2, *answer(large, small))
    right(checks.check_7_2, *answer(large * 1e9 / 2**30, small * 1e9 / 2**30))
    wrong = {
        "power of ten": answer(large * 1e9, small * 1e9),
        "one batch": answer(large * 32 / 2000, small * 32 / 2000),
        "you forgot three colours": answer(large / 3, small),
        "four bytes": answer(large / 4, small),
        "Look at one byte, grey": answer(large, small * 2),
        "Two numbers": answer(large, "much"),
    }
    refused(checks.check_7_2, wrong)


def test_7_3(right, refused, verdict, network, tmp_path):
    paths = [str(tmp_path / f"{number}.png") for number in range(20)]
    images = helpers.get_train_data()[0]
    for path, image in zip(paths, images, strict=False):
        plt.imsave(path, image)
    table = pd.DataFrame({"path": paths, "class": helpers.get_train_data()[1][:20]})
    network.input_shape = (None, 64, 64, 3)

    def in_place(pictures):
        pictures *= 0.9
        return pictures

    assert "one look" in right(checks.check_7_3, lambda pictures: np.roll(pictures, 2, axis=2), network, table)
    assert verdict(checks.check_7_3, lambda pictures: pictures, network, table).startswith("not answered yet")
    wrong = {
        "leave the range": lambda pictures: pictures + 0.5,
        "work on a copy": in_place,
        "Keep the shape": lambda pictures: pictures[:, ::2],
        "shows something else": lambda pictures: 1 - pictures,
        "end with return": lambda pictures: None,
        "without brackets": np.ones((20, 64, 64, 3)),
    }
    refused(checks.check_7_3, {words: (answer, network, table) for words, answer in wrong.items()})

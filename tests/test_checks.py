"""Every check of an exercise accepts the solution and its equals, and refuses each kind of mistake in its own words.

A new check needs a test of its own name, test_N_M for check_N_M; the rest is found by itself.
"""

import inspect
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import code_cells
from PIL import Image
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
UNANSWERED = [None, "", " ", ..., [], {}, [None, None], {"a": None}, np.array([]), pd.DataFrame()]
NONSENSE = [
    *["nonsense", b"x", -7, 10**400, True, float("nan"), object(), len, lambda images: images[0, 0]],
    *[[None, "x"], {"a": 1}, {1, 2}, np.zeros((2, 3)), pd.Series([0.5]), pd.DataFrame({"a": ["x"]})],
]


def darken(images):
    images *= 0.9
    return images


WRONG_FUNCTIONS = {"end with return": lambda images: None, "without brackets": 0.7, "work on a copy": darken}
WRONG_CHANGES = WRONG_FUNCTIONS | {
    "rows came out": lambda images: images[:7],
    "leave the range": lambda images: images + 0.5,
    "Keep the shape": lambda images: images[:, :32],
    "another order": np.flipud,
}


@pytest.fixture(scope="module")
def data():
    """The images, as the notebooks name them; read-only, as no check may change them."""
    data = SimpleNamespace()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PNEUMONIA_DATA", "phantoms")
        data.images, data.labels = helpers.get_train_data()
        data.test_images, data.test_labels = helpers.get_test_data()
        data.metadata = helpers.get_metadata()
    data.images.flags.writeable = data.test_images.flags.writeable = False
    data.training, data.validation = helpers.split_by_patient(data.metadata)
    data.validation_images, data.validation_labels = data.images[data.validation], data.labels[data.validation]
    return data


@pytest.fixture(autouse=True)
def read_once(monkeypatch, data):
    """Reading and dividing the images takes half a second, and here the checks ask for it hundreds of times."""
    monkeypatch.setattr(helpers, "get_train_data", lambda: (data.images, data.labels))
    monkeypatch.setattr(helpers, "get_test_data", lambda: (data.test_images, data.test_labels))
    monkeypatch.setattr(helpers, "split_by_patient", lambda metadata: (data.training, data.validation))


@pytest.fixture
def verdict(capsys):
    """verdict(check, *answers): what the check prints, one line, without the number of the exercise."""

    def run(check, *answers):
        assert check(*answers) is None
        printed = capsys.readouterr().out
        number = check.__name__.split("_")[-1]
        match = re.fullmatch(rf"Exercise {number}: ((right|not yet|not answered yet)\. [^\n]+)\n", printed)
        assert match, printed
        return match[1]

    return run


@pytest.fixture
def judge(verdict):
    """judge(check, right, wrong, *others): answers that are right, and {words of the hint: an answer that is wrong}.

    others: the check's other arguments, the same for all; without them the answers are tuples of all arguments.
    """

    def run(check, right, wrong, *others):
        single = len(inspect.signature(check).parameters) == 1 + len(others)

        def ask(answer):
            return verdict(check, answer, *others) if single else verdict(check, *answer)

        for answer in right:
            assert ask(answer).startswith("right. "), (answer, ask(answer))
        said = {words: ask(answer) for words, answer in wrong.items()}
        for words, hint in said.items():
            assert hint.startswith("not yet. ") and words in hint and "could not use" not in hint, (words, hint)
        assert len(wrong) >= 3 and len(set(said.values())) == len(wrong)

    return run


def test_every_check_has_a_notebook_that_calls_it_and_a_test_of_its_answers():
    called = []
    for path in (helpers.PROJECT / "notebooks").glob("*.ipynb"):
        names = re.findall(r"checks\.(check_\w+)\(", "\n".join(code_cells(path)))
        assert names and all(name.startswith(f"check_{int(path.name[:2])}_") for name in names), path.name
        called += names
    assert sorted(called) == sorted(CHECKS)
    assert {name.replace("check", "test") for name in CHECKS} <= set(globals())


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_and_nonsense_get_a_sentence(name, verdict):
    check = CHECKS[name]
    count = len(inspect.signature(check).parameters)
    for answer in UNANSWERED:
        assert verdict(check, *[answer] * count).startswith("not answered yet. ")
    for answer in NONSENSE:
        assert not verdict(check, *[answer] * count).startswith("right. "), answer
    assert "could not use" in verdict(check, *[1] * (count + 1))


def test_slips_of_beginners_get_their_own_words(verdict, rows, capsys):
    def leave(images):
        raise SystemExit

    assert verdict(checks.check_2_3, leave).startswith("not yet. Your function ends Python")
    assert "over which axis" in verdict(checks.check_2_3, lambda images: images.mean())
    assert all("prepares nothing" in verdict(checks.check_2_3, change) for change in (lambda x: x + 1, lambda x: 1 - x))
    counts = ({"accuracy": 0.75, "balanced accuracy": 0.5},)  # what a comma at the end of the line makes
    assert verdict(checks.check_7_1, counts, 30, 10).startswith("right")
    checks.check_3_2(convolution=896, dense=393_248)
    assert capsys.readouterr().out.startswith("Exercise 2: right")


def test_1_1(judge, data):
    images = data.metadata["patient"].value_counts()
    most = int(images.max())
    right = [(most, "train"), ["Train ", images.max()], (float(most), np.array(["train"])), {"n": most, "is": "train"}]
    wrong = {
        "number of images in a split": (2000, "train"),
        "number of patients": (len(images), "train"),
        "images_per_patient.max()": (most - 1, "train"),
        "the split is not": (most, "test"),
        "name of a patient": (most, images.idxmax()),
        "no split": (most, "validation"),
        "Two things": most,
    }
    judge(checks.check_1_1, right, wrong)


def test_1_2(judge, data):
    kind, splits = data.metadata["filename"].str.extract("(bacteria|virus)", expand=False), data.metadata["split"]
    table = pd.crosstab(kind, splits)
    assert table.loc["bacteria"].sum() == pytest.approx(2 / 3 * table.to_numpy().sum(), rel=0.05)  # as the praise says
    right = [table, table.T, table.to_dict(), table.stack(), dict(table.stack()), table.rename({"virus": "viral"})]
    ill = pd.crosstab(splits, data.metadata["class"])[1]
    one_off = table.copy()
    one_off.loc["virus", "field"] += 1
    wrong = {
        "exchanged": table.rename({"virus": "bacteria", "bacteria": "virus"}),
        "healthy images": pd.crosstab(np.where(kind == "virus", "virus", "bacteria"), splits),
        "shares": table / table.to_numpy().sum(),
        "all images with pneumonia": {"virus": ill, "bacteria": ill},
        "virus in field": one_off,
        "Give a table": {"virus": 900, "bacteria": 500},
    }
    judge(checks.check_1_2, right, wrong)


def test_1_3(judge, data):
    def mean(part, label):
        return data.images[part][data.labels[part] == label].mean(axis=0)

    train, train_ill = (mean(data.training, label) for label in (0, 1))
    held_out, held_out_ill = (mean(data.validation, label) for label in (0, 1))
    difference = held_out - train
    right = [difference, -difference, difference[..., 0], difference.ravel(), difference.tolist()]
    both = data.images[data.validation].mean(axis=0) - data.images[data.training].mean(axis=0)
    test_healthy = data.test_images[data.test_labels == 0].mean(axis=0)
    wrong = {
        "pneumonia": held_out_ill - train_ill,
        "both classes": both,
        "ill minus healthy": mean(data.labels >= 0, 1) - mean(data.labels >= 0, 0),
        "Subtract the other one": held_out,
        "Subtract it from the other": train,
        "zero everywhere": train - train,
        "another image": test_healthy - train,
        "One image": data.images[:5] - data.test_images[:5],
    }
    judge(checks.check_1_3, right, wrong)


@pytest.fixture
def rows(data, monkeypatch):
    """Training rows, their labels, validation rows, their labels; of small images, as neighbours take long to find."""
    small, small_test = data.images[:, ::4, ::4], data.test_images[:, ::4, ::4]
    monkeypatch.setattr(helpers, "get_train_data", lambda: (small, data.labels))
    monkeypatch.setattr(helpers, "get_test_data", lambda: (small_test, data.test_labels))
    grey = small[..., 0].reshape(len(small), -1)
    return grey[data.training], data.labels[data.training], grey[data.validation], data.validation_labels


def test_2_1(judge, rows):
    training_rows, training_labels, grey, labels = rows
    models = {k: KNeighborsClassifier(k).fit(training_rows, training_labels) for k in [1, 3, 5, 7, 15, 41, 81]}
    healthy, ill = ({k: m.score(grey[labels == c], labels[labels == c]) for k, m in models.items()} for c in (0, 1))
    best = max(ill, key=ill.get)
    wrong = {"looks like a sensitivity": ill[best], "specificity": max(healthy, key=healthy.get)}
    wrong |= {"Another k": 1, "one of ks": 10, "One number": "forty"}
    judge(checks.check_2_1, [best, float(best), np.int64(best), [best]], wrong)


def test_2_2(judge, verdict, rows, data):
    training_rows, training_labels, grey, labels = rows
    test_rows = data.test_images[:, ::4, ::4, 0].reshape(len(data.test_images), -1)

    def curve(images, truth, sizes=(50, 100, 200, 400, 800, 1600), k=5):
        models = {n: KNeighborsClassifier(k).fit(training_rows[:n], training_labels[:n]) for n in sizes}
        pairs = {n: (images[:n], truth[:n]) if images is training_rows else (images, truth) for n in sizes}
        return {n: model.score(*pairs[n]) for n, model in models.items()}

    solution, others = curve(grey, labels), curve(grey, labels, (100, 300, 500, 900))
    wrong = {
        "had learned from": curve(training_rows, training_labels),
        "test images": curve(test_rows, data.test_labels),
        "percent": {n: 100 * share for n, share in solution.items()},
        "Look at 200 images": {**solution, 200: solution[200] + 0.05},
        "four sizes": {50: 0.7, 100: 0.8},
        "all training images": {50: 0.7, 100: 0.8, 200: 0.8, 2000: 0.9},
        "A dictionary": 0.9,
    }
    judge(checks.check_2_2, [solution, pd.Series(solution), list(solution.items()), others], wrong)
    assert "with k = 5" in verdict(checks.check_2_2, curve(grey, labels, k=1))


def test_2_3(judge, verdict, rows):
    def even(images):
        return (images - images.mean(axis=1, keepdims=True)) / images.std(axis=1, keepdims=True)

    right = [even, lambda images: even(images).tolist(), lambda images: images[:, 16:]]
    wrong = {
        "prepared alone": lambda images: images - images.mean(axis=0),
        "takes away": lambda images: images[:, :1],
        "one row": lambda images: images.reshape(-1, 16, 16),
        "equal": lambda images: np.ones((len(images), 3)),
        "rows came out": lambda images: images[:7],
    }
    judge(checks.check_2_3, right, wrong | WRONG_FUNCTIONS)
    assert verdict(checks.check_2_3, lambda images: images).startswith("not answered yet")


def test_3_1(judge):
    solution = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])
    right = [solution, solution.tolist(), solution[..., None, None], [[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]]]
    wrong = {
        "image itself is gone": [[0, -1, 0], [-1, 4, -1], [0, -1, 0]],
        "blurs": np.full((3, 3), 1 / 9),
        "add up to 9": [[0, 1, 0], [1, 5, 1], [0, 1, 0]],
        "array of 3 x 3": [0, -1, 0, -1, 5, -1, 0, -1, 0],
        "symmetric": [[0, 0, 0], [-1, 3, -1], [0, 0, 0]],
        "does not strengthen": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    }
    judge(checks.check_3_1, right, wrong)


def test_3_2(judge):
    layers = networks.import_keras().layers
    convolution, dense = layers.Conv2D(32, 3), layers.Dense(32)
    convolution.build((None, 64, 64, 3))
    dense.build((None, 64 * 64 * 3))
    right = [(convolution.count_params(), dense.count_params()), (np.float64(896), 393248.0)]
    wrong = {"exchanged": (393248, 896), "one whole number": ("many", 393248), "inputs times outputs": (897, 393248)}
    of_convolution = {
        **{864: "Conv2D: each kernel also has", 28: "that is one kernel, ", 27: "one kernel without its bias"},
        **{320: "the image has 3", 288: "one colour only, and their biases"},
    }
    of_dense = {393216: "neuron also has a bias", 131104: "3 colours", 12288: "go in", 262176: "two poolings"}
    of_dense |= {12289: "that is one neuron", 128: "before Dense"}
    wrong |= {words: (number, 393248) for number, words in of_convolution.items()}
    wrong |= {words: (896, number) for number, words in of_dense.items()}
    judge(checks.check_3_2, right, wrong)


def test_3_3(judge, verdict):
    keras = networks.import_keras()
    layers = keras.layers

    def blocks(count, outputs=1):
        parts = [part for _ in range(count) for part in (layers.Conv2D(1, 3), layers.MaxPooling2D(2))]
        end = layers.Dense(outputs, activation="sigmoid")
        return keras.Sequential([keras.Input((64, 64, 3)), *parts, layers.Flatten(), end])

    def aucs(two, three=(0.95, 0.96)):
        return {"two blocks": two, "three blocks": three}

    network = blocks(3)
    wrong = {
        "Three blocks": (blocks(2), aucs([0.90, 0.92])),
        "one number from 0 to 1": (blocks(3, outputs=2), aucs([0.90, 0.92])),
        "at least two seeds": (network, aucs([0.9], [0.95])),
        "same AUC": (network, aucs([0.9, 0.9])),
        "percent": (network, aucs([90, 92], [95, 96])),
        "close to chance": (network, aucs([0.5, 0.51])),
        "A dictionary": (network, [0.9, 0.95]),
        "Keras network": (0.9, aucs([0.90, 0.92])),
    }
    judge(checks.check_3_3, [], wrong)
    assert "difference is larger" in verdict(checks.check_3_3, network, aucs([0.90, 0.92]))
    assert "not larger" in verdict(checks.check_3_3, network, aucs(np.array([0.90, 0.95]), pd.Series([0.93, 0.91])))


@pytest.fixture(scope="module")
def vgg16(data):
    """A small trunk with the names and the numbers of maps of VGG16, and features from its end and from half-way up."""
    keras = networks.import_keras()
    keras.utils.set_random_seed(1)
    inputs = keras.Input((64, 64, 3))
    maps = keras.layers.Conv2D(256, 4, strides=16, activation="relu", name="block3_pool")(inputs)
    trunk = keras.Model(inputs, [maps, keras.layers.Conv2D(512, 2, strides=2, activation="relu")(maps)])
    prepared = keras.applications.vgg16.preprocess_input(data.images * 255)
    maps, last = trunk.predict(prepared, verbose=0)
    small, unprepared = (trunk.predict(data.images * scale, verbose=0)[0].mean(axis=(1, 2)) for scale in (1, 255))
    last, early = last.mean(axis=(1, 2)), maps.mean(axis=(1, 2))
    return SimpleNamespace(trunk=trunk, last=last, maps=maps, early=early, unprepared=unprepared, small=small)


def test_4_1(judge, verdict, vgg16, data):
    features, pixels = vgg16.last.copy(), data.images[..., 0].reshape(len(data.images), -1)
    features[data.training[320:]] = 0  # as a quick run leaves them

    def right(table, rows=data.validation, k=5, training=data.training[:320]):
        neighbours = KNeighborsClassifier(k).fit(table[training], data.labels[training])
        return neighbours.score(table[rows], data.labels[rows])

    share = right(features)
    wrong = {"had learned from": right(features, data.training[:320]), "with pixels": right(pixels)}
    wrong |= {"one neighbour": right(features, k=1), "wrong answers": 1 - share, "percent": 100 * share}
    judge(checks.check_4_1, [share, np.float32(share), [round(share, 4)]], wrong | {"Another number": 0.7}, features)
    assert "features of the notebook" in verdict(checks.check_4_1, share, features[:100])
    assert "right. " in verdict(checks.check_4_1, right(vgg16.last, training=data.training), vgg16.last)


def test_4_2(judge, verdict, vgg16, data):
    early, trunk, training = vgg16.early.copy(), vgg16.trunk, data.training[:320]
    early[data.training[320:]] = 0
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    p = model.fit(early[training], data.labels[training]).predict_proba(early)[:, 1]
    truth, guess = data.validation_labels, p[data.validation]
    right = roc_auc_score(truth, guess)
    wrong = {"end of the trunk": vgg16.last, "Average each": vgg16.maps, "not prepared": vgg16.unprepared}
    wrong |= {"old weights": early[::-1], "One row": early[:400], "these are 100": early[:, :100]}
    judge(checks.check_4_2, [early, early.tolist()], wrong, right, trunk)
    assert "not prepared" in verdict(checks.check_4_2, vgg16.small, right, trunk)
    others = {"wrong way round": 1 - right, "percent": 100 * right, "Another number": 0.5}
    others["had learned from"] = roc_auc_score(data.labels[training], p[training])
    others["predict_proba(...)[:, 1]"] = roc_auc_score(truth, guess >= 0.5)
    for words, auc in others.items():
        assert words in verdict(checks.check_4_2, early, auc, trunk)


def test_4_3(judge, verdict):
    layers = networks.import_keras().layers
    turn, flip = layers.RandomRotation(0.03, fill_mode="constant"), layers.RandomFlip("horizontal")
    wrong = {
        "list of Keras layers": (["RandomZoom"], 0.95, 0.96),
        "upside down": ([layers.RandomFlip("vertical")], 0.95, 0.96),
        "leave the range": ([layers.RandomBrightness(0.5, value_range=(0, 255))], 0.95, 0.96),
        "came out": ([layers.RandomCrop(32, 32)], 0.95, 0.96),
        "come out as they went": ([layers.Dropout(0.0)], 0.95, 0.96),
        "outside of training": ([layers.Rescaling(0.5)], 0.95, 0.96),
        "Hardly anything": ([layers.RandomTranslation((0.9, 0.9), 0.0, fill_mode="constant")], 0.95, 0.96),
        "exactly the same": ([turn], 0.95, 0.95),
        "percent": ([turn], 95, 96),
        "close to chance": ([turn], 0.95, 0.5),
    }
    judge(checks.check_4_3, [([turn, layers.GaussianNoise(0.03)], 0.95, 0.96)], wrong)
    unmirrored = verdict(checks.check_4_3, (turn,), np.float64(0.95), 0.96)
    assert "+0.010" in unmirrored and "heart" not in unmirrored
    assert "heart" in verdict(checks.check_4_3, [flip], 0.95, 0.94)


@pytest.fixture
def answers(monkeypatch):
    """The last model's stored answers to validation and to test images: two pairs (labels, probabilities).

    It is the CNN here: VGG16 errs so seldom on simulated images that right and wrong answers lie too close together.
    """
    monkeypatch.setattr(checks, "LAST_MODEL", "cnn")
    tables = [helpers.load_predictions(split) for split in ("validation", "test")]
    return [(table["label"].to_numpy(), table["cnn"].to_numpy()) for table in tables]


def test_5_1(judge, answers):
    scores_before, scores = (helpers.score(*pair) for pair in answers)
    found, correct = scores["sensitivity"], scores["specificity"]
    found_before, correct_before = scores_before["sensitivity"], scores_before["specificity"]
    solution = (1 - correct) / (found + 1 - correct)
    truth, p = answers[0]
    frozen = helpers.score(*answers[1], np.sort(p[truth == 1])[int(0.05 * truth.sum())])
    wrong = {
        "frozen threshold": (1 - frozen["specificity"]) / (frozen["sensitivity"] + 1 - frozen["specificity"]),
        "one minus the answer": 1 - solution,
        "validation images": (1 - correct_before) / (found_before + 1 - correct_before),
        "among the healthy": 1 - correct,
        "exchanged": (1 - found) / (1 - found + correct),
        "our exam": 0.5,
        "percent": 100 * solution,
        "share_really_ill": 0.97,
    }
    judge(checks.check_5_1, [solution, np.float32(solution), round(solution, 2), np.array([solution])], wrong)


def test_5_2(judge, answers, data, monkeypatch):
    truth, p = answers[1]
    patients = data.metadata.loc[data.metadata["split"] == "test", "patient"].to_numpy()
    bootstrap = helpers.bootstrap_interval
    monkeypatch.setattr(helpers, "bootstrap_interval", lambda *given, draws: bootstrap(*given, draws=100))  # quick

    def interval(name, groups, truth=truth, p=p, **settings):
        return bootstrap(lambda r: helpers.score(truth[r], p[r])[name], groups, draws=100, **settings)

    by_patient, by_image = interval("sensitivity", patients), interval("sensitivity", range(len(truth)))
    wrong = {
        "Both are the same": (by_patient, by_patient),
        "lower end": (by_patient[::-1], by_image),
        "two numbers": (by_patient[0], by_image),
        "another score, specificity": (interval("specificity", patients), by_image),
        "on validation images": (interval("sensitivity", data.validation, *answers[0]), by_image),
        "by_image lies elsewhere": (by_patient, (0.1, 0.2)),
        "percent": ([90, 95], by_image),
        "too narrow": ([np.mean(by_patient), np.mean(by_patient) + 0.001], by_image),
    }
    other_seed = interval("sensitivity", patients, seed=1)
    judge(checks.check_5_2, [(by_patient, by_image), (list(other_seed), np.array(by_image))], wrong)


def test_5_3(judge, verdict, data, monkeypatch):
    def corner(images):
        return images[:, :8, :8, 0].mean(axis=(1, 2))

    assert "Simulated" in verdict(checks.check_5_3, corner)
    assert verdict(checks.check_5_3, lambda images: np.zeros(len(images))).startswith("not answered yet")
    monkeypatch.setattr(helpers, "are_simulated", lambda: False)
    assert "Measure something else" in verdict(checks.check_5_3, corner)
    marked = data.images.copy()
    marked[data.labels == 1, :3, :3] = 1
    monkeypatch.setattr(helpers, "get_train_data", lambda: (marked, data.labels))
    wrong = {
        "looks at the lungs": lambda images: images.mean(axis=(1, 2, 3)),
        "Measure each image alone": lambda images: corner(images) - corner(images).mean(),
        "one for each image": lambda images: images[:, :8, :8, 0].mean(axis=(0, 1)),
    }
    right = [corner, lambda images: images[:, :3, 0], lambda images: [image[:8, :8].mean() for image in images]]
    judge(checks.check_5_3, right, wrong | WRONG_FUNCTIONS)
    assert "AUC of 1.00" in verdict(checks.check_5_3, lambda images: images[:, 0, 0, 0])


@pytest.fixture(scope="module")
def network(data):
    """Logistic regression on grey values, with the predict of a Keras network."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-4, max_iter=1000))
    model.fit(checks.grey_rows(data.images[data.training]), data.labels[data.training])

    def predict(images, verbose=0):
        return model.predict_proba(checks.grey_rows(images))[:, 1:]

    return SimpleNamespace(predict=predict, input_shape=(None, 64, 64, 3))


def score(network, images, labels, name="accuracy"):
    return helpers.score(labels, network.predict(images))[name]


def test_6_1(judge, network, data):
    def answer(darker, brighter):
        return {"darker": darker, "brighter": brighter}

    def measure(images, labels, **which):
        return answer(*[score(network, images**power, labels, **which) for power in (1.6, 0.6)])

    images, labels = data.validation_images, data.validation_labels
    solution = measure(images, labels)
    darker, brighter = solution.values()
    wrong = {
        "exchanged": answer(brighter, darker),
        "undisturbed": dict.fromkeys(solution, score(network, images, labels)),
        "test images": measure(data.test_images, data.test_labels),
        "AUCs": measure(images, labels, name="auc"),
        "Look at the brighter": answer(darker, brighter + 0.1),
        "percent": answer(100 * darker, 100 * brighter),
        "put .ravel()": answer(0.5, 0.5),
        "A dictionary": [darker, brighter],
    }
    right = [solution, {"brighter": np.float32(brighter), "darker": [round(darker, 3)]}]
    judge(checks.check_6_1, right, wrong, network)


def test_6_2(judge, verdict, network, data):
    images, labels, angles = data.validation_images[..., :1], data.validation_labels, (0, 10, 20, 30, 40)

    def curve(sign=1, angles=angles, axes=(1, 2), factor=1, pictures=images, truth=labels):
        def of(model):
            turned = {a: rotate(pictures, sign * a, axes=axes, reshape=False, order=1) for a in angles}
            return {a: factor * score(model, turned[a], truth) for a in angles}

        return of

    right = [curve(), lambda model: list(curve(sign=-1)(model).items())]
    wrong = {
        "in degrees": curve(angles=tuple(np.deg2rad(angles))),
        "All angles give the same": lambda model: dict.fromkeys(angles, score(model, images, labels)),
        "percent": curve(factor=100),
        "test images": curve(pictures=data.test_images[..., :1], truth=data.test_labels),
        "axes=(1, 2)": curve(axes=(0, 1)),
        "nothing is turned": lambda model: {0: 0.1, 10: 0.2, 20: 0.3, 30: 0.4, 40: 0.5},
        "return a dictionary": lambda model: 0.9,
        "without brackets": 0.9,
    }
    judge(checks.check_6_2, right, wrong, network)
    assert verdict(checks.check_6_2, lambda model: {}, network).startswith("not answered yet")


def test_6_3(judge, verdict, network):
    wrong = WRONG_CHANGES | {"Nobody could read": lambda images: np.ones_like(images)}
    judge(checks.check_6_3, [lambda images: np.roll(images, 2, axis=2)], wrong, network)
    assert "network withstands" in verdict(checks.check_6_3, lambda images: np.clip(images + 0.001, 0, 1), network)
    assert "does not withstand" in verdict(checks.check_6_3, lambda images: images * 0.2, network)
    assert verdict(checks.check_6_3, lambda images: images, network).startswith("not answered yet")


def test_7_1(judge):
    def answer(accuracy, balanced):
        return {"accuracy": accuracy, "balanced accuracy": balanced}

    wrong = {
        "exchanged": answer(0.5, 0.75),
        "calls every image healthy": answer(0.25, 0.5),
        "percent": answer(75, 50),
        "which share of these images is ill": answer(1.0, 0.5),
        "which of the healthy": answer(0.75, 0.75),
        "One number": answer("much", 0.5),
        "this is -1": answer(-1, 0.5),
    }
    judge(checks.check_7_1, [answer(0.75, 0.5), answer([0.75], np.float64(0.5))], wrong, 30, 10)


def test_7_2(judge):
    large, small = 2000 * 64 * 64 * 12 / 1e9, 2000 * 64 * 64 / 1e9

    def answer(one, other):
        return {"float32, three colours": one, "one byte, grey": other}

    right = [answer(large, small), answer(large * 1e9 / 2**30, small * 1e9 / 2**30), answer(0.1, 0.01)]
    wrong = {
        "power of ten": answer(large * 1e9, small * 1e9),
        "one batch": answer(large * 32 / 2000, small * 32 / 2000),
        "you forgot three colours": answer(large / 3, small),
        "four bytes": answer(large / 4, small),
        "both factors": answer(large / 12, small),
        "Look at one byte, grey": answer(large, small * 1.2),
        "Two numbers": answer(large, "much"),
    }
    judge(checks.check_7_2, right, wrong, pd.DataFrame({"class": [0, 1] * 1000}), 64)


def test_7_3(judge, verdict, data, network, tmp_path):
    paths = [str(tmp_path / f"{number}.png") for number in range(20)]
    for path, image in zip(paths, data.images, strict=False):
        Image.fromarray((image[..., 0] * 255).astype("uint8")).save(path)
    table = pd.DataFrame({"path": paths, "class": data.labels[:20]})
    wrong = WRONG_CHANGES | {"shows something else": lambda pictures: 1 - pictures}
    judge(checks.check_7_3, [lambda pictures: np.roll(pictures, 2, axis=2)], wrong, network, table)
    assert verdict(checks.check_7_3, lambda pictures: pictures, network, table).startswith("not answered yet")


@pytest.fixture(scope="module")
def adults(data):
    """(images, labels, patients) of the other hospital: test images, darker."""
    places = np.concatenate([np.flatnonzero(data.test_labels == label)[:40] for label in (0, 1)])
    return data.test_images[places] ** 1.3, data.test_labels[places], np.arange(80)


def test_8_1(judge, monkeypatch):
    rng, labels = np.random.default_rng(0), np.repeat([0, 1], 200)
    p = {"validation": 0.35 * labels + rng.uniform(0, 0.6, 400), "external": rng.uniform(0, 0.9, 400)}
    tables = {
        split: pd.DataFrame({"model": "logistic_regression", "label": labels, "probability": values})
        for split, values in p.items()
    }
    monkeypatch.setattr(helpers, "read_predictions", tables.get)

    def answer(split="external", ill=1, threshold=None, turned=False):
        of_these = np.sort(p["validation"][labels == ill])
        scores = helpers.score(labels, p[split], threshold or of_these[10])
        values = [scores["sensitivity"], scores["specificity"]][:: -1 if turned else 1]
        return dict(zip(("sensitivity", "specificity"), values, strict=True))

    wrong = {
        "exchanged": answer(turned=True),
        "threshold 0.5": answer(threshold=0.5),
        "These are the validation images": answer("validation"),
        "from the healthy": answer(ill=0),
        "np.sort": {"sensitivity": 0.01, "specificity": 0.01},
        "percent": {"sensitivity": 95, "specificity": 60},
        "A dictionary": [0.9, 0.1],
    }
    judge(checks.check_8_1, [answer()], wrong)


def test_8_2(judge, data, adults, monkeypatch):
    monkeypatch.setattr(helpers, "get_external_data", lambda: adults)
    images, labels = data.images[data.training], data.labels[data.training]

    def answer(here, there):
        pictures = np.concatenate([images[here], adults[0][there]])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=2000))
        model.fit(pictures[..., 0].reshape(len(pictures), -1), [*labels[here], *adults[1][there]])
        some = [data.validation_images[data.validation_labels == 1], adults[0][adults[1] == 0]]
        shares = [model.predict(pictures[..., 0].reshape(len(pictures), -1)).mean() for pictures in some]
        return dict(zip(("ill children", "healthy adults"), shares, strict=True))

    solution = answer(labels == 0, adults[1] == 1)
    one, other = solution.values()
    wrong = {
        "exchanged": dict(zip(solution, (other, one), strict=True)),
        "called healthy": dict(zip(solution, (1 - one, 1 - other), strict=True)),
        "on all images": answer(labels >= 0, adults[1] >= 0),
        "Train make_model()": dict.fromkeys(solution, 0.37),
        "percent": dict.fromkeys(solution, 37),
    }
    judge(checks.check_8_2, [solution], wrong)


def test_8_3(judge, verdict, adults, monkeypatch):
    monkeypatch.setattr(helpers, "get_external_data", lambda: adults)
    wrong = WRONG_CHANGES | {"Nobody could read": lambda images: np.ones_like(images)}
    judge(checks.check_8_3, [lambda images: images**2], wrong)
    assert verdict(checks.check_8_3, lambda images: images).startswith("not answered yet")

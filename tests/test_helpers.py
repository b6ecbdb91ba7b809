"""helpers.py: images and their labels, figures, scores and results, and the bootstrap."""

import ast
import json
import os
import re
import runpy
import types

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, code_cells, keep_predictions

import helpers
from data import field, sources
from data.sources import DataError

pytestmark = pytest.mark.usefixtures("own_project")
IMAGE = np.linspace(0, 1, 64 * 64 * 3, dtype=np.float32).reshape(64, 64, 3)
IMAGES = np.stack([IMAGE, IMAGE[::-1], IMAGE[:, ::-1]])


# --- images and their labels ------------------------------------------------------------------------------------------

LOADERS = {"train": helpers.get_train_data, "test": helpers.get_test_data, "field": helpers.get_field_data}


@pytest.mark.parametrize("split", LOADERS)
def test_images_and_labels_have_the_form_promised_and_the_order_of_the_table(split, drawn):
    images, labels = LOADERS[split]()
    rows = helpers.get_metadata().query("split == @split")
    assert images.shape == (len(rows), 64, 64, 3) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1 and (images == images[..., :1]).all()
    assert labels.dtype.kind == "i" and labels.tolist() == rows["class"].tolist()
    plain = sources.load_images()[rows["index"]] / np.float32(255)
    if split == "field":
        for position in (0, 57, 399):
            seed = rows["index"].iloc[position]
            assert np.array_equal(images[position, ..., 0], field.disturb(plain[position], seed))
    else:
        assert np.array_equal(images[..., 0], plain)
    assert np.array_equal(LOADERS[split](flatten=True)[0], images.reshape(len(rows), 64 * 64 * 3))


def test_disturbances_follow_from_their_seed_and_have_the_strength_promised():
    rows, columns = np.indices((65, 65)) - 32
    bar, angles, powers, noises = np.exp(-((columns / 4) ** 2) - (rows / 20) ** 2), [], [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        turned = field.turn(bar, rng)
        angles.append(np.rad2deg(np.arctan((turned * rows * columns).sum() / (turned * rows**2).sum())))
        powers.append(np.log(field.expose(np.array([0.5]), rng)[0]) / np.log(0.5))
        noises.append(field.add_noise(np.zeros((64, 64)), rng).std())
    assert 15 < max(angles) < 30 and -30 < min(angles) < -15  # up to 20 degrees, and a shear of up to 8.5
    assert 0.6 <= min(powers) < 0.65 and 1.55 < max(powers) <= 1.6
    assert 0.0095 < min(noises) < 0.012 and 0.038 < max(noises) < 0.042
    disturbed = [field.disturb(IMAGES[0, ..., 0], seed) for seed in (*range(20), 7)]
    assert np.array_equal(disturbed[7], disturbed[-1]) and len({image.tobytes() for image in disturbed}) == 20
    assert np.min(disturbed) >= 0 and np.max(disturbed) <= 1


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["simulated", ""])
def test_the_title_of_an_image_names_class_index_and_simulation(mark, monkeypatch, tmp_path):
    monkeypatch.setenv("PNEUMONIA_DATA", "phantoms" if mark else str(tmp_path))
    for data in (IMAGES, IMAGES.reshape(3, -1)):
        for labels, index, words in [(None, None, []), (np.array([[0], [1], [0]]), 1, ["pneumonia", "image 1"])]:
            ax = helpers.plot_one_image(data, labels, index)
            assert ax.get_title() == ", ".join([*words, mark] if mark else words)
            assert np.array_equal(ax.images[0].get_array(), IMAGES[index or 0])
    assert "pneumonia" in helpers.plot_one_image(IMAGES[0], 1).get_title()


TWO = [0, 1, 0]
SLIPS = {
    "one label": ("3 images need as many labels", lambda: helpers.plot_one_image(IMAGES, 1)),
    "probabilities": ("0.3", lambda: helpers.plot_one_image(IMAGES, [0.3, 0.9, 1], 0)),
    "words": ("healthy", lambda: helpers.plot_one_image(IMAGES, ["healthy"] * 3, 0)),
    "one-hot": ("shape (3, 2)", lambda: helpers.score(np.eye(2)[TWO], [0.1, 0.9, 0.2])),
    "-1": ("is -1", lambda: helpers.score([-1, 1, 1], [0.1, 0.9, 0.2])),
    "another shape": ("these have (28, 28, 3)", lambda: helpers.plot_one_image(np.zeros((28, 28, 3)))),
    "one row": ("these have (12288,)", lambda: helpers.plot_one_image(np.zeros(12288))),
    "0 to 255": ("0 to 255: divide", lambda: helpers.plot_one_image(IMAGES * 255)),
    "0 to 255 in rows": ("0 to 255: divide", lambda: helpers.plot_images(IMAGES * 255)),
    "standardised": ("bring them", lambda: helpers.plot_images(IMAGES - IMAGES.mean(axis=0) * 2)),
    "one image": ("put one image in a list", lambda: helpers.plot_images(IMAGE)),
    "no image": ("has the shape (0,", lambda: helpers.plot_images(IMAGES[:0])),
    "titles": ("as many titles", lambda: helpers.plot_images(IMAGES, ["a"])),
    "disturb": ("divide", lambda: field.disturb(IMAGES[0, ..., 0] * 255, 1)),
    "disturb in colour": ("take [..., 0]", lambda: field.disturb(IMAGES[0], 1)),
    "a table twice": ("rows twice", lambda: helpers.split_by_patient(pd.concat([helpers.get_metadata()] * 2))),
    "another table": ("lacks index, split", lambda: helpers.split_by_patient(pd.DataFrame({"class": [1]}))),
    "threshold in percent": ("divide percent", lambda: helpers.score(TWO, [0.1, 0.9, 0.2], 50)),
    "one class": ("All labels are", lambda: helpers.score([1, 1], [0.5, 0.6])),
    "percent": ("percent", lambda: helpers.score(TWO, [10, 90, 20])),
    "log-odds": ("log-odds", lambda: helpers.score(TWO, [-3.2, 0.4, -1])),
    "no number": ("nan", lambda: helpers.score(TWO, [np.nan, 0.4, 0.1])),
    "two columns": ("shape (3, 2)", lambda: helpers.score(TWO, np.ones((3, 2)))),
    "indices": ("as many indices", lambda: helpers.save_result("knn", "test", [1], TWO, [0.1, 0.9, 0.2], 1, 2)),
    "no patient": ("1 of 2 images have no patient", lambda: helpers.bootstrap_interval(np.mean, ["a", None])),
    "no accuracy": ("no accuracy", lambda: helpers.plot_acc({"loss": [1]})),
    "an empty history": ("no loss", lambda: helpers.plot_loss({"loss": []})),
    "no folder": ("None does not exist", lambda: helpers.get_own_data(None)),
    "no history": ("give what fit returned", lambda: helpers.plot_loss(None)),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_arguments_that_do_not_belong_together_are_a_sentence(slip, refused):
    words, call = SLIPS[slip]
    with refused(words):
        call()


def test_positions_are_taken_from_tables_in_any_order_and_others_refused():
    for index in (-1, 3, "1"):
        with pytest.raises(IndexError, match=f"no image {index}: the indices go from 0 to 2"):
            helpers.plot_one_image(IMAGES, index=index)
    rows = pd.DataFrame({"index": [9, 7, 8], "class": TWO, "patient": ["a", "b", "c"]}, index=[40, 20, 30])
    axes = helpers.plot_images(IMAGES, titles=rows["patient"], columns=2)
    assert helpers.plot_images([IMAGE] * 6).shape == (2, 5) and axes.shape == (2, 2)
    assert not any(ax.axison for ax in axes.flat)
    assert [ax.get_title() for ax in axes.flat[:3]] == ["a", "b", "c"]
    assert "pneumonia" in helpers.plot_one_image(IMAGES, rows["class"], 1).get_title()
    helpers.save_result("knn", "test", rows["index"], rows["class"].reset_index(drop=True), [0.1, 0.9, 0.2], 1, 2)
    kept = pd.read_csv(helpers.OWN_RESULTS / "phantoms_predictions.csv")
    assert kept["index"].tolist() == [9, 7, 8] and kept["label"].tolist() == TWO


@pytest.mark.parametrize("quantity", ["accuracy", "loss"])
def test_curves_of_a_training_mark_the_epoch_of_lowest_validation_loss(quantity):
    curves = {"accuracy": [0.5, 0.6, 0.9], "loss": [0.7, 0.5, 0.1]}
    curves |= {"val_accuracy": [0.6, 0.5, 0.7], "val_loss": [0.8, 0.3, 0.4]}
    ax = helpers.plot_history(types.SimpleNamespace(epoch=[2, 3, 4], history=curves))[quantity == "loss"]
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines)[:3] == ["training images", "validation images", "best epoch"]
    assert lines["coin toss"].get_ydata()[0] == {"accuracy": 0.5, "loss": np.log(2)}[quantity]
    named = {text.get_text().strip() for text in ax.texts}
    assert named == {"training images", "validation images", "best epoch", "coin toss"} and not ax.get_legend()
    for name, values in (("training images", quantity), ("validation images", f"val_{quantity}")):
        assert lines[name].get_xdata().tolist() == [3, 4, 5] and lines[name].get_ydata().tolist() == curves[values]
    assert [*lines["best epoch"].get_xdata()] == [4, 4]
    assert ax.get_xlabel() == "epoch" and ax.get_ylabel() == quantity


HISTORIES = {
    "acc": ({"acc": [0.5, 0.9], "loss": [1, 2], "val_acc": [0.5, 0.6], "val_loss": [1, 2]}, 1),
    "no validation": ({"accuracy": [0.5, 0.9], "loss": [1, 2]}, None),
    "no number": ({"accuracy": [0.5, 0.9], "loss": [1, 2], "val_loss": [float("nan"), 2]}, 2),
    "never a number": ({"binary_accuracy": [0.5, 0.9], "loss": [1, 2], "val_loss": [float("nan")] * 2}, None),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_histories_as_keras_gives_them_are_drawn(name):
    curves, best = HISTORIES[name]
    for history in (curves, types.SimpleNamespace(history=types.SimpleNamespace(history=curves, epoch=[0, 1]))):
        for ax in helpers.plot_history(history):
            lines = {line.get_label(): line for line in ax.lines}
            assert ("best epoch" in lines) == (best is not None)
            assert best is None or [*lines["best epoch"].get_xdata()] == [best, best]


@pytest.mark.parametrize("simulated", [True, False])
@pytest.mark.parametrize("of_images", [True, False])
def test_a_figure_of_phantoms_says_so_and_no_other_does(simulated, of_images, monkeypatch, tmp_path):
    monkeypatch.setenv("PNEUMONIA_DATA", "phantoms" if simulated else str(tmp_path))
    figure, mark, shown = plt.figure(), "Simulated images, not patients", []
    monkeypatch.setattr(helpers, "display", lambda figure, metadata: shown.append((figure, metadata)))
    helpers.show_figure("Two lungs.", images=of_images)
    marked = simulated and of_images
    assert shown == [(figure, {"image/png": {"alt": f"{mark}. Two lungs." if marked else "Two lungs."}})]
    assert [text.get_text() for text in figure.texts] == [mark] * marked and plt.get_fignums() == []


# blue, orange, green and two light blues, tried with Machado's simulation of colour blindness; grey tones; one line
COLORS = set("#0173b2 #de8f05 #73a659 #56b4e9 #b5dff7 #a6d8f5 black white gray lightgray dimgray cyan".split())
MAPS = {"gray", "Blues", "inferno", "PuOr_r"}


def test_figures_use_only_colours_that_the_colour_blind_can_tell_apart():
    used, maps = set(), set()
    modules = [PROJECT / name for name in ("helpers.py", "figures.py", "tools/publish.py")]
    cells = [cell for path in (PROJECT / "notebooks").rglob("*.ipynb") for cell in code_cells(path)]
    for code in [*(path.read_text(encoding="utf-8") for path in modules), *cells]:
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Constant) and re.fullmatch("#[0-9a-f]{6}", str(node.value)):
                used.add(node.value)
            if isinstance(node, ast.keyword) and str(node.arg).endswith(("color", "colors", "palette", "cmap")):
                words = {part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)}
                (maps if node.arg == "cmap" else used).update(word for word in words if isinstance(word, str))
    assert used >= set(helpers.CLASS_COLORS) and used - COLORS == set()
    assert maps and maps - MAPS == set()


# --- scores and results -----------------------------------------------------------------------------------------------

LABELS = [0, 0, 0, 0, 1, 1]
PROBABILITIES = [0.1, 0.4, 0.5, 0.2, 0.3, 0.9]
# called ill are the images 2 and 5; of the 8 pairs ill-healthy 0.9 wins 4, 0.3 wins against 0.1 and 0.2
SCORES = {"accuracy": 4 / 6, "auc": 6 / 8, "sensitivity": 1 / 2, "specificity": 3 / 4}


def test_scores_are_those_counted_by_hand():
    assert helpers.score(LABELS, PROBABILITIES) == pytest.approx(SCORES)
    assert helpers.score(LABELS, np.float32(PROBABILITIES).reshape(-1, 1)) == pytest.approx(SCORES)  # as Keras has them
    at_the_threshold = {"accuracy": 5 / 6, "auc": 6 / 8, "sensitivity": 1 / 2, "specificity": 1}
    assert helpers.score(LABELS, PROBABILITIES, 0.9) == pytest.approx(at_the_threshold)
    assert helpers.score([0, 1, 1], [0.5, 0.5, 0.6])["auc"] == 0.75  # equal ones are half a win


def save(model="cnn", split="test", probabilities=PROBABILITIES):
    return helpers.save_result(model, split, range(100, 106), LABELS, probabilities, 12.5, 3)


def saved(name="phantoms"):
    return json.loads((helpers.OWN_RESULTS / f"{name}.json").read_text())


def test_a_result_is_kept_with_its_predictions():
    scores = save(probabilities=np.float32([0.12344949, 0.4, 0.4999999, 0.2, 0.3, 1]))
    assert (scores["sensitivity"], scores["specificity"]) == (0.5, 0.75)  # of what is kept: 0.4999999 is 0.5
    run = {"model": "cnn", "split": "test", "seed": 0}
    assert saved() == [{**run, **scores, "seconds": 12.5, "notebook": 3}]
    lines = (helpers.OWN_RESULTS / "phantoms_predictions.csv").read_text().splitlines()
    assert lines[0] == "model,split,seed,index,label,probability" and len(lines) == 7
    assert lines[1] == "cnn,test,0,100,0,0.123449" and lines[-1] == "cnn,test,0,105,1,1.0"


def test_a_result_replaces_only_that_of_the_same_model_split_and_seed(monkeypatch):
    save()
    save(model="knn")
    save(split="field")
    monkeypatch.setattr(helpers, "SEED", 1)
    save()
    monkeypatch.setattr(helpers, "SEED", 0)
    save(probabilities=LABELS)
    kept = {(r["model"], r["split"], r["seed"]): r["auc"] for r in saved()}
    others = {("knn", "test", 0): 0.75, ("cnn", "field", 0): 0.75, ("cnn", "test", 1): 0.75}
    assert kept == others | {("cnn", "test", 0): 1} and len(saved()) == 4
    table = pd.read_csv(helpers.OWN_RESULTS / "phantoms_predictions.csv")
    assert len(table) == 24
    for run, rows in table.groupby(["model", "split", "seed"]):
        assert rows["probability"].tolist() == (PROBABILITIES if run in others else LABELS)


def test_results_of_other_images_and_of_quick_runs_stay_apart(monkeypatch, tmp_path):
    for source, quick in [("phantoms", False), ("phantoms", True), (str(tmp_path), True), ("medmnist", False)]:
        monkeypatch.setenv("PNEUMONIA_DATA", source)
        monkeypatch.setattr(helpers, "QUICK", quick)
        save()
    names = ["kermany_quick", "medmnist", "phantoms"]  # on simulated images every run is quick
    assert sorted(path.stem for path in helpers.OWN_RESULTS.glob("*.json")) == names
    assert all(len(saved(name)) == 1 for name in names)


@pytest.mark.parametrize("name", ["phantoms.json", "phantoms_predictions.csv"])
def test_damaged_results_count_as_not_there_with_a_word(name, capsys):
    for damage in (b"", b"[{", b"a,b\n1,2\n", b"\xff\xfe\0"):
        save()
        (helpers.OWN_RESULTS / name).write_bytes(damage)
        assert save(model="knn") == pytest.approx(SCORES)
        assert f"{name} is damaged" in capsys.readouterr().out
    assert "knn" in (helpers.OWN_RESULTS / name).read_text()


def test_results_that_cannot_be_kept_do_not_stop_the_lesson(monkeypatch, capsys):
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert save() == pytest.approx(SCORES)
    assert capsys.readouterr().out.count("No space left on device): make room and try again. The lesson goes on") == 2


@pytest.mark.parametrize(("quick", "is_quick"), [("false", 0), ("No", 0), ("", 0), ("1", 1), ("yes", 1)])
def test_quick_means_what_it_says_and_a_seed_is_a_number(quick, is_quick, monkeypatch):
    monkeypatch.setenv("QUICK", quick)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert runpy.run_path(helpers.__file__)["QUICK"] == is_quick and os.environ["KERAS_BACKEND"] == "tensorflow"
    for seed in ("abc", "-1", "1.5"):
        monkeypatch.setenv("SEED", seed)
        with pytest.raises(DataError, match=f'SEED is "{seed}": set it to a whole number'):
            runpy.run_path(helpers.__file__)


def test_the_version_of_tensorflow_is_found_under_another_name(monkeypatch):
    monkeypatch.setattr(helpers, "packages_distributions", lambda: {"tensorflow_cpu_": ["numpy"]})
    assert helpers._version("tensorflow_cpu_") == np.__version__ and helpers._version("nowhere") == "is not installed"


def test_a_score_is_compared_with_earlier_runs_where_there_are_any(own_project, capsys):
    def verdict(split, auc):
        helpers.check_band("cnn", split, {"auc": np.float64(auc)})
        return capsys.readouterr().out.strip().removeprefix(f"cnn, {split}: ")

    nothing = "no earlier runs on these images to compare with"
    assert verdict("test", 0.8) == nothing  # the folder of results is gone
    sources.write_whole(own_project / "results" / "bands.json", '{"phantoms": {"cnn test": [0.8, 0.9]}}')
    inside = [verdict("test", auc).removeprefix("AUC in the expected band: ") for auc in (0.79, 0.8, 0.9, 0.91)]
    assert inside == ["False", "True", "True", "False"] and verdict("field", 0.8) == nothing


ROWS = pd.DataFrame({"index": [7, 5], "class": [1, 0], "split": "test"})


def test_own_predictions_go_before_the_stored_ones_model_by_model(monkeypatch, tmp_path):
    monkeypatch.setenv("PNEUMONIA_DATA", str(tmp_path))
    monkeypatch.setattr(helpers, "MODELS", {"knn": ("", 2), "cnn": ("", 3)})
    keep_predictions("kermany", ROWS, cnn=[0.27, 0.25], knn=[0.17, 0.15])
    stored = helpers.load_predictions("test")
    assert list(stored.columns) == ["index", "label", "knn", "cnn"]
    assert stored.to_numpy().tolist() == [[5, 0, 0.15, 0.25], [7, 1, 0.17, 0.27]]
    keep_predictions("own/kermany", ROWS, knn=[0.97, 0.95])
    keep_predictions("own/kermany_quick", ROWS, cnn=[0.1, 0.2])
    assert helpers.load_predictions("test").to_numpy().tolist() == [[5, 0, 0.95, 0.25], [7, 1, 0.97, 0.27]]
    monkeypatch.setattr(helpers, "QUICK", True)
    assert helpers.load_predictions("test")["cnn"].tolist() == [0.2, 0.1]


def test_predictions_and_results_that_nobody_made_are_a_sentence(monkeypatch, refused):
    monkeypatch.setattr(helpers, "MODELS", {"knn": ("", 2), "cnn": ("", 3), "vgg16": ("", 4)})
    keep_predictions("phantoms", ROWS, cnn=[0.27, 0.25])
    with refused("no test predictions of knn, vgg16", "seed 0", "run notebooks 2"):
        helpers.load_predictions("test")
    with refused("no results for these images", "run notebooks 2"):
        helpers.load_results()
    helpers.save_result("knn", "test", [0, 1], [0, 1], [0.2, 0.9], 1, 2)
    assert len(helpers.load_results()) == 1
    rows = [{"model": "knn", "split": "test", "seed": seed, "auc": 0.5 + seed / 10} for seed in range(3)]
    sources.write_whole(helpers.RESULTS / "phantoms.json", json.dumps(rows))
    monkeypatch.setattr(helpers, "QUICK", True)
    assert helpers.load_results().to_dict("records") == rows


# --- the bootstrap ----------------------------------------------------------------------------------------------------


def test_the_interval_holds_the_truth_in_about_95_of_100_draws():
    covered = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        patients = np.repeat(np.arange(60), rng.integers(1, 6, 60))
        values = rng.normal(0, 0.9, 60)[patients] + rng.normal(0, 0.4, len(patients))  # images of a patient are alike
        low, high = helpers.bootstrap_interval(lambda rows, of=values: of[rows].mean(), patients, draws=200, seed=seed)
        covered.append(low <= 0 <= high)
    assert 0.89 <= np.mean(covered) <= 0.99


def test_every_drawn_patient_comes_with_all_her_images():
    patients = pd.Series(["c", "a", "b", "a", "c", "a"], index=range(100, 106))
    drawn = []
    helpers.bootstrap_interval(lambda rows: drawn.append(np.bincount(rows, minlength=6)) or 0, patients)
    counts = np.array(drawn)
    assert (counts[:, [1, 3, 5]] == counts[:, [1]]).all() and (counts[:, [0, 4]] == counts[:, [0]]).all()
    assert (counts[:, :3].sum(axis=1) == 3).all() and len(np.unique(counts, axis=0)) == 10  # with replacement
    by_seed = [helpers.bootstrap_interval(np.std, patients, draws=50, seed=seed) for seed in (0, 0, 1)]
    assert by_seed[0] == by_seed[1] != by_seed[2]


def test_the_threshold_of_notebook_5_reaches_the_sensitivity_and_no_higher_one_does():
    cells = code_cells(PROJECT / "notebooks" / "05_honest_evaluation.ipynb")
    names, rng = {}, np.random.default_rng(0)
    exec(next(cell for cell in cells if "def threshold_for(" in cell), names)  # noqa: S102
    labels, probabilities = pd.Series(rng.integers(0, 2, 150)), pd.Series(rng.integers(1, 60, 150) / 60)
    for least in (0.5, 0.95, 1):
        threshold = names["threshold_for"](least, labels, probabilities)
        assert helpers.score(labels, probabilities, threshold)["sensitivity"] >= least
        assert helpers.score(labels, probabilities, threshold + 1 / 60)["sensitivity"] < least

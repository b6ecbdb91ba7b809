"""One measurement of tools/benchmark.py: python tools/benchmark_parts.py PART [ARGUMENT]

Prints {quantity: figure} as its last line; memory_gb is the peak of this process or of the largest one it started.
"""

import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import helpers
import networks
from data import sources

TINY = bool(os.environ.get("BENCHMARK_TINY"))
IMAGES = (20, 40) if TINY else (500, 1000, 2000, 5000)
PIXELS = (32, 64) if TINY else (32, 64, 128, 224)
MATRICES = (128,) if TINY else (1024, 2048, 4096)


def at_most(count):
    return min(count, 64) if TINY else count


def seconds_of(action, *arguments, **settings):
    start = time.perf_counter()
    action(*arguments, **settings)
    return time.perf_counter() - start


# --- the machine, start-up, images -------------------------------------------------------------------------------------


def machine():
    """In words; prepares the images, too, so that later measurements find them."""
    if sources.choose_source() not in ("phantoms", "folder"):
        raise sources.DataError("Loading is measured on simulated images or on a folder: set PNEUMONIA_DATA to one.")
    networks.import_keras()
    helpers.get_train_data()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    packages = ["numpy", "scikit-learn", "pillow", "tensorflow", "keras"]
    images = sources.describe_source()
    if not helpers.are_simulated():
        images += f", files of {typical_width()} pixels"
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "total_memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": sys.platform,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "reduced": networks.choose_precision(),
        "images": images,
    }


def typical_width():
    """Pixels in a row of the median image: large files take longer to read."""
    from PIL import Image

    folder = sources.find_images(sources.chosen_folder())
    return round(statistics.median(Image.open(folder / name).width for name in draw(100)["filename"]))


def start_up():
    """From the start of the kernel to the first table."""
    import nbformat
    from nbclient import NotebookClient
    from opening import SETUP

    cells = [SETUP, "from helpers import get_metadata\nget_metadata().head()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    folder = {"metadata": {"path": PROJECT / "notebooks"}}
    client = NotebookClient(notebook, kernel_name="python3", shutdown_kernel="immediate", resources=folder)
    return {"seconds": seconds_of(client.execute)}


def notebook(name):
    """As a reader of a fresh copy calls it: in full, on simulated images."""
    from run import NOTEBOOKS, execute

    os.environ["PNEUMONIA_DATA"] = "phantoms"
    return {"seconds": execute(NOTEBOOKS / f"{name}.ipynb")[1]}


def make_test():
    """As a reader calls it: quick, on simulated images; without the test of the page, which is about to change."""
    settings = {name: value for name, value in os.environ.items() if name != "PNEUMONIA_DATA"}
    settings["PYTEST_ADDOPTS"] = "--deselect tests/test_benchmark.py::test_page_and_picture_are_those_of_the_results"
    start = time.perf_counter()
    subprocess.run(["make", "test"], cwd=PROJECT, env=settings, stdout=sys.stderr, check=True)
    return {"seconds": time.perf_counter() - start}


def loading_cold():
    """The training images where nothing is prepared, so that all images are; the system may hold the files in memory."""
    with tempfile.TemporaryDirectory() as folder:
        sources.CACHE = Path(folder)
        return {"seconds": seconds_of(helpers.get_train_data)}


def loading_warm():
    return {"seconds": seconds_of(helpers.get_train_data)}


def draw(count):
    """Rows of the table, drawn by chance and repeated where there are too few."""
    table = helpers.get_metadata()
    return table.iloc[np.random.default_rng(0).permutation(len(table))[np.arange(count) % len(table)]]


def images_of(count, pixels=64):
    """Grey images float32 (count, pixels, pixels) in [0, 1] and their labels."""
    from PIL import Image

    rows = draw(count)
    grey = sources.load_images()[rows["index"]]
    if pixels != 64:
        grey = np.stack([np.asarray(Image.fromarray(image).resize((pixels, pixels))) for image in grey])
    return grey / np.float32(255), rows["class"].to_numpy()


# --- classic models ---------------------------------------------------------------------------------------------------


def knn_cost(count, pixels):
    """Seconds to judge 400 images by their neighbours among `count`."""
    from sklearn.neighbors import KNeighborsClassifier

    images, labels = images_of(count, pixels)
    judged = images_of(at_most(400), pixels)[0]
    model = KNeighborsClassifier(10).fit(images.reshape(count, -1), labels)
    judged = judged.reshape(len(judged), -1)
    model.predict(judged)  # the first time in a process takes longer
    return seconds_of(model.predict, judged)


def logistic_regression_cost(count, pixels):
    """Seconds to fit."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    grey, labels = images_of(count, pixels)
    images = grey.reshape(count, -1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=1000))
    model.fit(images[:64], labels[:64])
    return seconds_of(model.fit, images, labels)


def knn():
    return {"seconds": knn_cost(at_most(1600), 64)}


def logistic_regression():
    return {"seconds": logistic_regression_cost(at_most(1600), 64)}


# --- networks ---------------------------------------------------------------------------------------------------------


def multiply_adds(model):
    """How many multiplications, each with its addition, one image needs in each layer of a Keras model, from the first.

    Counts convolutions and dense layers: all others have little to calculate.
    """
    counts = []
    for layer in model.layers:
        if hasattr(layer, "layers"):
            counts += multiply_adds(layer)
        elif hasattr(layer, "kernel"):
            places = layer.output.shape[1:-1]  # of a map; a dense layer has one place only
            counts.append(math.prod(layer.kernel.shape) * math.prod(places))
    return counts


def fit_seconds(model, images, labels, warm_up):
    """Seconds of one epoch; the network has met images before, so nothing is prepared in these seconds."""
    model.fit(images[:warm_up], labels[:warm_up], epochs=1, verbose=0)
    return seconds_of(model.fit, images, labels, epochs=1, verbose=0)


def predict_seconds(model, images):
    model.predict(images[: 64 + len(images) % 64], batch_size=64, verbose=0)
    return seconds_of(model.predict, images, batch_size=64, verbose=0)


def throughput(per_image, count, seconds):
    """per_image: multiplications, each with its addition."""
    per_image = 2 * per_image / 1e9
    return {
        "images_per_second": count / seconds,
        "gflop_per_image": per_image,
        "gflop_per_second": per_image * count / seconds,
    }


def training(model, images, labels):
    seconds = statistics.median(fit_seconds(model, images, labels, warm_up=64) for _ in range(3))
    counts = multiply_adds(model)
    # the way back costs twice as much, but nobody asks how the image itself should change
    return throughput(3 * sum(counts) - counts[0], len(images), seconds)


def inference(model, images):
    seconds = statistics.median(predict_seconds(model, images) for _ in range(3))
    return throughput(sum(multiply_adds(model)), len(images), seconds)


def cnn_training(precision):
    networks.import_keras().mixed_precision.set_global_policy(precision)
    images, labels = images_of(at_most(1600))
    return training(networks.build_cnn(), helpers.in_colour(images), labels)


def cnn_inference(precision):
    networks.import_keras().mixed_precision.set_global_policy(precision)
    return inference(networks.build_cnn(), helpers.in_colour(images_of(at_most(2560))[0]))


def vgg16_training(precision):
    networks.import_keras().mixed_precision.set_global_policy(precision)
    grey, labels = images_of(at_most(512))
    images = helpers.in_colour(grey)
    return training(networks.start_vgg16(images, labels, [], epochs=2)[0], images, labels)


def vgg16_inference(precision):
    networks.import_keras().mixed_precision.set_global_policy(precision)
    grey, labels = images_of(at_most(640))
    images = helpers.in_colour(grey)
    return inference(networks.start_vgg16(images[:64], labels[:64], [], epochs=2)[0], images)


def ten_fits(tuning="off"):
    """Ten short trainings of the small network; tuning "on": TensorFlow tunes its pipelines, as it does by itself."""
    networks.import_keras()
    import tensorflow as tf

    if tuning == "on":
        tf.data.experimental.AutotuneOptions.enabled = property(lambda options: True)
    grey, labels = images_of(at_most(800))
    images, model = helpers.in_colour(grey), networks.build_cnn()
    model.fit(images[:64], labels[:64], verbose=0)
    return {"seconds": sum(seconds_of(model.fit, images, labels, verbose=0) for _ in range(10))}


def matmul(precision):
    """The fastest multiplication of two square matrices: what the processor can do at all."""
    networks.import_keras()
    import tensorflow as tf

    number_format = precision.removeprefix("mixed_")

    def speed(side):
        matrix = tf.cast(tf.random.normal((side, side)), number_format)
        tf.matmul(matrix, matrix).numpy()
        times = [seconds_of(lambda: tf.matmul(matrix, matrix)[0, 0].numpy()) for _ in range(3)]
        return 2 * side**3 / min(times) / 1e9

    return {"gflop_per_second": max(speed(side) for side in MATRICES)}


# --- curves -----------------------------------------------------------------------------------------------------------


def loading_cost(count, pixels):
    """Seconds to prepare images from their files, or to draw them."""
    rows = draw(count)
    if helpers.are_simulated():
        return seconds_of(sources.phantoms.draw_images, rows, pixels)
    return seconds_of(
        sources.read_images, sources.find_images(sources.chosen_folder()), rows["filename"].tolist(), pixels
    )


def cnn_training_cost(count, pixels):
    """Seconds of one epoch."""
    keras = networks.import_keras()
    grey, labels = images_of(count, pixels)
    built = networks.build_cnn()
    model = keras.models.clone_model(built, input_tensors=keras.Input((pixels, pixels, 3)))
    model.compile(keras.optimizers.RMSprop(1e-4), loss="binary_crossentropy", metrics=["accuracy"])
    return fit_seconds(model, helpers.in_colour(grey), labels, warm_up=32 + count % 32)


def vgg16_of(pixels):
    """VGG16 with one output, in the precision of the notebooks; its weights are random: they cost the same."""
    keras = networks.import_keras()
    networks.choose_precision()
    trunk = keras.applications.VGG16(weights=None, include_top=False, input_shape=(pixels, pixels, 3), pooling="avg")
    model = keras.Sequential([trunk, keras.layers.Dense(1, activation="sigmoid", dtype="float32")])
    model.compile(keras.optimizers.SGD(1e-4, momentum=0.9), loss="binary_crossentropy", metrics=["accuracy"])
    return model


def vgg16_training_cost(count, pixels):
    """Seconds of one epoch."""
    grey, labels = images_of(count, pixels)
    return fit_seconds(vgg16_of(pixels), helpers.in_colour(grey), labels, warm_up=32 + count % 32)


def vgg16_inference_cost(count, pixels):
    return predict_seconds(vgg16_of(pixels), helpers.in_colour(images_of(count, pixels)[0]))


# cost: (function of images and pixels; images on the curve by images; how many images on the curve by pixels)
CURVES = {
    "loading": (loading_cost, IMAGES, 500),
    "knn": (knn_cost, IMAGES, 500),
    "logistic_regression": (logistic_regression_cost, IMAGES, 500),
    "cnn_training": (cnn_training_cost, IMAGES, 128),
    "vgg16_training": (vgg16_training_cost, IMAGES, 16),
    "vgg16_inference": (vgg16_inference_cost, IMAGES, 64),
}


def curve_by_images(name):
    """{number of images: seconds}, at 64 x 64 pixels."""
    cost, counts, _ = CURVES[name]
    return {str(count): cost(count, 64) for count in counts}


def curve_by_pixels(name):
    """{pixels of a side: seconds}, for a fixed number of images."""
    cost, _, count = CURVES[name]
    return {str(pixels): cost(at_most(count), pixels) for pixels in PIXELS}


PARTS = [machine, start_up, notebook, make_test, loading_cold, loading_warm, knn, logistic_regression, cnn_training]
PARTS += [cnn_inference, vgg16_training, vgg16_inference, ten_fits, matmul, curve_by_images, curve_by_pixels]


def peak_memory():
    """In GB, of this process or of the largest that it started and saw end."""
    usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(usage) * 1024 / 1e9  # Linux counts in KiB


if __name__ == "__main__":
    part = {part.__name__: part for part in PARTS}[sys.argv[1]]
    try:
        measured = part(*sys.argv[2:])
    except sources.DataError as error:
        sys.exit(str(error))
    if part is not machine:
        measured["memory_gb"] = peak_memory()
    print("\n" + json.dumps(measured))

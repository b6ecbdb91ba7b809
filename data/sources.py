"""Where the images come from: simulated, a folder, or a download; and the cache of prepared images.

helpers.py calls `describe_source`, `load_table` and `load_images`; a student need not read this file. The environment
variable PNEUMONIA_DATA chooses the source; data/README.md lists its values.
"""

import hashlib
import importlib.util
import json
import os
import queue
import re
import shutil
import sys
import tempfile
import threading
import time
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
import requests
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from . import phantoms

DATA = Path(__file__).resolve().parent
PROJECT = DATA.parent
CACHE = DATA / "cache"
TABLE = DATA / "metadata.csv"
COLUMNS = ["index", "class", "split", "patient", "filename"]
SPLITS = {"train", "test", "field"}

SIZE = 64  # pixels along each side of a prepared image
PREPARATION = 1  # raise it when read_image gives other pixels: prepared images in a cache are then made anew
IMAGE_TYPES = (".jpeg", ".jpg", ".png")
MOST_PIXELS = 50_000_000
TIMEOUT = 10  # seconds that a silent server may take
CHUNK = 65_536  # bytes of a download between two moves of its bar
MOST_BYTES = 2_000_000_000  # of a download; the largest file has 1.24 GB
REMAINS_AGE = 3600  # seconds after which a half-written file is of a process that was killed

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # read_image refuses such pictures in a sentence

SOURCES = ("auto", "phantoms", "kermany", "medmnist", "inspirit")
KAGGLE = "paultimothymooney/chest-xray-pneumonia"
INSPIRIT = (
    "https://storage.googleapis.com/inspirit-ai-data-bucket-1/Data/AI%20Scholars/Sessions%206%20-%2010%20(Projects)"
    "/Project%20-%20(Healthcare%20A)%20Pneumonia/"
)
# name of the file: (address, checksum; None where none was ever published)
DOWNLOADS = {
    "kermany.zip": (
        "https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/f12eaf6d-6023-432f-acc9-80c9d7393433"
        "/file_downloaded",
        "sha256:13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36",
    ),
    "pneumoniamnist_28.npz": (
        "https://zenodo.org/records/10519652/files/pneumoniamnist.npz?download=1",
        "md5:28209eda62fecd6e6a2d98b1501bb15f",
    ),
    "pneumoniamnist_64.npz": (
        "https://zenodo.org/records/10519652/files/pneumoniamnist_64.npz?download=1",
        "md5:8f4eceb4ccffa70c672198ea285246c6",
    ),
    "inspirit_metadata.csv": (INSPIRIT + "metadata.csv", None),
    "inspirit_image_data.npy": (INSPIRIT + "image_data.npy", None),
}


class DataError(Exception):
    """Something is wrong with the data; the message is one sentence: what, where, what to do."""

    def _render_traceback_(self):
        # Jupyter asks for this: a student sees the sentence, not thirty lines of traceback
        return [f"DataError: {self}"]


# --- which source ---------------------------------------------------------------------------------------------------


def source_setting():
    """The value of PNEUMONIA_DATA, "auto" where it is unset."""
    return os.environ.get("PNEUMONIA_DATA", "").strip() or "auto"


def chosen_folder():
    """PNEUMONIA_DATA as a folder; a relative path starts at the project's folder, wherever a notebook runs."""
    return PROJECT / Path(source_setting()).expanduser()


def in_hosted_notebook():
    """True inside Colab or Kaggle, which have a fast network and the data set at hand."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ or "KAGGLE_KERNEL_RUN_TYPE" in os.environ


def choose_source():
    """Name of the source in use: "phantoms", "kermany", "medmnist", "inspirit", or "folder".

    Raises DataError where PNEUMONIA_DATA is neither a source nor a folder.
    """
    setting = source_setting()
    if setting == "auto":
        return "kermany" if prepared_real_images() is not None or in_hosted_notebook() else "phantoms"
    if setting in SOURCES:
        return setting
    if os.path.isdir(chosen_folder()):  # False, too, where the system refuses the path
        return "folder"
    raise DataError(
        f'PNEUMONIA_DATA is "{setting}", which is neither one of {", ".join(SOURCES)} nor a folder that exists; '
        "a relative path starts at the project's folder."
    )


def describe_source():
    """One line that says which images this run uses."""
    source = choose_source()
    if source == "phantoms":
        line = "simulated images (phantoms), not patients"
        if source_setting() == "auto":
            line += (
                '; for the real X-rays set PNEUMONIA_DATA to "kermany" (1.2 GB, once) or to a folder that holds them'
            )
        return line
    if source in ("kermany", "folder"):
        return "real chest X-rays (Kermany et al. 2018, CC BY 4.0)"
    if source == "medmnist":
        return "PneumoniaMNIST, 64 px (CC BY 4.0); it names no patients, so each image counts as its own"
    return "the Inspirit AI course's own images; they name no patients, so each image counts as its own"


# --- the table of images ---------------------------------------------------------------------------------------------


def load_table():
    """One row per image: columns index, class (0 healthy, 1 pneumonia), split, patient, filename.

    Raises DataError where the table cannot be right.
    """
    source = choose_source()
    if source == "medmnist":
        return medmnist_table(open_medmnist())
    if source == "inspirit":
        path = download("inspirit_metadata.csv")
        table = inspirit_table(path)
        pin(path)
        return table
    return check_table(read_csv(TABLE), TABLE.name)


def read_csv(path):
    """A table, or DataError where the file is none."""
    try:
        return pd.read_csv(path, encoding="utf-8-sig", dtype={"patient": str, "filename": str})
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read as a table ({one_line(error)}); get the file again.") from error


def check_table(table, name):
    """The table itself; DataError where a column is missing or a value is impossible."""
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise DataError(f"{name} has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}.")
    faults = {
        "it must hold at least one row": table.empty,
        "index must count 0, 1, 2, ... without gaps": list(table["index"]) != list(range(len(table))),
        "class must be 0 or 1": not table["class"].isin([0, 1]).all(),
        f"split must be one of {', '.join(sorted(SPLITS))}": not table["split"].isin(SPLITS).all(),
        "patient and filename must not be empty": bool(table[["patient", "filename"]].isna().any(axis=None)),
    }
    for rule, broken in faults.items():
        if broken:
            raise DataError(f"{name}: {rule}; get the file again.")
    return table[COLUMNS].astype({"index": int, "class": int})


def medmnist_table(arrays):
    """The same counts as data/metadata.csv: train and field from the official train split, test from the test split."""
    rng = np.random.default_rng(0)
    order = {split: rng.permutation(len(arrays[f"{split}_labels"])) for split in ("train", "test")}
    draws = [("train", "train", 0, 1000), ("test", "test", 0, 200), ("field", "train", 1000, 200)]
    parts = []
    for split, origin, first, count in draws:
        labels = arrays[f"{origin}_labels"].ravel()[order[origin]]
        for label in (0, 1):
            images = order[origin][labels == label][first : first + count]
            parts.append(pd.DataFrame({"class": label, "split": split, "filename": [f"{origin}/{f}" for f in images]}))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "index", range(len(table)))
    table["patient"] = table["filename"]
    return check_table(table, "pneumoniamnist_64.npz")


def inspirit_table(path):
    """The article's own table (class, split, index), with one patient per image, since it names none."""
    try:
        table = read_csv(path)
        if "index" in table:
            table = table.sort_values("index", ignore_index=True)
            table["filename"] = [f"image_data.npy/{index}" for index in table["index"]]
            table["patient"] = table["filename"]
        return check_table(table, path.name)
    except DataError:
        path.unlink(missing_ok=True)  # so that the next run downloads it again
        raise


# --- the images ------------------------------------------------------------------------------------------------------


def load_images():
    """All images of the table, from the cache where they are prepared.

    Returns uint8 of shape (rows of the table, 64, 64), 0 = black. Raises DataError where the source fails. In Colab and
    Kaggle the source "auto" goes on with phantoms where the download fails, and says so.
    """
    source = choose_source()
    try:
        return load_from(source)
    except DataError as error:
        if source_setting() != "auto" or source == "phantoms":
            raise
        print(f"{error}\nGoing on with simulated images. Set PNEUMONIA_DATA to kermany and restart to try again.")
        os.environ["PNEUMONIA_DATA"] = "phantoms"
        return load_from("phantoms")


def load_from(source):
    """All images of one source; see load_images."""
    if source == "phantoms":
        drawing = Path(phantoms.__file__).read_bytes()
        return cached("phantoms", [drawing], lambda: phantoms.draw_images(load_table(), SIZE))
    if source == "folder":
        return load_folder(chosen_folder())
    if source == "kermany":
        prepared = prepared_real_images()
        if prepared is not None:
            return prepared
        return cached("kermany", [b"download"], lambda: read_images(download_kermany(), load_table()["filename"]))
    if source == "medmnist":
        arrays = open_medmnist()
        return np.stack([pick_medmnist(arrays, name) for name in load_table()["filename"]])
    path = download("inspirit_image_data.npy")
    images = inspirit_images(path, len(load_table()))
    pin(path)
    return images


def load_folder(folder):
    """All images of a folder on this computer; see load_images."""
    try:
        inner = find_images(folder)
        return cached("kermany", [list_files(inner)], lambda: read_images(inner, load_table()["filename"]))
    except OSError as error:
        raise DataError(
            f"{folder.name} cannot be read ({one_line(error)}): give yourself the right to read it, or copy it."
        ) from error


def read_images(folder, filenames, size=SIZE):
    """Images read from a folder (a pathlib.Path or, for a ZIP file, a zipfile.Path).

    Returns uint8 of shape (number of names, size, size), 0 = black. Raises DataError that names the image.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = pool.map(lambda name: read_image(locate_image(folder, name), size), filenames)
        try:
            return np.stack(list(progress(images, len(filenames), "Reading images")))
        finally:
            pool.shutdown(cancel_futures=True)


def locate_image(folder, filename):
    """The path of an image, whatever its ending; DataError where there is none."""
    stem = filename.rpartition(".")[0]
    for ending in (*IMAGE_TYPES, *map(str.upper, IMAGE_TYPES)):
        path = folder / (stem + ending)
        if path.is_file():
            return path
    raise DataError(f"{filename} is in data/metadata.csv but not in the folder: copy the whole data set once more.")


def read_image(path, size=SIZE):
    """One JPEG or PNG file as grey values.

    Returns uint8 of shape (size, size), squeezed to a square. Raises DataError where the file is no sound picture.
    """
    name = "/".join(Path(str(path)).parts[-3:])
    try:
        with path.open("rb") as file, Image.open(file, formats=("JPEG", "PNG")) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels, more than any X-ray has")
            image.draft("L", (2 * size, 2 * size))  # a JPEG can be decoded at reduced size, many times faster
            image = to_grey(ImageOps.exif_transpose(image))
            return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2))
    except Exception as error:  # a damaged file can make the decoder raise nearly anything
        reason = "no such picture inside" if isinstance(error, UnidentifiedImageError) else one_line(error)
        raise DataError(f"{name} is not a sound JPEG or PNG ({reason}): get this file again.") from error


def to_grey(image):
    """The picture in mode "L": 8 bit grey."""
    if image.mode.startswith("I"):  # 16 bit: Pillow would clip at 255 instead of scaling
        return Image.fromarray((np.asarray(image) // 257).astype("uint8"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image.convert("L")


def find_images(folder):
    """The folder, or the one inside it, that holds train/NORMAL and the rest; DataError where there is none."""
    for candidate in (folder, folder / "chest_xray", folder / "chest_xray" / "chest_xray"):
        if all(
            (candidate / split / label).is_dir() for split in ("train", "test") for label in ("NORMAL", "PNEUMONIA")
        ):
            return candidate
    raise DataError(
        f"{folder.name} does not hold the folders train/NORMAL, train/PNEUMONIA, test/NORMAL and test/PNEUMONIA: "
        "point PNEUMONIA_DATA at the folder that does."
    )


def list_files(folder):
    """Names, sizes and times of all files, as bytes: changes when a file does."""
    files = [file for file in sorted(folder.glob("*/*/*")) if file.exists() or not file.is_symlink()]
    return repr([(str(f.relative_to(folder)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]).encode()


def download_kermany():
    """Where the real images are after a download: a folder by kagglehub where that is installed, else a ZIP file."""
    if importlib.util.find_spec("kagglehub"):
        try:
            import kagglehub

            return find_images(Path(kagglehub.dataset_download(KAGGLE)))
        except Exception as error:  # kagglehub raises many types; the other address may still work
            print(f"Kaggle did not answer ({one_line(error)}); trying Mendeley Data.")
    return find_images(zipfile.Path(download("kermany.zip")))


def open_medmnist(size=SIZE, splits=("train", "test")):
    """The arrays of PneumoniaMNIST: {split}_images uint8 (n, size, size) and {split}_labels (n, 1); size: 28 or 64."""
    path = download(f"pneumoniamnist_{size}.npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [f"{split}_{what}" for split in splits for what in ("images", "labels")]
            arrays = {name: np.asarray(file[name]) for name in names}  # what is no array comes as bytes
    except Exception as error:  # as with pictures, a damaged file can raise nearly anything
        raise useless(path, f"no archive of the arrays expected, {one_line(error)}") from error
    for split in splits:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        count = len(images) if images.ndim else 0
        sound = images.shape == (count, size, size) and images.dtype == np.uint8 and labels.shape == (count, 1)
        if not sound or not np.isin(labels, (0, 1)).all():
            raise useless(path, f"its {split} images {images.dtype} {images.shape} or their labels are wrong")
    return arrays


def pick_medmnist(arrays, name):
    """The image that a table row names as "train/17"."""
    split, position = name.split("/")
    return arrays[f"{split}_images"][int(position)]


def inspirit_images(path, count):
    """The article's array as uint8 (count, 64, 64); DataError where it is anything else."""
    try:
        images = np.load(path, allow_pickle=False)
        images = images.reshape(count, SIZE, SIZE, 3)[..., 0]
    except Exception as error:
        raise useless(path, f"no array of {count} images, {one_line(error)}") from error
    if images.dtype.kind not in "uif" or not np.isfinite(images).all() or images.min() < 0 or images.max() > 255:
        raise useless(path, "its values are not grey values from 0 to 255")
    images = images.astype(np.float32)
    return (images * 255 if images.max() <= 1 else images).round().astype(np.uint8)


def useless(path, reason):
    """The DataError for a downloaded file that is not what it should be; the file is deleted."""
    path.unlink(missing_ok=True)
    return DataError(f"{path.name} is not the file expected ({reason}): run again to download it once more.")


# --- downloads and cache --------------------------------------------------------------------------------------------


def download(name):
    """Path of a downloaded file, fetched once, checked by its sum; DataError where that fails."""
    address, checksum = DOWNLOADS[name]
    folder = CACHE / "downloads"
    clear_remains(folder)
    try:
        pooch.get_logger().setLevel("ERROR")
        return Path(pooch.retrieve(address, checksum or pinned(name), fname=name, path=folder, downloader=fetch))
    except (requests.RequestException, OSError, ValueError) as error:
        raise DataError(
            f"{name} could not be downloaded ({why_no_download(error)}): try again later, "
            "or set PNEUMONIA_DATA to phantoms, which needs no network."
        ) from error


def fetch(address, path, _):
    """Write what the server sends into a file; pooch calls it."""
    with first_answer(address) as response, open(path, "wb") as file:
        response.raise_for_status()
        size = int(response.headers.get("content-length", 0))
        with progress(None, size, "Downloading", unit="B", unit_scale=True) as bar:
            for part in response.iter_content(chunk_size=CHUNK):
                file.write(part)
                bar.update(len(part))
                if file.tell() > MOST_BYTES:
                    raise ValueError(f"the server sends more than {MOST_BYTES / 1e9:g} GB")


def first_answer(address):
    """The server's answer, its body still to be read; requests.Timeout where it does not come within TIMEOUT seconds.

    requests alone would wait as long for each of the server's addresses, and longer for the name service.
    """
    answers = queue.SimpleQueue()

    def ask():
        try:
            answers.put(requests.get(address, stream=True, timeout=TIMEOUT))
        except Exception as error:  # raised below, where the student waits
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=TIMEOUT)
    except queue.Empty:
        raise requests.Timeout from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def pinned(name):
    """The sum that a download without a published one had when it was first found sound, or None."""
    try:
        text = (CACHE / "downloads" / f"{name}.sha256").read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    return text if re.fullmatch("sha256:[0-9a-f]{64}", text) else None


def pin(path):
    """Keep a sound download's sum, so that another file under its address is refused from now on."""
    if pinned(path.name) is None:
        try:
            path.with_name(f"{path.name}.sha256").write_text("sha256:" + pooch.file_hash(path), encoding="ascii")
        except OSError:
            pass  # nothing is lost: the next start tries again


def clear_remains(folder):
    """Delete what a killed process left half-written in a folder of the cache."""
    for file in folder.glob("tmp*"):  # so Python names temporary files and folders
        try:
            if time.time() - file.stat().st_mtime > REMAINS_AGE:  # a younger one may still be growing
                shutil.rmtree(file) if file.is_dir() else file.unlink()
        except OSError:
            pass  # another process was faster


def why_no_download(error):
    """A few words on why a download failed."""
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"the server was silent for {TIMEOUT} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off half-way"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server"
    if "does not match the known hash" in str(error):
        return "the checksum is wrong, so it is not the file that was published or that came before"
    return one_line(error)


def cached(source, ingredients, prepare):
    """Images from the cache, or what `prepare` makes, kept for the next time.

    The file's name holds a sum over the table and the `ingredients` (bytes): when one changes, the images are made anew.
    """
    key = short_sum(*ingredients)
    path = CACHE / f"{source}-{table_key()}-{key}.npy"
    images = read_prepared(path)
    if images is None:
        images = prepare()
        keep(images, path)
    return images


def table_key():
    """Changes when data/metadata.csv or the way images are prepared does."""
    try:
        table = TABLE.read_bytes()
    except OSError as error:
        raise DataError(f"{TABLE.name} cannot be read ({one_line(error)}); get the file again.") from error
    return short_sum(table, f"{SIZE} pixels, preparation {PREPARATION}".encode())


def short_sum(*parts):
    """16 hexadecimal digits that change when one of the parts (bytes) does."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]


def prepared_real_images():
    """The real images prepared last for this table, or None."""
    for path in CACHE.glob(f"kermany-{table_key()}-*.npy"):
        return read_prepared(path)
    return None


def read_prepared(path):
    """Images from a cache file, or None where there is no sound one."""
    try:
        images = np.load(path, allow_pickle=False)
        return images if images.ndim == 3 and images.shape[1:] == (SIZE, SIZE) and images.dtype == np.uint8 else None
    except Exception:  # a damaged file can raise nearly anything
        return None


def keep(images, path):
    """Write images to a cache file, whole or not at all, in place of older ones of the same source."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_remains(path.parent)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            temporary = Path(file.name)
            np.save(file, images)
        older = list(path.parent.glob(f"{path.name.split('-')[0]}-*.npy"))
        os.replace(temporary, path)
        for file in set(older) - {path}:
            file.unlink(missing_ok=True)
    except OSError as error:
        print(
            f"The prepared images could not be kept in data/cache ({one_line(error)}): "
            "the next start prepares them again."
        )
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def write_whole(path, text):
    """Write a text file so that a stop half-way leaves the old one. Raises DataError where that fails."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")  # another notebook may write at the same time
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(
            f"{path.name} could not be written ({one_line(error)}): make room for it and run this cell again."
        ) from error


def read_json(path):
    """What a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def list_image_files(folder):
    """The paths of the image files in a folder, sorted."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_TYPES)


def progress(items, total, what, **options):
    """A progress bar on standard output for what takes longer than two seconds."""
    return tqdm(items, total=total, desc=what, delay=2, leave=False, file=sys.stdout, **options)


def one_line(error):
    """The first sentence of an error's message, without the path that Python or pooch adds to it."""
    for fault in (error, error.__cause__):
        if isinstance(fault, OSError) and fault.strerror:
            return fault.strerror
    return (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0].rstrip(".")

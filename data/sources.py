"""Where the images come from: simulated, a folder, or a download; and the cache of prepared images.

The environment variable PNEUMONIA_DATA chooses among the table SOURCES; README.md in this folder lists its values.
helpers.py calls `describe_source`, `load_table` and `load_images`; a student need not read this file.
"""

import contextlib
import functools
import hashlib
import importlib.util
import io
import json
import os
import shutil
import sys
import tempfile
import time
import warnings
import zipfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
import requests
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from tqdm import tqdm

from . import phantoms

DATA = Path(__file__).resolve().parent
PROJECT = DATA.parent
CACHE = DATA / "cache"
TABLE = DATA / "metadata.csv"
ATTACHED = Path("/kaggle/input")  # where Kaggle shows the data sets attached to a notebook
COLUMNS = ["index", "class", "split", "patient", "filename"]
SPLITS = ["train", "test", "field"]
CLASSES = {"NORMAL": 0, "PNEUMONIA": 1}  # folder of the data set: class

SIZE = 64  # pixels along each side of a prepared image
PREPARATION = 2  # raise it when read_image gives other pixels: prepared images in a cache are then made anew
IMAGE_TYPES = (".jpeg", ".jpg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp")
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
TIMEOUT = 10  # seconds that a server may be silent

warnings.filterwarnings("ignore", module="PIL")  # read_image refuses what is no sound image, in a sentence
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY  # else a PNG with a large colour profile is refused

INSPIRIT = (
    "https://storage.googleapis.com/inspirit-ai-data-bucket-1/Data/AI%20Scholars/Sessions%206%20-%2010%20(Projects)"
    "/Project%20-%20(Healthcare%20A)%20Pneumonia/"
)
ZENODO = "https://zenodo.org/records/10519652/files/"
# name of the file: (address, checksum; None where none was ever published)
DOWNLOADS = {
    "kermany.zip": (
        "https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/f12eaf6d-6023-432f-acc9-80c9d7393433"
        "/file_downloaded",
        "sha256:13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36",
    ),
    "pneumoniamnist_64.npz": (ZENODO + "pneumoniamnist_64.npz?download=1", "md5:8f4eceb4ccffa70c672198ea285246c6"),
    "chestmnist_64.npz": (ZENODO + "chestmnist_64.npz?download=1", "md5:9de6cd0b934ebb5b7426cfba5efbae16"),
    "inspirit_metadata.csv": (INSPIRIT + "metadata.csv", None),
    "inspirit_image_data.npy": (INSPIRIT + "image_data.npy", None),
}
# words in the message of an error: why a download failed
NO_DOWNLOAD = {
    "Proxy": "the proxy of this network refused: put its address, with name and password, in HTTPS_PROXY",
    "SSL": "the server's certificate is not trusted: look at the clock, or ask who runs this network",
    "does not match the known hash": "the checksum is wrong, so it is not the file that was published",
}
OTHER_NAMES = "take version 2 of the data set or Kaggle's copy; images of your own are for get_own_data in notebook 6"
say_once = functools.cache(print)


class DataError(ValueError):
    """What came cannot be right, data or argument; the message is one sentence: what, where, what to do."""

    def _render_traceback_(self):
        # Jupyter asks for this: a student sees the sentence, not thirty lines of traceback
        return [f"DataError: {self}"]


# --- files ------------------------------------------------------------------------------------------------------------


def write_whole(path, content):
    """Write a file (text or bytes) so that a stop half-way leaves the old one. Raises DataError where that fails."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")  # another notebook may write at the same time
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path.name} could not be written ({one_line(error)}): make room and try again.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def read_json(path):
    """What a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def writable(folder):
    """The folder, or a temporary one, with a word, where it may not be written, as in a read-only course."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if there.is_dir() and os.access(there, os.W_OK):
        return folder
    say_once(f"The folder {folder.name} cannot be written: what belongs there is kept until this computer restarts.")
    return Path(tempfile.gettempdir(), short_sum(str(folder).encode()), folder.name)


def look_into(folder):
    """What lies in a folder (Path or zipfile.Path), sorted, without hidden things such as macOS' ._name."""
    try:
        return sorted((path for path in folder.iterdir() if path.name[0] != "."), key=lambda path: path.name)
    except FileNotFoundError:
        fault = "does not exist: look for a slip in its name, or give its whole path"
    except NotADirectoryError:
        fault = "is a file, no folder: unpack it where it is a ZIP file, and give the folder"
    except OSError as error:
        fault = f"cannot be read ({one_line(error)}): allow it, or copy the folder"
    raise DataError(f"{folder.name} {fault}.")


def find_folders(places, names):
    """The first of the places that holds the folders of these names. Raises DataError on what is there instead."""
    outer = [path for path in look_into(places[0]) if path.is_dir()]
    for place in places:
        if all((place / name).is_dir() for name in names):
            return place
    found = [path.name for folder in outer for path in [folder, *look_into(folder)] if path.is_dir()]
    inside = f"only {', '.join(found[:6])}: rename these, or" if found else "nor any other:"
    raise DataError(f"{places[0].name} does not hold the folders {', '.join(names)}, {inside} choose one that does.")


def list_image_files(folder):
    """The image files of a folder, sorted, without hidden ones; a line says what else was left out."""
    files = [path for path in look_into(folder) if path.is_file()] if folder.is_dir() else []
    others = [path.name for path in files if not path.name.lower().endswith(IMAGE_TYPES)]
    if others:
        place, kinds = f"{folder.parent.name}/{folder.name}", {Path(name).suffix.lower() or name for name in others}
        say_once(f"{place}: left out {len(others)} of {len(files)} files, not read ({', '.join(sorted(kinds))}).")
    return [path for path in files if path.name not in set(others)]


def list_classes(folder, names):
    """The image files in two folders of a folder, and their classes (N,). Raises DataError where one is empty."""
    paths = [list_image_files(folder / name) for name in names]
    for name, found in zip(names, paths, strict=True):
        if not found:
            raise DataError(f"There are no images in {folder.resolve().name}/{name}: put JPEG or PNG files there.")
    return sum(paths, []), np.repeat([0, 1], [len(found) for found in paths])


def list_images(folder, splits=("train", "test")):
    """The names of a data set's images, such as "train/NORMAL/IM-0115-0001.jpeg", sorted."""
    places = [f"{split}/{label}" for split in sorted(splits) for label in CLASSES]
    return [f"{place}/{path.name}" for place in places for path in list_image_files(folder / place)]


def read_images(folder, filenames, size=SIZE):
    """Images by their names in the table: uint8 (N, size, size). A file may end in another of IMAGE_TYPES."""
    paths = {name.rpartition(".")[0]: folder / name for name in list_images(folder)}
    stems = [name.rpartition(".")[0] for name in filenames]
    missing = [name for stem, name in zip(stems, filenames, strict=True) if stem not in paths]
    if missing:
        there = f"holds others, such as {min(paths)}" if paths else "holds no images"
        advice = f"it {there}; {OTHER_NAMES}" if 2 * len(missing) > len(stems) else "copy these from the data set"
        count = f"{len(missing):,} of {len(stems):,} images of data/metadata.csv"
        raise DataError(f"{missing[0]} is not in the folder ({count} are not): {advice}.")
    return read_all([paths[stem] for stem in stems], size)


def read_all(paths, size=SIZE):
    """Image files, several at a time: uint8 (N, size, size). Raises DataError at the first that is no sound image."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # its map cancels what waits where one image fails
        images = pool.map(lambda path: read_image(path, size), paths)
        return np.stack(list(progress(images, len(paths), "Reading images")))


def read_image(path, size=SIZE):
    """One image file, squeezed to a square: uint8 (size, size), grey. Raises DataError where it is no sound image."""
    name = "/".join(Path(str(path)).parts[-3:])
    try:
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            image.draft("L", (2 * size, 2 * size))  # a JPEG can be decoded at reduced size, many times faster
            image.load()
            with contextlib.suppress(Exception):  # notes beside a sound image may be broken
                image = ImageOps.exif_transpose(image)
            image = to_grey(image)
            return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2))
    except Exception as error:  # a damaged file can make the decoder raise nearly anything
        reason = "no such image inside" if isinstance(error, UnidentifiedImageError) else one_line(error)
        raise DataError(f"{name} is not a sound image ({reason}): get this file again.") from error


def to_grey(image):
    """The image in mode "L": 8 bit grey."""
    if image.mode[0] in "IF":  # more than 8 bit: Pillow would clip at 255 instead of scaling
        values = np.asarray(image, dtype=np.float32)
        most = next(most for most in (1, 255, 1023, 4095, 16383, 65535, values.max()) if values.max() <= most)
        return Image.fromarray((values.clip(0) * (255 / most) + 0.5).astype("uint8"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image.convert("L")


def progress(items, total, what):
    """A progress bar on standard output for what takes longer than two seconds."""
    return tqdm(items, total=total, desc=what, delay=2, leave=False, file=sys.stdout)


def one_line(error):
    """The first sentence of an error's message, without the path that Python or pooch adds to it."""
    for fault in (error, error.__cause__):
        if isinstance(fault, OSError) and fault.strerror:
            return fault.strerror
    return (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0].rstrip(".:")


def read_table():
    """data/metadata.csv. Raises DataError where it is no table or cannot be right."""
    try:
        table = pd.read_csv(TABLE, encoding="utf-8-sig", dtype={"patient": str, "filename": str})
    except (OSError, ValueError) as error:
        raise DataError(f"{TABLE.name} cannot be read as a table ({one_line(error)}); get the file again.") from error
    return check_table(table, TABLE.name)


def check_table(table, name):
    """The columns of a table of images. Raises DataError where they cannot be right; name: of its file."""
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise DataError(f"{name} has no column {', '.join(missing)}; get the file again.")
    right = len(table) and table["class"].isin([0, 1]).all() and table["split"].isin(SPLITS).all()
    if not right or table[COLUMNS].isna().any(axis=None) or list(table["index"]) != list(range(len(table))):
        raise DataError(f"{name} has rows with other values than it should; get the file again.")
    return table[COLUMNS].astype({"index": int, "class": int})


# --- downloads and cache ----------------------------------------------------------------------------------------------


def download(name, setting="PNEUMONIA_DATA"):
    """Path of a downloaded file, fetched once, checked by its sum where it has one; DataError where that fails."""
    address, checksum = DOWNLOADS[name]
    path = in_cache(f"downloads/{name}")
    try:
        pooch.get_logger().setLevel("ERROR")
        fetch = pooch.HTTPDownloader(progressbar=True, chunk_size=65_536, timeout=TIMEOUT)
        return Path(pooch.retrieve(address, checksum, fname=name, path=path.parent, downloader=fetch))
    except (requests.RequestException, OSError, ValueError) as error:
        advice = f"try again, or set {setting} to a folder of the images or to phantoms, which needs no network"
        raise DataError(f"{name} could not be downloaded ({why_no_download(error)}): {advice}.") from error


def why_no_download(error):
    """A few words on why a download failed; what lasts until somebody acts has a colon and what to do."""
    for words, reason in NO_DOWNLOAD.items():
        if words in str(error):
            return reason
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"the server was silent for {TIMEOUT} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off half-way"
    return "no connection to the server" if isinstance(error, requests.ConnectionError) else one_line(error)


def cached(source, ingredients, prepare):
    """Images from the cache, or what `prepare` makes, kept there until the table or `ingredients` (bytes) change."""
    path = in_cache(f"{source}-{table_key()}-{short_sum(ingredients)}.npy")
    images = read_prepared(path)
    if images is not None:
        return images
    images, content = prepare(), io.BytesIO()
    np.save(content, images)
    try:
        write_whole(path, content.getvalue())
        for older in {*path.parent.glob(f"{source}-*.npy")} - {path}:
            older.unlink(missing_ok=True)
    except (DataError, OSError) as error:
        print(f"The images could not be kept in data/cache ({one_line(error)}): the next start prepares them again.")
    return images


def table_key():
    """Changes when data/metadata.csv or the way images are prepared does."""
    table = TABLE.read_text(encoding="utf-8", errors="replace") if TABLE.is_file() else ""  # load_table refuses it
    return short_sum(table.encode(), f"{SIZE} pixels, preparation {PREPARATION}".encode())


def short_sum(*parts):
    """16 hexadecimal digits that change when one of the parts (bytes) does."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]


def read_prepared(path):
    """Images from a cache file, or None where there is no sound one."""
    try:
        return np.load(path, allow_pickle=False)
    except Exception:  # a damaged file can raise nearly anything
        return None


def made_once(name, files, archive=None):
    """A folder of the cache, made of files (pairs of name and bytes) unless it is there; then the archive goes."""
    folder = in_cache(name)
    if not folder.is_dir():
        temporary = folder.with_name(f"{name}.{os.getpid()}.part")
        try:
            for file, content in files:
                write_whole(temporary / file, content)
            temporary.rename(folder)
        except DataError:
            if not folder.is_dir():  # else another notebook was faster
                raise
        except OSError as error:
            if not folder.is_dir():
                raise DataError(f"{name} could not be made ({one_line(error)}): try again.") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    if archive:
        with contextlib.suppress(OSError):  # it is not there, or another notebook still reads it
            in_cache(f"downloads/{archive}").unlink()
    return folder


def in_cache(name):
    """The path of something in the cache, where it lies or can be written; old half-written files beside it go."""
    path = CACHE / name if (CACHE / name).exists() else writable(CACHE) / name
    for file in [*path.parent.glob("tmp*"), *path.parent.glob("*.part")]:
        with contextlib.suppress(OSError):  # another process was faster
            if time.time() - file.stat().st_mtime > 3600:  # seconds: it is of a process that was killed
                shutil.rmtree(file) if file.is_dir() else file.unlink()
    return path


# --- the sources, one by one ------------------------------------------------------------------------------------------


def phantom_images():
    drawing = Path(phantoms.__file__).read_bytes()
    return cached("phantoms", drawing, lambda: phantoms.draw_images(read_table(), SIZE))


def phantom_folder(size):
    table = read_table()
    draw = phantom_images if size == SIZE else lambda: phantoms.draw_images(table, size)
    return drawn_folder("phantoms", table, size, draw)


def drawn_folder(name, table, size, draw):
    """What `draw` gives, an image of size x size pixels for each row of a table, as PNG files; drawn once."""

    def files():
        for filename, image in zip(table["filename"], draw(), strict=True):
            yield filename.rpartition(".")[0] + ".png", png(image)

    key = short_sum(table.to_csv().encode(), Path(phantoms.__file__).read_bytes())
    return made_once(f"{name}_{size}-{key}", files())


def png(image):
    """A grey image, uint8, as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def attached_folder():
    """The data set where Kaggle has attached it to the notebook, or None."""
    for place in (place for depth in range(4) for place in ATTACHED.glob("*/" * depth + "chest_xray")):
        with contextlib.suppress(DataError):
            return find_images(place)


def find_images(folder):
    """The folder, or the one inside it, that holds train/NORMAL and the rest; DataError where there is none."""
    names = [f"{split}/{label}" for split in ("train", "test") for label in CLASSES]
    return find_folders([folder, folder / "chest_xray", folder / "chest_xray" / "chest_xray"], names)


def images_in(folder):
    """The table's images from a folder of files, prepared anew when one of these changes."""
    files = [(name, (folder / name).stat()) for name in list_images(folder)]
    key = repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]).encode()
    return cached("kermany", key, lambda: read_images(folder, read_table()["filename"]))


def prepared_real_images():
    """The file of the real images prepared last for this table, or None."""
    name = f"kermany-{table_key()}-*.npy"
    return next((file for folder in (CACHE, writable(CACHE)) for file in folder.glob(name)), None)


def kermany_images():
    images = read_prepared(prepared_real_images())
    return images_in(download_kermany()) if images is None else images


def download_kermany():
    """The folder of the real images: attached, else kagglehub's where that is installed, else Mendeley's ZIP file."""
    if attached_folder():
        return attached_folder()
    if importlib.util.find_spec("kagglehub"):
        try:
            import kagglehub

            return find_images(Path(kagglehub.dataset_download("paultimothymooney/chest-xray-pneumonia")))
        except Exception as error:  # kagglehub raises many types; the other address may still work
            print(f"Kaggle did not answer ({one_line(error)}); trying Mendeley Data.")
    return made_once("chest_xray", kermany_files(), "kermany.zip")


def kermany_files():
    """Names and bytes of the images in the downloaded ZIP file, one by one."""
    with zipfile.ZipFile(download("kermany.zip")) as archive:
        inside = find_images(zipfile.Path(archive))
        names = list_images(inside)
        for name in progress(names, len(names), "Unpacking"):
            yield name, (inside / name).read_bytes()


def medmnist_folder(_=SIZE):
    """All images as PNG files in their official splits, 64 x 64 pixels, whatever size is asked for."""
    return made_once("medmnist_64", medmnist_files(), "pneumoniamnist_64.npz")


def medmnist_files():
    """Names and bytes of these images, from {train, val, test}_images uint8 (n, 64, 64) and _labels (n, 1)."""
    with np.load(download("pneumoniamnist_64.npz"), allow_pickle=False) as arrays:
        for short, split in {"train": "train", "val": "validation", "test": "test"}.items():  # its name: ours
            pairs = zip(arrays[f"{short}_images"], arrays[f"{short}_labels"].ravel(), strict=True)
            for number, (image, label) in enumerate(pairs):
                yield f"{split}/{list(CLASSES)[label]}/{number:04}.png", png(image)


def medmnist_table():
    """The same counts as data/metadata.csv: train and field from the official train split, test from the test split."""
    names = pd.Series(list_images(medmnist_folder())).sample(frac=1, random_state=0)
    table = names.str.extract(r"(?P<split>\w+)/(?P<class>\w+)/").assign(filename=names, patient=names)
    table["class"] = table["class"].map(CLASSES)
    number = table.groupby(["split", "class"]).cumcount()
    table.loc[(table["split"] == "train") & (number >= 1000), "split"] = "field"
    table = table[number < table["split"].map({"train": 1000, "test": 200, "field": 1200})]
    return table.assign(index=range(len(table)))[COLUMNS].reset_index(drop=True)


def medmnist_images():
    table = medmnist_table()
    return cached("medmnist", table.to_csv().encode(), lambda: read_images(medmnist_folder(), table["filename"]))


@contextlib.contextmanager
def sound(name):
    """The path of a downloaded file without a published sum. What turns out unsound is deleted: a DataError."""
    path = download(name)
    try:
        yield path
    except Exception as error:  # a damaged file can raise nearly anything
        path.unlink(missing_ok=True)
        raise DataError(f"{name} is not the file expected ({one_line(error)}): run again to fetch it anew.") from error


def inspirit_table():
    """The article's own table (class, split, index), with one patient per image, since it names none."""
    with sound("inspirit_metadata.csv") as path:
        table = pd.read_csv(path).sort_values("index", ignore_index=True)
        names = table["index"].map("image_data.npy/{}".format)
        return check_table(table.assign(filename=names, patient=names), path.name)


def inspirit_images():
    """The article's array, grey values from 0 to 255 or fractions from 0 to 1, as uint8."""
    count = len(inspirit_table())
    with sound("inspirit_image_data.npy") as path:
        images = np.load(path, allow_pickle=False).reshape(count, SIZE, SIZE, 3)[..., 0].astype(np.float32)
        if not (images.min() >= 0 and images.max() <= 255):  # so written that NaN is refused
            raise ValueError("its values are not grey values from 0 to 255")
        return (images * 255 if images.max() <= 1 else images).round().astype(np.uint8)


# --- the table of sources ---------------------------------------------------------------------------------------------


# A new source has an entry here and a row in README.md, and that is all. words: for the setup line; table, images: give
# what load_table and load_images promise; folder: gives, for a size in pixels, the folder of all images as files that
# notebook 7 reads (None where there are no more images).
Source = namedtuple("Source", "words names_patients table images folder")
REAL = "real chest X-rays (Kermany et al. 2018, CC BY 4.0)"
SOURCES = {
    "phantoms": Source("simulated images (phantoms), not patients", True, read_table, phantom_images, phantom_folder),
    "kermany": Source(REAL, True, read_table, kermany_images, lambda size: download_kermany()),
    "folder": Source(
        REAL, True, read_table, lambda: images_in(find_images(named_folder())), lambda size: find_images(named_folder())
    ),
    "medmnist": Source("PneumoniaMNIST, 64 px (CC BY 4.0)", False, medmnist_table, medmnist_images, medmnist_folder),
    "inspirit": Source("the Inspirit AI course's own images", False, inspirit_table, inspirit_images, None),
}


def setting(variable="PNEUMONIA_DATA"):
    """The value of an environment variable, "auto" where it is unset."""
    return os.environ.get(variable, "").strip() or "auto"


def named_folder(variable="PNEUMONIA_DATA"):
    """The folder that an environment variable names; a relative path starts at the project's folder."""
    return PROJECT / os.path.expanduser(setting(variable))


def choose(variable, table):
    """What an environment variable says: "auto", a key of a table of sources, or "folder". DataError otherwise."""
    names, value = ["auto", *(name for name in table if name != "folder")], setting(variable)
    if value in names:
        return value
    if os.path.exists(named_folder(variable)):  # False, too, where the system refuses the path; a file is refused later
        return "folder"
    known = f"neither one of {', '.join(names)} nor a folder that exists (from the project's folder)"
    raise DataError(f'{variable} is "{value}", which is {known}: give one of these.')


def in_hosted_notebook():
    """True inside Colab or Kaggle, which have a fast network and the data set at hand."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ or "KAGGLE_KERNEL_RUN_TYPE" in os.environ


def choose_source():
    """The source in use, a key of SOURCES. Raises DataError where PNEUMONIA_DATA is neither a source nor a folder."""
    chosen = choose("PNEUMONIA_DATA", SOURCES)
    if chosen != "auto":
        return chosen
    return "kermany" if prepared_real_images() or in_hosted_notebook() else "phantoms"


def describe_source():
    """One line that says which images this run uses."""
    if setting() == "auto" and choose_source() != "phantoms":
        load_images()  # they may turn out to be phantoms, where a download fails
    name = choose_source()
    line = SOURCES[name].words
    if not SOURCES[name].names_patients:
        line += "; no patients are named, so each image counts as its own"
    if name == "phantoms" and setting() == "auto":
        line += '; for the real X-rays set PNEUMONIA_DATA to "kermany" (1.2 GB, once) or to a folder that holds them'
    return line


def load_table():
    """One row per image: columns index, class (0 healthy, 1 pneumonia), split, patient, filename. Raises DataError."""
    return SOURCES[choose_source()].table()


def load_images():
    """All images of the table: uint8 (rows, 64, 64), 0 = black. Raises DataError where the source fails.

    In Colab and Kaggle the source "auto" goes on with phantoms where the download fails, and says so.
    """
    source = choose_source()
    try:
        return SOURCES[source].images()
    except DataError as error:
        if setting() != "auto" or source == "phantoms":
            raise
        print(f"{error}\nGoing on with simulated images. Set PNEUMONIA_DATA to kermany and restart to try again.")
        os.environ["PNEUMONIA_DATA"] = "phantoms"
        return load_images()

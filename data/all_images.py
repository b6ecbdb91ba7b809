"""All images of the data set as files, for notebook 7, which reads them while it trains.

`list_all_images` gives a table of paths. Real images stay where they are; simulated images and PneumoniaMNIST, which come as
arrays, are written as PNG files first.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from . import phantoms, select_images, sources
from .select_images import CLASSES
from .sources import DataError

MEDMNIST_SPLITS = {"train": "train", "val": "validation", "test": "test"}  # its name: ours


def list_all_images(size=64):
    """A DataFrame with one row per image: path, class (0 healthy, 1 pneumonia), split and patient.

    size: pixels along each side in which simulated images are drawn; PneumoniaMNIST is taken with 28 up to that size,
    else with 64; real images have the size of their files. split: "train", "validation" (one tenth of the patients of
    the training folder, or PneumoniaMNIST's own) or "test" (all official test images). Training images with the pixels
    of a test image or of another training image are left out. Raises sources.DataError.
    """
    source = sources.choose_source()
    if source == "medmnist":
        return medmnist_images(size)
    if source == "inspirit":
        raise DataError(
            "The Inspirit course has no images beyond those of notebooks 1 to 6: set PNEUMONIA_DATA to kermany, "
            "medmnist, phantoms or a folder."
        )
    folder = phantom_folder(size) if source == "phantoms" else real_folder()
    return divide(table_of(folder))


def table_of(folder):
    """All images of the folders train and test: path, class, split, patient; without repeats in train.

    Reads every image once, so that a damaged one is found now and not in the middle of the training.
    """
    names = [name for name in select_images.list_images(folder) if is_image(Path(name).name)]
    unique = set(select_images.leave_out_repeats(folder, names))
    names = [name for name in names if name in unique or name.startswith("test/")]
    table = pd.DataFrame({"path": [str(folder / name) for name in names]})
    table["class"] = [CLASSES[name.split("/")[1]] for name in names]
    table["split"] = [name.split("/")[0] for name in names]
    table["patient"] = [select_images.patient_of(name) for name in names]
    return table


def is_image(name):
    """True for the name of an image; macOS puts files ._name beside images, which are none."""
    return name.lower().endswith(sources.IMAGE_TYPES) and not name.startswith(".")


def divide(table):
    """The table with one tenth of the training patients as split "validation"."""
    train = np.flatnonzero(table["split"] == "train")
    _, held_out = select_images.hold_out_patients(table.iloc[train], 10)
    table.loc[table.index[train[held_out]], "split"] = "validation"
    return table


def real_folder():
    """The folder with the real images: PNEUMONIA_DATA, or the download."""
    if sources.choose_source() == "folder":
        return sources.find_images(sources.chosen_folder())
    try:
        found = sources.download_kermany()
    except DataError as error:
        if sources.source_setting() != "auto":
            raise
        raise DataError(  # the small images in the cache are enough for the other notebooks
            "Notebook 7 reads the images' own files, and they could not be downloaded: set PNEUMONIA_DATA to the folder "
            "that holds them, or to phantoms."
        ) from error
    return found if isinstance(found, Path) else unpacked(found)


def unpacked(inside):
    """The images of a ZIP file (zipfile.Path to the folder that holds train and test) as files in the cache."""

    def fill(folder):
        folders = [(split, label) for split in ("train", "test") for label in CLASSES]
        images = [(f"{split}/{label}", path) for split, label in folders for path in (inside / split / label).iterdir()]
        images = [(place, path) for place, path in images if path.is_file() and is_image(path.name)]
        for place, path in sources.progress(images, len(images), "Unpacking"):
            (folder / place).mkdir(parents=True, exist_ok=True)
            (folder / place / path.name).write_bytes(path.read_bytes())

    return made_once(sources.CACHE / "chest_xray", fill)


def phantom_folder(size):
    """A folder of simulated images, one PNG file of size x size pixels for each row of data/metadata.csv."""
    table = sources.load_table()

    def fill(folder):
        images = phantoms.draw_images(table, size)
        names = [name.rpartition(".")[0] + ".png" for name in table["filename"]]
        write_images(images, [folder / name for name in names])

    drawing = Path(phantoms.__file__).read_bytes()
    return made_once(sources.CACHE / f"phantoms_{size}-{sources.short_sum(sources.TABLE.read_bytes(), drawing)}", fill)


def medmnist_images(size):
    """The table of PneumoniaMNIST with its official splits; each image counts as its own patient."""
    size = 28 if size <= 28 else 64
    arrays = sources.open_medmnist(size, splits=MEDMNIST_SPLITS)
    parts = [
        pd.DataFrame({"class": arrays[f"{short}_labels"].ravel().astype(int), "split": split})
        for short, split in MEDMNIST_SPLITS.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    names = [f"{split}/{row}.png" for row, split in enumerate(table["split"])]

    def fill(folder):
        images = np.concatenate([arrays[f"{short}_images"] for short in MEDMNIST_SPLITS])
        write_images(images, [folder / name for name in names])

    folder = made_once(sources.CACHE / f"pneumoniamnist_{size}", fill)
    table.insert(0, "path", [str(folder / name) for name in names])
    return table.assign(patient=names)


def write_images(images, paths):
    """Grey images, uint8 (N, size, size), as PNG files."""
    for image, path in zip(images, paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def made_once(folder, fill):
    """The folder, filled by `fill` where it is not there yet; whole or not at all. Raises DataError."""
    if folder.is_dir():
        return folder
    temporary = None
    try:
        sources.CACHE.mkdir(parents=True, exist_ok=True)
        sources.clear_remains(sources.CACHE)
        temporary = Path(tempfile.mkdtemp(dir=sources.CACHE))
        fill(temporary)
        temporary.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another notebook was faster
            raise DataError(
                f"{folder.name} could not be written into data/cache ({sources.one_line(error)}): make room for it and "
                "run this cell again."
            ) from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder

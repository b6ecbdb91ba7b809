"""Images of another hospital, for notebook 8: a folder, a download, or simulated adults.

The environment variable PNEUMONIA_EXTERNAL chooses; README.md in this folder lists its values.
"""

import numpy as np
import pandas as pd

from . import sources
from .sources import find_folders, say_once

VARIABLE = "PNEUMONIA_EXTERNAL"
FOLDERS = ["No_findings", "Pneumonia"]  # of class 0 and class 1
PATIENT = r"^(\d{8})_\d{3}"  # the NIH's names: patient and number of the image
PNEUMONIA = 6  # the column of ChestMNIST's fourteen findings
ADULTS = 200  # simulated ones


def simulated_folder(size):
    """Simulated adults, half of them ill."""
    numbers = np.arange(ADULTS)
    table = pd.DataFrame({"class": numbers % 2, "split": "external", "patient": [f"adult {n}" for n in numbers]})
    table["filename"] = [f"{FOLDERS[n % 2]}/{n:08}_000.png" for n in numbers]
    return sources.drawn_folder("adults", table, size, lambda: sources.phantoms.draw_images(table, size))


def chestmnist_folder(_):
    """The images of ChestMNIST's test split that are labelled pneumonia, and as many without any finding."""
    return sources.made_once("chestmnist_64", chestmnist_files(), "chestmnist_64.npz")


def chestmnist_files():
    """Names and bytes of these images."""
    say_once("ChestMNIST is one file of 402 MB, fetched once: the images that are used are kept, the file is not.")
    with np.load(sources.download("chestmnist_64.npz", VARIABLE), allow_pickle=False) as arrays:
        images, findings = arrays["test_images"], arrays["test_labels"]
    ill, healthy = np.flatnonzero(findings[:, PNEUMONIA]), np.flatnonzero(~findings.any(axis=1))
    for label, numbers in enumerate([np.random.default_rng(0).permutation(healthy)[: len(ill)], ill]):
        for number in numbers:
            yield f"{FOLDERS[label]}/{number:05}.png", sources.png(images[number])


# words for the notebook, and a function of a size in pixels that gives the folder
EXTERNAL = {
    "phantoms": ("simulated adults (phantoms), not patients; that models fall on them is built in", simulated_folder),
    "chestmnist": ("adults of the NIH Clinical Center, from ChestMNIST, 64 px (CC BY 4.0)", chestmnist_folder),
    "folder": ("chest X-rays from your folder", lambda _: find_folders([sources.named_folder(VARIABLE)], FOLDERS)),
}


def choose_external():
    """The source in use, a key of EXTERNAL. Raises DataError where the setting is neither a source nor a folder."""
    chosen = sources.choose(VARIABLE, EXTERNAL)
    if chosen != "auto":
        return chosen
    prepared = sources.choose_source() != "phantoms" and sources.in_cache("chestmnist_64").is_dir()
    return "chestmnist" if prepared else "phantoms"


def list_external(size=sources.SIZE):
    """Paths, classes and patients, each (N,); size: of simulated images, in pixels. Raises DataError."""
    folder = EXTERNAL[choose_external()][1](size)
    paths, labels = sources.list_classes(folder, FOLDERS)
    patients = pd.Series([path.name for path in paths]).str.extract(PATIENT, expand=False)
    if patients.isna().any():
        count = f"{patients.isna().sum():,} of {len(patients):,}"
        say_once(f"{count} file names of the other hospital name no patient: each such image counts as its own.")
    return paths, labels, patients.fillna(pd.Series(map(str, paths))).to_numpy()

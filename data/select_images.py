"""Draw data/metadata.csv from a folder of the Kermany chest X-rays.

Run from the project's folder:  python -m data.select_images path/to/chest_xray

The draw is seeded: the same folder gives the same bytes. Training and field images come from `train`, test images from
`test`. Whole patients are drawn, so no patient stands in two splits, and of several images with the same pixels at
64 x 64 only the first is used.
"""

import argparse
import random
import re
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from .sources import CLASSES, COLUMNS, OTHER_NAMES, TABLE, DataError, find_images, list_images, read_images, write_whole

SEED = 0
SPLITS = {"train": ("train", 1000), "test": ("test", 200), "field": ("train", 200)}  # (folder, images per class)


def patient_of(filename):
    """Patient of an image, e.g. 'bacteria-1453' for 'train/PNEUMONIA/person1453_bacteria_3770.jpeg'.

    Each series has numbers of its own: 'IM-0383' and 'NORMAL2-IM-0383' are two children, and so are 'bacteria-23' and
    'virus-23'. The data card tells the evidence. Raises DataError without a number.
    """
    name = filename.rpartition("/")[2]
    healthy = re.match(r"(?:NORMAL2-)?IM-\d+", name)
    ill = re.match(r"person(\d+)_(bacteria|virus)_", name)
    if not healthy and not ill:
        raise DataError(f"{filename}: no patient number in this name: {OTHER_NAMES}.")
    return healthy[0] if healthy else f"{ill[2]}-{ill[1]}"


def hold_out_patients(table, parts):
    """Row labels (of table.index) of the images that stay, and of one of `parts` equal shares, of other patients.

    table: a DataFrame with the columns class and patient; the order of its rows does not matter. Both parts hold the
    classes in the same proportion. Seeded. Raises DataError where there are fewer patients than parts.
    """
    table = table.sort_index()
    patients = np.unique(table["patient"], return_inverse=True)[1]
    count = len(set(patients))
    if count < parts:
        raise DataError(f"{count} patients cannot be divided into {parts} parts: give a table with more of them.")
    order = np.random.RandomState(0).permutation(count)
    folds = StratifiedGroupKFold(n_splits=parts)  # its own shuffling is wrong in the scikit-learn that Colab has
    stay, held_out = next(folds.split(table, table["class"], groups=np.argsort(order)[patients]))
    return table.index[stay], table.index[held_out]


def leave_out_repeats(folder, filenames):
    """The file names without those whose pixels an earlier image already has."""
    first_with = {}
    for filename, image in zip(filenames, read_images(folder, filenames), strict=True):
        first_with.setdefault(image.tobytes(), filename)
    return list(first_with.values())


def draw_split(filenames, count, taken_patients, rng):
    """`count` images of whole patients in random order; the last patient may lose images. Adds to `taken_patients`."""
    images_of = {}
    for filename in filenames:
        images_of.setdefault(patient_of(filename), []).append(filename)
    patients = [patient for patient in images_of if patient not in taken_patients]
    rng.shuffle(patients)
    drawn = []
    for patient in patients:
        if len(drawn) < count:
            drawn += images_of[patient][: count - len(drawn)]
            taken_patients.add(patient)
    if len(drawn) < count:
        raise DataError(f"only {len(drawn)} of {count} images could be drawn: {OTHER_NAMES}.")
    return drawn


def draw_table(filenames):
    """The table of images in the order train, test, field, shuffled inside each split."""
    rng = random.Random(SEED)
    taken_patients = set()
    rows = []
    for split, (folder, count) in SPLITS.items():
        images = []
        for label, number in CLASSES.items():
            candidates = [name for name in filenames if name.startswith(f"{folder}/{label}/")]
            images += [(number, name) for name in draw_split(candidates, count, taken_patients, rng)]
        rng.shuffle(images)
        rows += [(number, split, patient_of(name), name) for number, name in images]
    return pd.DataFrame([(index, *row) for index, row in enumerate(rows)], columns=COLUMNS)


def main():
    parser = argparse.ArgumentParser(description="Draw data/metadata.csv from a folder of the Kermany chest X-rays.")
    parser.add_argument("folder", type=Path, help="holds train/NORMAL, train/PNEUMONIA, test/NORMAL, test/PNEUMONIA")
    parser.add_argument("--output", type=Path, default=TABLE)
    arguments = parser.parse_args()
    try:
        folder = find_images(arguments.folder)
        filenames = list_images(folder)
        unique = leave_out_repeats(folder, filenames)
        table = draw_table(unique)
        write_whole(arguments.output, table.to_csv(index=False, lineterminator="\n"))
    except DataError as error:
        raise SystemExit(str(error)) from error
    print(f"{len(filenames)} images, {len(filenames) - len(unique)} repeats left out, {len(table)} rows written")


if __name__ == "__main__":
    main()

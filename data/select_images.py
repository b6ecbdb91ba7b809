"""Draw data/metadata.csv from a folder of the Kermany chest X-rays.

Run from the project's folder:  python -m data.select_images path/to/chest_xray

README.md in this folder tells the rules of the draw.
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

    Each series has numbers of its own, as the data card tells. Raises DataError without a number.
    """
    found = re.match(r"((?:NORMAL2-)?IM-\d+)|person(\d+)_(bacteria|virus)_", filename.rpartition("/")[2])
    if not found:
        raise DataError(f"{filename}: no patient number in this name: {OTHER_NAMES}.")
    return found[1] or f"{found[3]}-{found[2]}"


def hold_out_patients(table, parts):
    """Row labels (of table.index) of the images that stay, and of one of `parts` equal shares, of other patients.

    table: a DataFrame with the columns class and patient; the order of its rows does not matter. Both parts hold the
    classes in the same proportion. Seeded. Raises DataError where there are fewer patients than parts.
    """
    table = table.sort_index()
    names, patients = np.unique(table["patient"], return_inverse=True)
    if len(names) < parts:
        raise DataError(f"{len(names)} patients cannot be divided into {parts} parts: give a table with more of them.")
    order = np.random.RandomState(0).permutation(len(names))
    folds = StratifiedGroupKFold(n_splits=parts)  # its own shuffling is wrong in the scikit-learn that Colab has
    stay, held_out = next(folds.split(table, table["class"], groups=np.argsort(order)[patients]))
    return table.index[stay], table.index[held_out]


def leave_out_repeats(folder, filenames):
    """The file names without those whose pixels an earlier image already has."""
    images = pd.Series([image.tobytes() for image in read_images(folder, filenames)], filenames)
    return list(images.drop_duplicates().index)


def draw_table(filenames):
    """The table of images in the order train, test, field, shuffled inside each split.

    Whole patients are drawn, none of them twice; the last of a split and class may lose images.
    """
    rng, taken, rows = random.Random(SEED), set(), []
    for split, (folder, count) in SPLITS.items():
        images = []
        for label, number in CLASSES.items():
            names = [name for name in filenames if name.startswith(f"{folder}/{label}/")]
            of_patient = pd.Series(names, [patient_of(name) for name in names], dtype=object)
            patients = [patient for patient in of_patient.index.unique() if patient not in taken]
            rng.shuffle(patients)
            drawn = of_patient.loc[patients].head(count)
            if len(drawn) < count:
                raise DataError(f"only {len(drawn)} of {count} images could be drawn: {OTHER_NAMES}.")
            taken.update(drawn.index)
            images += [(number, split, *row) for row in drawn.items()]
        rng.shuffle(images)
        rows += images
    return pd.DataFrame([(index, *row) for index, row in enumerate(rows)], columns=COLUMNS)


def main():
    parser = argparse.ArgumentParser(description="Draw data/metadata.csv from a folder of the Kermany chest X-rays.")
    parser.add_argument("folder", type=Path, help="holds train/NORMAL, train/PNEUMONIA, test/NORMAL, test/PNEUMONIA")
    try:
        folder = find_images(parser.parse_args().folder)
        filenames = list_images(folder)
        unique = leave_out_repeats(folder, filenames)
        table = draw_table(unique)
        write_whole(TABLE, table.to_csv(index=False, lineterminator="\n"))
    except DataError as error:
        raise SystemExit(str(error)) from error
    print(f"{len(filenames)} images, {len(filenames) - len(unique)} repeats left out, {len(table)} rows written")


if __name__ == "__main__":
    main()

"""Draw data/metadata.csv from a folder of the Kermany chest X-rays.

Run from the project's folder:  python -m data.select_images path/to/chest_xray

The folder holds train/NORMAL, train/PNEUMONIA, test/NORMAL and test/PNEUMONIA. The draw is seeded: the same folder
gives the same bytes. Training and field images come from `train`, test images from `test`. Whole patients are drawn, so
no patient stands in two splits, and of several images with the same pixels at 64 x 64 only the first is used.
"""

import argparse
import csv
import random
import re
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from .sources import IMAGE_TYPES, DataError, read_images

SEED = 0
CLASSES = {"NORMAL": 0, "PNEUMONIA": 1}
# split: (folder it is drawn from, images per class)
SPLITS = {"train": ("train", 1000), "test": ("test", 200), "field": ("train", 200)}


def patient_of(filename):
    """Patient of an image, e.g. 'bacteria-1453' for 'train/PNEUMONIA/person1453_bacteria_3770.jpeg'.

    Numbers run through both folders, and each series counts on its own: 'IM-0383' and 'NORMAL2-IM-0383' are two children,
    and so are 'bacteria-23' and 'virus-23'. The data card tells the evidence. Raises DataError where a name holds none.
    """
    name = filename.rpartition("/")[2]
    healthy = re.match(r"(?:NORMAL2-)?IM-\d+", name)
    ill = re.match(r"person(\d+)_(bacteria|virus)_", name)
    if not healthy and not ill:
        raise DataError(f"{filename}: no patient number in this name; expected person123_bacteria_... or IM-0123-...")
    return healthy[0] if healthy else f"{ill[2]}-{ill[1]}"


def hold_out_patients(table, parts):
    """Two int arrays of positions of rows: those that stay, and one of `parts` equal shares, of other patients.

    table: a DataFrame with the columns class and patient. Both hold the classes in the same proportion. Seeded.
    """
    patients = np.unique(table["patient"], return_inverse=True)[1]
    order = np.random.RandomState(0).permutation(patients.max() + 1)
    folds = StratifiedGroupKFold(n_splits=parts)  # its own shuffling is wrong in the scikit-learn that Colab has
    return next(folds.split(table, table["class"], groups=np.argsort(order)[patients]))


def list_images(folder):
    """File names of all images, 'train/NORMAL/IM-0115-0001.jpeg', sorted."""
    return sorted(
        path.relative_to(folder).as_posix()
        for split in ("train", "test")
        for label in CLASSES
        for path in (folder / split / label).glob("*")
        if path.suffix.lower() in IMAGE_TYPES
    )


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
        if len(drawn) >= count:
            break
        drawn += images_of[patient][: count - len(drawn)]
        taken_patients.add(patient)
    if len(drawn) < count:
        raise SystemExit(f"only {len(drawn)} of {count} images could be drawn: copy the whole data set once more.")
    return drawn


def draw_table(filenames):
    """Rows (index, class, split, patient, filename) in the order train, test, field, shuffled inside each split."""
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
    return [(index, *row) for index, row in enumerate(rows)]


def main():
    parser = argparse.ArgumentParser(description="Draw data/metadata.csv from a folder of the Kermany chest X-rays.")
    parser.add_argument("folder", type=Path, help="holds train/NORMAL, train/PNEUMONIA, test/NORMAL, test/PNEUMONIA")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("metadata.csv"))
    arguments = parser.parse_args()

    filenames = list_images(arguments.folder)
    if not filenames:
        raise SystemExit(f"{arguments.folder.name} holds no images: give the folder that holds train and test.")
    try:
        unique = leave_out_repeats(arguments.folder, filenames)
        rows = draw_table(unique)
    except DataError as error:
        raise SystemExit(str(error)) from error
    with arguments.output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["index", "class", "split", "patient", "filename"])
        writer.writerows(rows)
    print(f"{len(filenames)} images, {len(filenames) - len(unique)} repeats left out, {len(rows)} rows written")


if __name__ == "__main__":
    main()

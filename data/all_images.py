"""All images of the data set as files, for notebook 7, which reads them while it trains."""

import pandas as pd

from .select_images import hold_out_patients, leave_out_repeats, patient_of
from .sources import CLASSES, REAL, SOURCES, DataError, choose_source, list_images, say_once

COUNTS = {"train/NORMAL": 1341, "train/PNEUMONIA": 3875, "test/NORMAL": 234, "test/PNEUMONIA": 390}


def list_all_images(size=64):
    """A DataFrame with one row per image: path, class (0 healthy, 1 pneumonia), split and patient.

    size: pixels along each side in which simulated images are drawn. split: "train", "validation" (a tenth of the
    patients of the training folder, or PneumoniaMNIST's own) or "test". Training images with the pixels of another one
    are left out. Each real image is read once, so that a damaged one is named now. Raises DataError.
    """
    source = SOURCES[choose_source()]
    if source.folder is None:
        raise DataError("This source has only the images of notebooks 1 to 6: set PNEUMONIA_DATA to another one.")
    folder = source.folder(size)
    names = list_images(folder, ("train", "test") if source.names_patients else ("train", "validation", "test"))
    found = {place: sum(name.startswith(place) for name in names) for place in COUNTS}
    fewer = [f"{found[place]:,} of {count:,} in {place}" for place, count in COUNTS.items() if found[place] < count]
    if source.words == REAL and fewer:
        say_once(f"Images of the data set are missing, so results will differ: {', '.join(fewer)}.")
    if source.names_patients:
        unique = set(leave_out_repeats(folder, names))
        names = [name for name in names if name in unique or name.startswith("test/")]
    table = pd.DataFrame({"path": [str(folder / name) for name in names]})
    table["class"] = [CLASSES[name.split("/")[1]] for name in names]
    table["split"] = [name.split("/")[0] for name in names]
    table["patient"] = [patient_of(name) if source.names_patients else name for name in names]
    if source.names_patients:
        held_out = hold_out_patients(table[table["split"] == "train"], 10)[1]
        table.loc[held_out, "split"] = "validation"
    return table

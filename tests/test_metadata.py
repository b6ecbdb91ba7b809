import csv
import random
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, check_sentence, contents
from PIL import Image

from data import select_images, sources

REAL_FOLDER = PROJECT.parent / "shared" / "data" / "chest_xray"


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(PROJECT / "data" / "metadata.csv")


# --- data/metadata.csv ------------------------------------------------------------------------------------------------


def test_every_split_holds_its_images(table):
    assert len(table) == 2800
    assert list(table.columns) == ["index", "class", "split", "patient", "filename"]
    assert table.groupby(["split", "class"]).size().to_dict() == {
        ("train", 0): 1000,
        ("train", 1): 1000,
        ("test", 0): 200,
        ("test", 1): 200,
        ("field", 0): 200,
        ("field", 1): 200,
    }


def test_index_is_the_row(table):
    assert list(table["index"]) == list(range(2800))


def test_no_patient_stands_in_two_splits(table):
    assert (table.groupby("patient")["split"].nunique() == 1).all()


def test_no_patient_is_both_healthy_and_ill(table):
    assert (table.groupby("patient")["class"].nunique() == 1).all()


def test_some_patients_have_several_images(table):
    images = table[table["split"] == "train"].groupby("patient").size()
    assert (images > 1).sum() > 100


def test_filenames_are_unique(table):
    assert table["filename"].is_unique


def test_folder_of_a_image_says_its_split_and_class(table):
    folders = table["filename"].str.rpartition("/")[0]
    origin = table["split"].replace({"field": "train"})
    assert (folders == origin + "/" + table["class"].map({0: "NORMAL", 1: "PNEUMONIA"})).all()


def test_patient_comes_from_the_filename(table):
    assert list(table["patient"]) == list(table["filename"].map(select_images.patient_of))


def test_rows_of_a_split_are_shuffled(table):
    for _, rows in table.groupby("split"):
        assert rows["class"].head(50).mean() == pytest.approx(0.5, abs=0.25)


def test_the_loader_accepts_the_table(cache, table):
    assert sources.load_table().equals(table)


# --- select_images ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "patient"),
    [
        ("train/NORMAL/IM-0115-0001.jpeg", "train-IM-0115"),
        ("train/NORMAL/NORMAL2-IM-0115-0001-0002.jpeg", "train-IM-0115"),
        ("test/NORMAL/IM-0115-0001.jpeg", "test-IM-0115"),
        ("train/PNEUMONIA/person14_bacteria_51.jpeg", "train-person14"),
        ("train/PNEUMONIA/person14_virus_1.jpeg", "train-person14"),
        ("test/PNEUMONIA/person14_virus_1.jpeg", "test-person14"),
    ],
)
def test_patient_of_a_image(filename, patient):
    assert select_images.patient_of(filename) == patient


def test_a_name_without_a_patient_is_refused(tmp_path):
    with pytest.raises(select_images.DataError, match="train/NORMAL/scan.jpeg: no patient number"):
        select_images.patient_of("train/NORMAL/scan.jpeg")


SPLITS = {"train": ("train", 6), "test": ("test", 3), "field": ("train", 3)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Images of the size of a stamp: 8 patients in each class of train, 4 in test, two images of each."""
    monkeypatch.setattr(select_images, "SPLITS", SPLITS)
    folder = tmp_path / "chest_xray"
    rng = np.random.default_rng(0)
    for split, patients in (("train", 8), ("test", 4)):
        for label, name in (("NORMAL", "IM-{:04}-{:04}.jpeg"), ("PNEUMONIA", "person{}_virus_{}.jpeg")):
            (folder / split / label).mkdir(parents=True)
            for patient in range(patients):
                for image in (1, 2):
                    grey = Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8))
                    grey.save(folder / split / label / name.format(patient, image))
    return folder


def draw(monkeypatch, folder, output):
    """The rows that the program writes."""
    monkeypatch.setattr(sys, "argv", ["select_images.py", str(folder), "--output", str(output)])
    select_images.main()
    with output.open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_draws_give_the_same_bytes(folder, tmp_path, monkeypatch):
    draw(monkeypatch, folder, tmp_path / "a.csv")
    random.seed(99)
    draw(monkeypatch, folder, tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert b"\r" not in (tmp_path / "a.csv").read_bytes()


def test_another_seed_gives_another_draw(folder, tmp_path, monkeypatch):
    first = draw(monkeypatch, folder, tmp_path / "a.csv")
    monkeypatch.setattr(select_images, "SEED", 1)
    assert draw(monkeypatch, folder, tmp_path / "b.csv") != first


@pytest.mark.parametrize("seed", range(5))
def test_a_draw_keeps_the_rules(folder, tmp_path, monkeypatch, seed):
    monkeypatch.setattr(select_images, "SEED", seed)
    rows = draw(monkeypatch, folder, tmp_path / "a.csv")
    for split, (origin, count) in SPLITS.items():
        for number, label in (("0", "NORMAL"), ("1", "PNEUMONIA")):
            images = [row["filename"] for row in rows if row["split"] == split and row["class"] == number]
            assert len(images) == count and all(image.startswith(f"{origin}/{label}/") for image in images)
    pairs = {(row["patient"], row["split"]) for row in rows}
    assert len(pairs) == len({patient for patient, _ in pairs})
    assert len(pairs) < len(rows) == len({row["filename"] for row in rows})
    assert [row["index"] for row in rows] == [str(index) for index in range(len(rows))]


def test_repeats_are_left_out(folder, tmp_path, monkeypatch, capsys):
    copies = []
    for image in (folder / "train" / "NORMAL").glob("*.jpeg"):
        copies.append(image.with_name("NORMAL2-IM-9" + image.name.removeprefix("IM-")))
        copies[-1].write_bytes(image.read_bytes())
    rows = draw(monkeypatch, folder, tmp_path / "a.csv")
    assert capsys.readouterr().out == "64 images, 16 repeats left out, 24 rows written\n"
    assert not {row["filename"] for row in rows} & {copy.relative_to(folder).as_posix() for copy in copies}


def test_endings_may_be_upper_case(folder, tmp_path, monkeypatch, capsys):
    first = draw(monkeypatch, folder, tmp_path / "a.csv")
    for image in list(folder.rglob("*.jpeg")):
        image.rename(image.with_suffix(".JPG"))
    second = draw(monkeypatch, folder, tmp_path / "b.csv")
    assert [row["patient"] for row in first] == [row["patient"] for row in second]


def too_few_images(folder):
    for image in (folder / "test" / "NORMAL").glob("*-0002.jpeg"):
        image.unlink()
    (folder / "test" / "NORMAL" / "IM-0000-0001.jpeg").unlink()
    (folder / "test" / "NORMAL" / "IM-0001-0001.jpeg").unlink()
    return "only 2 of 3 images"


def no_folder(folder):
    folder.rename(folder.with_name("elsewhere"))
    return "chest_xray holds no images"


def text_called_jpeg(folder):
    (folder / "test" / "NORMAL" / "IM-0001-0001.jpeg").write_text("no picture")
    return "test/NORMAL/IM-0001-0001.jpeg is not a sound JPEG"


@pytest.mark.parametrize("harm", [too_few_images, no_folder, text_called_jpeg])
def test_a_bad_folder_is_refused_and_the_old_table_stays(folder, tmp_path, monkeypatch, harm):
    reason = harm(folder)
    output = tmp_path / "out" / "metadata.csv"
    output.parent.mkdir()
    output.write_text("the old table")
    with pytest.raises(SystemExit) as stop:
        draw(monkeypatch, folder, output)
    check_sentence(str(stop.value), tmp_path, reason)
    assert contents(output.parent) == {"metadata.csv": b"the old table"}


@pytest.mark.skipif(not REAL_FOLDER.is_dir(), reason="the real images do not lie beside the project")
def test_the_real_folder_gives_the_table_of_the_project(tmp_path, monkeypatch):
    draw(monkeypatch, REAL_FOLDER, tmp_path / "metadata.csv")
    assert (tmp_path / "metadata.csv").read_bytes() == (PROJECT / "data" / "metadata.csv").read_bytes()

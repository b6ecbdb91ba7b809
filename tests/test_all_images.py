"""All images as files, and the pipeline that reads them."""

import io
import os
import shutil
import time
import zipfile

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import contents
from PIL import Image

import helpers
import networks
from data import all_images, sources


def picture(grey, kind="JPEG", size=(70, 60)):
    file = io.BytesIO()
    Image.new("L", size, grey).save(file, kind)
    return file.getvalue()


def made_images():
    """{name: bytes}: 30 children in each class of train, every fifth with two images, and four in each class of test."""
    images = {}
    for number in range(30):
        for image in range(1 + (number % 5 == 0)):
            images[f"train/NORMAL/IM-{number:04}-{image:04}.jpeg"] = picture(4 * number + image)
            images[f"train/PNEUMONIA/person{number}_virus_{image}.jpeg"] = picture(126 + 4 * number + image)
    for number in range(4):
        images[f"test/NORMAL/IM-{number:04}-0001.jpeg"] = picture(248)
        images[f"test/PNEUMONIA/person{number}_virus_1.jpeg"] = picture(252)
    return images


def write(folder, images):
    for name, data in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch, cache):
    monkeypatch.setenv("PNEUMONIA_DATA", str(tmp_path / "images"))
    return write(tmp_path / "images", made_images())


def test_every_image_has_a_row_and_patients_stay_together(folder):
    table = all_images.list_all_images()
    assert list(table.columns) == ["path", "class", "split", "patient"]
    assert set(table["path"]) == {str(folder / name) for name in made_images()}
    assert (table["class"] == table["path"].str.contains("PNEUMONIA")).all()
    counts = table["split"].value_counts()
    assert counts["test"] == 8 and 5 <= counts["validation"] <= 10
    assert table.groupby("patient")["split"].nunique().max() == 1
    assert set(table.loc[table["split"] == "validation", "class"]) == {0, 1}


def test_repeats_are_left_out_of_training_only(folder):
    shutil.copy(folder / "train/NORMAL/IM-0001-0000.jpeg", folder / "train/NORMAL/IM-0900-0001.jpeg")
    shutil.copy(folder / "test/NORMAL/IM-0001-0001.jpeg", folder / "train/NORMAL/IM-0901-0001.jpeg")
    table = all_images.list_all_images()
    assert not table["path"].str.contains("IM-090").any()
    assert (table["split"] == "test").sum() == 8  # though all test images of a class have the same pixels


def test_a_image_that_names_no_patient_is_named(folder, refused):
    (folder / "train/NORMAL/scan.jpeg").write_bytes(picture(255))
    with refused("train/NORMAL/scan.jpeg: no patient number in this name"):
        all_images.list_all_images()


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_damaged_image_is_named_before_the_training(folder, refused, split):
    (folder / split / "NORMAL/IM-0001-0001.jpeg").write_bytes(picture(9)[:200])
    with refused(f"{split}/NORMAL/IM-0001-0001.jpeg is not a sound JPEG or PNG"):
        all_images.list_all_images()


def test_the_downloaded_zip_file_is_unpacked_once(server, monkeypatch, cache):
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in made_images().items():
            archive.writestr(f"chest_xray/{name}", data)
        archive.writestr("__MACOSX/chest_xray/train/NORMAL/._IM-0000-0000.jpeg", b"no image")
        for name in ("._IM-0000-0000.jpeg", "notes.txt", "../../../../outside.jpeg", ".."):
            archive.writestr(f"chest_xray/train/NORMAL/{name}", b"no image")
        archive.writestr("/outside.jpeg", b"no image")
    server.offer("kermany.zip", file.getvalue())
    for _ in range(2):
        table = all_images.list_all_images()
        assert len(table) == len(made_images())
    assert set(table["path"]) == {str(cache / "chest_xray" / name) for name in made_images()}
    assert contents(cache / "chest_xray") == made_images()
    assert not list(cache.parent.rglob("outside*"))


def no_network():
    raise sources.DataError("No network.")


def test_images_prepared_before_are_not_enough(folder, monkeypatch, refused):
    monkeypatch.setattr(sources, "prepared_real_images", lambda: np.zeros((2800, 64, 64), np.uint8))
    monkeypatch.setattr(sources, "download_kermany", no_network)
    monkeypatch.delenv("PNEUMONIA_DATA")
    with refused("own files", "set PNEUMONIA_DATA to the folder", "phantoms"):
        all_images.list_all_images()
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    with refused("No network."):
        all_images.list_all_images()


def test_what_macos_puts_beside_images_is_no_image(folder):
    (folder / "train/NORMAL/._IM-0001-0000.jpeg").write_bytes(b"no image")
    assert len(all_images.list_all_images()) == len(made_images())


def test_simulated_images_are_drawn_once_in_the_size_asked_for(cache, drawn, monkeypatch):
    monkeypatch.setattr(sources.phantoms, "draw_images", lambda table, size: drawn_images(table, size, drawn))
    for _ in range(2):
        table = all_images.list_all_images(96)
    assert len(drawn) == 1
    own = helpers.get_metadata()
    assert len(table) == len(own) and (table["split"] == "test").sum() == 400
    assert table["class"].sum() == own["class"].sum()
    assert Image.open(table["path"][0]).size == (96, 96)


def drawn_images(table, size, drawn):
    drawn.append(size)
    images = np.zeros((len(table), size, size), np.uint8)
    images[:, :8, :8] = np.random.default_rng(0).integers(0, 256, (len(table), 8, 8))[...]
    images[:, size // 2 :] = np.random.default_rng(1).integers(0, 256, (len(table), 1, 1))
    images[:, :, size // 2 :] //= 2
    images[:, 20:50, 10:60] = np.arange(len(table))[:, None, None] % 251
    images[:, 60:90, 10:60] = (np.arange(len(table)) // 251)[:, None, None] * 20
    return images


@pytest.mark.parametrize("size, file", [(28, 28), (64, 64), (128, 64)])
def test_medmnist_keeps_its_official_splits(server, monkeypatch, cache, size, file):
    monkeypatch.setenv("PNEUMONIA_DATA", "medmnist")
    rng = np.random.default_rng(0)
    counts = {"train": 20, "val": 5, "test": 8}
    arrays = {f"{split}_images": rng.integers(0, 256, (n, file, file), dtype=np.uint8) for split, n in counts.items()}
    arrays |= {f"{split}_labels": rng.integers(0, 2, (n, 1), dtype=np.uint8) for split, n in counts.items()}
    data = io.BytesIO()
    np.savez(data, **arrays)
    server.offer(f"pneumoniamnist_{file}.npz", data.getvalue())
    table = all_images.list_all_images(size)
    assert table["split"].value_counts().to_dict() == {"train": 20, "validation": 5, "test": 8}
    for short, split in [("train", "train"), ("val", "validation"), ("test", "test")]:
        rows = table[table["split"] == split]
        assert list(rows["class"]) == list(arrays[f"{short}_labels"].ravel())
        assert np.array_equal(np.stack([Image.open(path) for path in rows["path"]]), arrays[f"{short}_images"])


def test_medmnist_without_validation_images_is_refused(server, monkeypatch, refused):
    monkeypatch.setenv("PNEUMONIA_DATA", "medmnist")
    data = io.BytesIO()
    np.savez(data, train_images=np.zeros((2, 64, 64), np.uint8), train_labels=np.ones((2, 1), np.uint8))
    server.offer("pneumoniamnist_64.npz", data.getvalue())
    with refused("pneumoniamnist_64.npz is not the file expected", "run again"):
        all_images.list_all_images()


def test_the_inspirit_images_are_not_enough(monkeypatch, refused):
    monkeypatch.setenv("PNEUMONIA_DATA", "inspirit")
    with refused("no images beyond those of notebooks 1 to 6", "set PNEUMONIA_DATA"):
        all_images.list_all_images()


def test_a_folder_of_images_is_whole_or_not_there(cache, refused):
    def fill(folder):
        (folder / "1.png").write_bytes(b"1")
        raise OSError(28, "No space left on device")

    with refused("made could not be written", "No space left on device", "make room"):
        all_images.made_once(cache / "made", fill)
    assert contents(cache) == {}


def test_another_notebook_may_be_faster(cache):
    def fill(folder):
        (folder / "1.png").write_bytes(b"1")
        write(cache / "chest_xray", {"a.png": b"2"})

    assert all_images.made_once(cache / "chest_xray", fill) == cache / "chest_xray"
    assert contents(cache) == {"chest_xray/a.png": b"2"}


def test_what_a_killed_process_left_is_deleted_after_an_hour(cache):
    old, young = write(cache / "tmp1", {"a.png": b""}), write(cache / "tmp2", {"a.png": b""})
    hours_ago = time.time() - 2 * sources.REMAINS_AGE
    os.utime(old, (hours_ago, hours_ago))
    all_images.made_once(cache / "chest_xray", lambda folder: write(folder, {"a.png": b"1"}))
    assert not old.exists() and young.exists()
    shutil.rmtree(young)


# --- the pipeline -----------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    """Forty images of one grey each, JPEG and PNG in turn, of different sizes; the class is that of even and odd."""
    rows = []
    for number in range(40):
        path = tmp_path / f"{number}.{'png' if number % 2 else 'jpeg'}"
        path.write_bytes(picture(6 * number, "PNG" if number % 2 else "JPEG", (80 + number, 70)))
        rows.append({"path": str(path), "class": number % 2})
    return pd.DataFrame(rows)


def greys(stream):
    return np.concatenate([images.numpy()[:, 5, 5, 0] for images, _ in stream]) * 255 / 6


def test_the_stream_gives_all_images_in_order(table):
    batches = list(networks.stream_images(table, 48))
    assert [images.shape for images, _ in batches] == [(32, 48, 48, 3), (8, 48, 48, 3)]
    assert all(images.dtype == tf.float32 for images, _ in batches)
    assert np.allclose(greys(batches), range(40), atol=0.4)
    assert np.concatenate([labels for _, labels in batches]).tolist() == [0, 1] * 20
    values = np.concatenate([images.numpy().ravel() for images, _ in batches])
    assert values.min() >= 0 and values.max() <= 1


def test_a_shuffled_stream_has_another_order_each_time_and_the_same_after_a_restart(table):
    stream = networks.stream_images(table, 48, shuffle=True)
    first, second = greys(stream), greys(stream)
    assert np.allclose(np.sort(first), range(40), atol=0.4) and not np.allclose(first, second)
    assert np.allclose(greys(networks.stream_images(table, 48, shuffle=True)), first)
    labels = np.concatenate([labels for _, labels in networks.stream_images(table, 48, shuffle=True)])
    assert (np.round(first) % 2 == labels).all()


def test_the_stream_reads_a_image_only_when_it_is_needed(table):
    with open(table["path"][39], "wb") as last:
        last.write(b"no picture")
    images, _ = next(iter(networks.stream_images(table.head(32), 48)))
    assert len(images) == 32
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(networks.stream_images(table, 48))

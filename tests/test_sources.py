import builtins
import errno
import io
import os
import sys
import tempfile
import time
import types
import zipfile
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
from conftest import PROJECT, check_sentence, contents
from PIL import Image

from data import sources

TABLE = """\
index,class,split,patient,filename
0,0,train,train-IM-0001,train/NORMAL/IM-0001-0001.jpeg
1,1,train,train-person1,train/PNEUMONIA/person1_virus_1.jpeg
2,0,test,test-IM-0002,test/NORMAL/IM-0002-0001.jpeg
3,1,test,test-person2,test/PNEUMONIA/person2_bacteria_2.jpeg
4,0,field,train-IM-0003,train/NORMAL/IM-0003-0001.jpeg
5,1,field,train-person3,train/PNEUMONIA/person3_virus_3.jpeg
"""
FILES = [line.split(",")[-1] for line in TABLE.splitlines()[1:]]
GREYS = [20, 60, 100, 140, 180, 220]  # each image of the made table is all of one grey


@pytest.fixture(autouse=True)
def made_table(monkeypatch, tmp_path, cache):
    path = tmp_path / "metadata.csv"
    path.write_text(TABLE)
    monkeypatch.setattr(sources, "TABLE", path)
    return path


def picture(grey, size=(90, 70), mode="L", kind="JPEG", **options):
    """The bytes of a picture of one grey."""
    file = io.BytesIO()
    Image.new(mode, size, grey).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of images for the made table, chosen as source."""
    folder = tmp_path / "images"
    for name, grey in zip(FILES, GREYS, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(grey))
    monkeypatch.setenv("PNEUMONIA_DATA", str(folder))
    return folder


def zip_of_images(above="chest_xray/", twins=False):
    """The bytes of a ZIP file like Mendeley's; `twins`: with the __MACOSX files that lie in the real one."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, grey in zip(FILES, GREYS, strict=True):
            archive.writestr(above + name, picture(grey))
            if twins:
                archive.writestr(f"__MACOSX/{above}{Path(name).parent.as_posix()}/._{Path(name).name}", b"\0\5\26\7Mac")
    return file.getvalue()


def bytes_of(save, *arrays, **named):
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def assert_made_images(images):
    assert images.shape == (len(GREYS), 64, 64) and images.dtype == np.uint8
    assert np.abs(images - np.reshape(GREYS, (-1, 1, 1)).astype(float)).max() <= 2  # JPEG is not exact


# --- sources ----------------------------------------------------------------------------------------------------------


def test_phantoms_are_drawn_from_the_table(drawn):
    images = sources.load_images()
    assert images.shape == (6, 64, 64) and images.dtype == np.uint8
    assert drawn[0].to_csv(index=False, lineterminator="\n") == TABLE
    assert sources.choose_source() == "phantoms"
    assert sources.describe_source() == "simulated images (phantoms), not patients"


def test_folder_is_read(folder):
    assert_made_images(sources.load_images())
    assert sources.choose_source() == "folder"
    assert "real chest X-rays" in sources.describe_source()


@pytest.mark.parametrize("inside", ["chest_xray", "chest_xray/chest_xray"])
def test_folder_may_lie_deeper(folder, monkeypatch, tmp_path, inside):
    (tmp_path / "outer" / inside).parent.mkdir(parents=True)
    folder.rename(tmp_path / "outer" / inside)
    monkeypatch.setenv("PNEUMONIA_DATA", str(tmp_path / "outer"))
    assert_made_images(sources.load_images())


def test_relative_folder_starts_at_the_project(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "PROJECT", tmp_path)
    monkeypatch.setenv("PNEUMONIA_DATA", "images")
    assert_made_images(sources.load_images())


@pytest.mark.parametrize("ending", [".jpg", ".png", ".JPEG", ".JPG", ".PNG"])
def test_images_may_have_another_ending_than_in_the_table(folder, ending):
    for name, grey in zip(FILES, GREYS, strict=True):
        (folder / name).unlink()
        kind = "PNG" if ending.lower() == ".png" else "JPEG"
        (folder / name).with_suffix(ending).write_bytes(picture(grey, kind=kind))
    assert_made_images(sources.load_images())


@pytest.mark.parametrize("above", ["", "chest_xray/", "chest_xray/chest_xray/"])
@pytest.mark.parametrize("twins", [False, True])
def test_kermany_reads_the_zip_file(server, monkeypatch, above, twins):
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    server.offer("kermany.zip", zip_of_images(above, twins))
    assert_made_images(sources.load_images())
    assert_made_images(sources.load_images())
    assert server.asked == ["kermany.zip"]
    assert "real chest X-rays" in sources.describe_source()


def fake_kagglehub(monkeypatch, dataset_download):
    module = types.ModuleType("kagglehub")
    module.__spec__ = ModuleSpec("kagglehub", None)
    module.dataset_download = dataset_download
    monkeypatch.setitem(sys.modules, "kagglehub", module)


def test_kermany_reads_what_kagglehub_fetched(folder, server, monkeypatch):
    asked = []
    fake_kagglehub(monkeypatch, lambda name: asked.append(name) or str(folder))
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    assert_made_images(sources.load_images())
    assert asked == ["paultimothymooney/chest-xray-pneumonia"] and server.asked == []


def test_kermany_takes_the_zip_file_where_kagglehub_fails(server, monkeypatch, capsys, tmp_path):
    def fail(name):
        raise ConnectionError("no answer\nand much more")

    fake_kagglehub(monkeypatch, fail)
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    server.offer("kermany.zip", zip_of_images())
    assert_made_images(sources.load_images())
    assert capsys.readouterr().out == "Kaggle did not answer (no answer); trying Mendeley Data.\n"


def test_kermany_takes_the_zip_file_where_kagglehub_is_broken(server, monkeypatch):
    def broken_import(name, *rest):
        if name == "kagglehub":
            raise ImportError("it needs another package")
        return real_import(name, *rest)

    real_import = builtins.__import__
    fake_kagglehub(monkeypatch, None)
    monkeypatch.setattr(builtins, "__import__", broken_import)
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    server.offer("kermany.zip", zip_of_images())
    assert_made_images(sources.load_images())


def medmnist_arrays(train=(1250, 1300), test=(210, 220)):
    """Arrays in the layout of PneumoniaMNIST; every image says in its first pixels where it comes from."""
    arrays = {}
    for number, (split, counts) in enumerate({"train": train, "test": test}.items()):
        labels = np.repeat([0, 1], counts)
        np.random.default_rng(5).shuffle(labels)
        images = np.zeros((len(labels), 64, 64), np.uint8)
        images[:, 0, 0], images[:, 0, 1] = number, labels
        images[:, 0, 2], images[:, 0, 3] = np.divmod(np.arange(len(labels)), 256)
        arrays |= {f"{split}_images": images, f"{split}_labels": labels[:, np.newaxis].astype(np.uint8)}
    return arrays


def offer_medmnist(server, monkeypatch, arrays):
    monkeypatch.setenv("PNEUMONIA_DATA", "medmnist")
    server.offer("pneumoniamnist_64.npz", bytes_of(np.savez_compressed, **arrays))


def test_medmnist_gives_the_counts_of_the_own_table(server, monkeypatch):
    offer_medmnist(server, monkeypatch, medmnist_arrays())
    table, images = sources.load_table(), sources.load_images()
    own = pd.read_csv(PROJECT / "data" / "metadata.csv")
    assert table.groupby(["split", "class"]).size().equals(own.groupby(["split", "class"]).size())
    assert images.shape == (2800, 64, 64) and images.dtype == np.uint8
    assert server.asked == ["pneumoniamnist_64.npz"]
    # each row has its own image, with the class of the table, from the right split
    assert len(np.unique(images[:, 0, :4], axis=0)) == 2800 == table["patient"].nunique()
    assert (images[:, 0, 1] == table["class"]).all()
    assert (images[:, 0, 0] == (table["split"] == "test")).all()
    assert sources.load_table().equals(table)
    assert "PneumoniaMNIST" in sources.describe_source()


INSPIRIT_TABLE = b"class,split,index\n1,train,2\n0,test,0\n0,field,1\n"


def offer_inspirit(server, monkeypatch, array, table=INSPIRIT_TABLE):
    monkeypatch.setenv("PNEUMONIA_DATA", "inspirit")
    server.offer("inspirit_metadata.csv", table, checksum=None)
    server.offer("inspirit_image_data.npy", array, checksum=None)


@pytest.mark.parametrize("kind", ["grey values", "fractions", "flat"])
def test_inspirit_reads_table_and_array(server, monkeypatch, kind):
    images = np.zeros((3, 64, 64, 3), np.uint8) + np.array([10, 130, 255], np.uint8).reshape(3, 1, 1, 1)
    array = {"grey values": images, "fractions": images / 255, "flat": images.reshape(3, -1).astype(float)}[kind]
    offer_inspirit(server, monkeypatch, bytes_of(np.save, array))
    table = sources.load_table()
    assert table[["index", "class", "split"]].to_numpy().tolist() == [[0, 0, "test"], [1, 0, "field"], [2, 1, "train"]]
    assert table["patient"].is_unique
    assert sources.load_images().dtype == np.uint8
    assert np.array_equal(sources.load_images(), images[..., 0])
    assert "Inspirit" in sources.describe_source()


# --- the source "auto" ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["unset", "empty", "auto"])
def auto(request, monkeypatch):
    if request.param == "unset":
        monkeypatch.delenv("PNEUMONIA_DATA")
    else:
        monkeypatch.setenv("PNEUMONIA_DATA", "" if request.param == "empty" else "auto")


def test_auto_is_phantoms_where_nothing_is_prepared(auto, drawn):
    assert len(sources.load_images()) == 6 and len(drawn) == 1
    assert sources.describe_source() == (
        'simulated images (phantoms), not patients; for the real X-rays set PNEUMONIA_DATA to "kermany" '
        "(1.2 GB, once) or to a folder that holds them"
    )


def test_auto_and_kermany_take_the_images_prepared_before(folder, drawn, monkeypatch):
    sources.load_images()
    for setting in ("auto", "kermany"):
        monkeypatch.setenv("PNEUMONIA_DATA", setting)
        assert sources.choose_source() == "kermany"
        assert_made_images(sources.load_images())
    assert drawn == []


def test_auto_ignores_images_prepared_for_another_table(folder, drawn, monkeypatch, made_table):
    sources.load_images()
    made_table.write_text(TABLE.replace("person3", "person4"))
    monkeypatch.setenv("PNEUMONIA_DATA", "auto")
    assert sources.choose_source() == "phantoms"


@pytest.fixture(params=["google.colab", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE"])
def hosted(request, monkeypatch):
    monkeypatch.setenv("PNEUMONIA_DATA", "auto")
    if request.param == "google.colab":
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    else:
        monkeypatch.setenv(request.param, "anything")


def test_auto_is_kermany_in_a_hosted_notebook(hosted, server):
    server.offer("kermany.zip", zip_of_images())
    assert sources.choose_source() == "kermany"
    assert_made_images(sources.load_images())


def test_auto_goes_on_with_phantoms_where_the_download_fails(hosted, drawn, capsys, tmp_path):
    assert len(sources.load_images()) == 6 and len(drawn) == 1
    failure, going_on = capsys.readouterr().out.splitlines()
    check_sentence(failure, tmp_path, "kermany.zip could not be downloaded")
    assert going_on.startswith("Going on with simulated images.") and "PNEUMONIA_DATA to kermany" in going_on
    assert sources.choose_source() == "phantoms"  # figures must name the phantoms from here on


def test_kermany_on_request_never_becomes_phantoms(refused, drawn, monkeypatch):
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    with refused("kermany.zip could not be downloaded", "PNEUMONIA_DATA to phantoms"):
        sources.load_images()
    assert drawn == []


# --- picture files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "kind", "value", "grey"),
    [
        ("L", "JPEG", 200, 200),
        ("RGB", "JPEG", (200, 200, 200), 200),
        ("RGB", "JPEG", (255, 0, 0), 76),
        ("CMYK", "JPEG", (0, 0, 0, 55), 200),
        ("L", "PNG", 200, 200),
        ("1", "PNG", 1, 255),
        ("I;16", "PNG", 65535, 255),
        ("I;16", "PNG", 200 * 257, 200),
        ("I;16", "PNG", 300, 1),
        ("RGB", "PNG", (200, 200, 200), 200),
        ("RGB", "PNG", (0, 255, 0), 150),
        ("RGBA", "PNG", (200, 200, 200, 255), 200),
        ("RGBA", "PNG", (200, 200, 200, 128), 100),
        ("RGBA", "PNG", (200, 200, 200, 0), 0),
        ("LA", "PNG", (200, 255), 200),
        ("LA", "PNG", (200, 0), 0),
    ],
)
def test_every_kind_of_picture_gives_its_grey(tmp_path, mode, kind, value, grey):
    path = tmp_path / "image"
    path.write_bytes(picture(value, mode=mode, kind=kind))
    image = sources.read_image(path)
    assert image.shape == (64, 64) and image.dtype == np.uint8
    assert np.abs(image - float(grey)).max() <= 2


@pytest.mark.parametrize(("options", "grey"), [({}, 200), ({"transparency": 0}, 0)])
def test_palette_pictures_give_their_grey(tmp_path, options, grey):
    image = Image.new("P", (90, 70), 0)
    image.putpalette([200, 200, 200, 9, 9, 9])
    image.save(tmp_path / "image", "PNG", **options)
    assert (sources.read_image(tmp_path / "image") == grey).all()


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (400, 20), (20, 400), (1, 900), (1900, 1400)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_every_size_is_squeezed_to_a_square(tmp_path, size, kind):
    (tmp_path / "image").write_bytes(picture(200, size, kind=kind))
    image = sources.read_image(tmp_path / "image", size=48)
    assert image.shape == (48, 48) and np.abs(image - 200.0).max() <= 2


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("width", [100, 1600])
def test_a_image_keeps_its_sides(tmp_path, mode, width):
    left_dark = Image.new("L", (width, width), 255)
    left_dark.paste(0, (0, 0, width // 2, width))
    left_dark.convert(mode).save(tmp_path / "image", "JPEG")
    image = sources.read_image(tmp_path / "image")
    assert image[:, :30].max() < 10 and image[:, 34:].min() > 245


def test_a_sixteen_bit_image_keeps_all_its_steps(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "image", "PNG")
    image = sources.read_image(tmp_path / "image")
    assert np.abs(image[0] - np.linspace(0, 255, 64)).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(("orientation", "dark"), [(1, np.s_[:, :30]), (6, np.s_[:30]), (8, np.s_[34:])])
def test_a_image_stored_turned_is_turned_back(tmp_path, kind, orientation, dark):
    left_dark = Image.new("L", (200, 200), 255)
    left_dark.paste(0, (0, 0, 100, 200))
    exif = Image.Exif()
    exif[0x0112] = orientation
    left_dark.save(tmp_path / "image", kind, exif=exif)
    image = sources.read_image(tmp_path / "image")
    assert image[dark].max() < 10 and image.mean() > 100


BAD_PICTURES = {
    "truncated JPEG": picture(60, (300, 300))[:900],
    "JPEG cut in the header": picture(60)[:100],
    "truncated PNG": picture(60, (300, 300), kind="PNG")[:-40],
    "text": b"This is no picture at all.\n",
    "nothing": b"",
    "GIF": picture(60, kind="GIF"),
    "60 million pixels": picture(1, (10_000, 6_000), mode="1", kind="PNG"),
}


@pytest.mark.parametrize("bad", BAD_PICTURES)
def test_a_bad_picture_is_named(folder, refused, bad):
    sources.load_images()  # an earlier cache stays as it was
    (folder / FILES[1]).write_bytes(BAD_PICTURES[bad])
    with refused("train/PNEUMONIA/person1_virus_1.jpeg is not a sound JPEG or PNG", "get this file again"):
        sources.load_images()


def test_a_picture_may_have_fifty_million_pixels(tmp_path):
    (tmp_path / "image").write_bytes(picture(1, (10_000, 5_000), mode="1", kind="PNG"))
    assert (sources.read_image(tmp_path / "image") == 255).all()


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["kermnay", "no/such/folder", "README.md", "a" * 300])
def test_an_unknown_setting_is_named(refused, monkeypatch, setting):
    monkeypatch.setenv("PNEUMONIA_DATA", setting)
    for load in (sources.load_images, sources.load_table, sources.describe_source):
        with refused(f'PNEUMONIA_DATA is "{setting}"', "auto, phantoms, kermany, medmnist, inspirit", "folder"):
            load()


@pytest.mark.parametrize("missing", ["train/NORMAL", "train/PNEUMONIA", "test/NORMAL", "test/PNEUMONIA"])
def test_a_folder_of_another_layout_is_named(folder, refused, missing):
    (folder / missing).rename(folder / "elsewhere")
    with refused("images does not hold the folders", missing, "PNEUMONIA_DATA"):
        sources.load_images()


def test_a_row_without_its_image_is_named(folder, refused):
    sources.load_images()
    (folder / FILES[3]).unlink()
    with refused(FILES[3], "not in the folder", "copy the whole data set"):
        sources.load_images()


def test_a_zip_file_without_a_image_is_named(server, refused, monkeypatch):
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    server.offer("kermany.zip", zip_of_images())
    monkeypatch.setattr(sources, "TABLE", sources.TABLE.with_name("other.csv"))
    sources.TABLE.write_text(TABLE.replace("person2_bacteria_2", "person2_bacteria_9"))
    sources.download("kermany.zip")
    with refused("test/PNEUMONIA/person2_bacteria_9.jpeg", "not in the folder"):
        sources.load_images()


def cut_off(request):
    request.send_response(200)
    request.send_header("Content-Length", "100000")
    request.end_headers()
    request.wfile.write(b"x" * 50_000)


def silent(request):
    request.server.over.wait(5)


def silent_after_half(request):
    cut_off(request)
    request.wfile.flush()
    request.server.over.wait(5)


def not_found(request):
    request.send_error(404)


def html_page(request):
    page = b"<html><body>Access denied</body></html>"
    request.send_response(403)
    request.send_header("Content-Type", "text/html")
    request.send_header("Content-Length", str(len(page)))
    request.end_headers()
    request.wfile.write(page)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (cut_off, "broke off half-way"),
        (silent, "silent for 0.3 s"),
        (silent_after_half, "silent for 0.3 s"),
        (not_found, "404"),
        (html_page, "403"),
    ],
)
@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("kermany", "kermany.zip"),
        ("medmnist", "pneumoniamnist_64.npz"),
        ("inspirit", "inspirit_metadata.csv"),  # which has no checksum
    ],
)
def test_a_failed_download_is_named(server, refused, monkeypatch, answer, reason, setting, name):
    monkeypatch.setenv("PNEUMONIA_DATA", setting)
    monkeypatch.setattr(sources, "TIMEOUT", 0.3)
    server.act(name, answer)
    with refused(f"{name} could not be downloaded", reason, "try again later", "phantoms"):
        sources.load_table()  # as helpers.py does, before the images
        sources.load_images()
    assert server.asked == [name]


@pytest.mark.parametrize("setting, name", [("kermany", "kermany.zip"), ("medmnist", "pneumoniamnist_64.npz")])
def test_a_wrong_checksum_is_refused(server, refused, monkeypatch, setting, name):
    monkeypatch.setenv("PNEUMONIA_DATA", setting)
    body = zip_of_images() if setting == "kermany" else bytes_of(np.savez_compressed, **medmnist_arrays())
    server.offer(name, body, checksum=sources.DOWNLOADS[name][1])  # the true sum of the true file
    with refused(name, "could not be downloaded", "the checksum is wrong"):
        sources.load_images()


def test_a_download_damaged_later_is_fetched_again(server, cache, monkeypatch):
    offer_medmnist(server, monkeypatch, medmnist_arrays())
    sources.load_images()
    (cache / "downloads" / "pneumoniamnist_64.npz").write_bytes(b"damaged")
    assert len(sources.load_images()) == 2800
    assert len(server.asked) == 2


def test_a_download_that_meets_a_full_disk_is_named(server, refused, monkeypatch):
    def half(self, chunk_size):
        yield b"PK"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/place")

    monkeypatch.setattr(requests.Response, "iter_content", half)
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    server.offer("kermany.zip", zip_of_images())
    with refused("kermany.zip could not be downloaded (No space left on device)"):
        sources.load_images()


def forbid_new_files(monkeypatch, cache):
    def fail(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(cache))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", fail)


def test_a_download_into_a_read_only_cache_is_named(server, refused, cache, monkeypatch):
    (cache / "downloads").mkdir(parents=True)
    forbid_new_files(monkeypatch, cache)
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    server.offer("kermany.zip", zip_of_images())
    with refused("kermany.zip could not be downloaded", "Permission denied"):
        sources.load_images()


def test_a_download_without_a_place_for_the_cache_is_named(server, refused, monkeypatch, made_table):
    monkeypatch.setattr(sources, "CACHE", made_table / "cache")  # a file is where its folder should be
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    server.offer("kermany.zip", zip_of_images())
    with refused("kermany.zip could not be downloaded", "Not a directory"):
        sources.load_images()


BAD_TABLES = {
    "missing column": (TABLE.replace("patient", "person", 1), "has no column patient"),
    "repeated index": (TABLE.replace("\n1,1", "\n0,1"), "index must count"),
    "gap in the index": (TABLE.replace("\n5,1", "\n6,1"), "index must count"),
    "word as index": (TABLE.replace("\n5,1", "\nfive,1"), "index must count"),
    "class 2": (TABLE.replace("\n1,1", "\n1,2"), "class must be 0 or 1"),
    "no class": (TABLE.replace("\n1,1", "\n1,"), "class must be 0 or 1"),
    "unknown split": (TABLE.replace("field", "exam"), "split must be one of field, test, train"),
    "no patient": (TABLE.replace("test-IM-0002,", ","), "patient and filename must not be empty"),
    "no filename": (TABLE.replace(FILES[0], ""), "patient and filename must not be empty"),
    "no rows": (TABLE.splitlines()[0] + "\n", "at least one row"),
    "empty file": ("", "cannot be read as a table"),
    "a row too long": (TABLE + "6,0,train,a,b,c,d\n", "cannot be read as a table"),
    "Latin-1": (TABLE.replace("IM-0002,", "Zoë,").encode("latin-1"), "cannot be read as a table"),
    "binary": (bytes(range(256)) * 4, "metadata.csv"),
}


@pytest.mark.parametrize("bad", BAD_TABLES)
def test_a_bad_table_is_refused(made_table, refused, drawn, bad):
    text, reason = BAD_TABLES[bad]
    made_table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with refused("metadata.csv", reason):
        sources.load_images()
    with refused("metadata.csv", reason):
        sources.load_table()


@pytest.mark.parametrize("setting", ["phantoms", "auto", "kermany", "folder"])
def test_a_missing_table_is_named(made_table, refused, folder, monkeypatch, setting):
    if setting != "folder":
        monkeypatch.setenv("PNEUMONIA_DATA", setting)
    made_table.unlink()
    for load in (sources.load_images, sources.load_table):
        with refused("metadata.csv", "No such file", "get the file again"):
            load()


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + TABLE.encode(),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.rstrip("\n").encode(),
        "\n".join(f"{row},{number}" for number, row in enumerate(TABLE.splitlines())).encode(),
    ],
    ids=["byte order mark", "Windows line ends", "no last line end", "another column"],
)
def test_a_table_saved_by_another_program_is_accepted(made_table, text):
    made_table.write_bytes(text)
    assert sources.load_table().to_csv(index=False, lineterminator="\n") == TABLE


HARM_DONE = []


def do_harm():
    HARM_DONE.append(1)


class Harm:
    """An object that does harm when it is unpickled."""

    def __reduce__(self):
        return do_harm, ()


HARM = np.array([Harm()], dtype=object)


def noise(*shape):
    return np.random.default_rng(0).random(shape)


BAD_ARRAYS = {
    "pickled objects": bytes_of(np.save, HARM),
    "raw pickle": HARM.dumps(),
    "other count": bytes_of(np.save, noise(2, 64, 64, 3)),
    "other size": bytes_of(np.save, noise(3, 32, 32, 3)),
    "no images": bytes_of(np.save, noise(0, 64, 64, 3)),
    "not finite": bytes_of(np.save, np.full((3, 64, 64, 3), np.nan)),
    "negative": bytes_of(np.save, noise(3, 64, 64, 3) - 0.5),
    "above 255": bytes_of(np.save, noise(3, 64, 64, 3) * 300),
    "words": bytes_of(np.save, np.full((3, 64, 64, 3), "grey")),
    "cut short": bytes_of(np.save, noise(3, 64, 64, 3))[:5000],
    "nothing": b"",
    "a page": b"<html>Log in to the school's network</html>",
    "an archive": bytes_of(np.savez, noise(3, 64, 64, 3)),
    "a broken archive": b"PK\3\4 and no more",
}


@pytest.mark.parametrize("bad", BAD_ARRAYS)
def test_a_bad_inspirit_array_is_refused(server, refused, monkeypatch, bad):
    offer_inspirit(server, monkeypatch, BAD_ARRAYS[bad])
    sources.load_table()
    with refused("inspirit_image_data.npy", "run again"):
        sources.load_images()
    assert HARM_DONE == []


@pytest.mark.parametrize(
    "bad", [b"<html>\nLog in\n</html>\n", b"", b"class,index\n0,0\n", b"split,class\na,b\n", b"class,split,index\n"]
)
def test_a_bad_inspirit_table_is_refused_and_fetched_again(server, refused, monkeypatch, bad):
    offer_inspirit(server, monkeypatch, b"", table=bad)
    with refused("inspirit_metadata.csv"):
        sources.load_table()
    offer_inspirit(server, monkeypatch, b"")
    assert len(sources.load_table()) == 3


def without(arrays, name):
    return {key: value for key, value in arrays.items() if key != name}


BAD_ARCHIVES = {
    "missing array": lambda a: bytes_of(np.savez_compressed, **without(a, "test_labels")),
    "flat images": lambda a: bytes_of(
        np.savez_compressed, **a | {"train_images": a["train_images"].reshape(len(a["train_images"]), -1)}
    ),
    "28 pixels": lambda a: bytes_of(np.savez_compressed, **a | {"train_images": a["train_images"][:, :28, :28]}),
    "fractions": lambda a: bytes_of(np.savez_compressed, **a | {"test_images": a["test_images"] / 255}),
    "fewer labels": lambda a: bytes_of(np.savez_compressed, **a | {"train_labels": a["train_labels"][:-1]}),
    "class 2": lambda a: bytes_of(np.savez_compressed, **a | {"test_labels": a["test_labels"] + 1}),
    "pickled objects": lambda a: bytes_of(np.savez_compressed, **a | {"test_labels": HARM}),
    "one array": lambda a: bytes_of(np.save, a["test_labels"]),
    "nothing": lambda a: b"",
    "a page": lambda a: b"<html>Log in</html>",
    "damaged inside": lambda a: (lambda b: b[:300] + b"damage" * 20 + b[420:])(bytes_of(np.savez_compressed, **a)),
}


@pytest.mark.parametrize("bad", BAD_ARCHIVES)
def test_a_bad_medmnist_archive_is_refused(server, refused, monkeypatch, bad):
    monkeypatch.setenv("PNEUMONIA_DATA", "medmnist")
    server.offer("pneumoniamnist_64.npz", BAD_ARCHIVES[bad](medmnist_arrays((3, 3), (3, 3))))
    with refused("pneumoniamnist_64.npz", "run again"):
        sources.load_images()
    assert HARM_DONE == []


# --- the cache --------------------------------------------------------------------------------------------------------


@pytest.fixture
def read(monkeypatch):
    """The list of images read from picture files."""
    names = []
    real = sources.read_image
    monkeypatch.setattr(sources, "read_image", lambda path, size: names.append(path.name) or real(path, size))
    return names


def kept(cache):
    return sorted(name.partition("-")[0] for name in contents(cache))


def test_images_are_prepared_once(folder, read, cache):
    first = sources.load_images()
    assert len(read) == 6
    assert np.array_equal(sources.load_images(), first)
    assert len(read) == 6 and kept(cache) == ["kermany"]


def test_phantoms_are_drawn_once(drawn, cache):
    first = sources.load_images()
    assert np.array_equal(sources.load_images(), first)
    assert len(drawn) == 1 and kept(cache) == ["phantoms"]


def replace_a_image(folder):
    (folder / FILES[0]).write_bytes(picture(77, (300, 300)))


def touch_a_image(folder):
    os.utime(folder / FILES[0], (1_000_000_000, 1_000_000_000))


def cut_a_image_keeping_its_time(folder):
    path, stat = folder / FILES[0], (folder / FILES[0]).stat()
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def rename_images(folder):
    (folder / FILES[0]).rename(folder / "x")
    (folder / FILES[4]).rename(folder / FILES[0])
    (folder / "x").rename(folder / FILES[4])


def add_a_image(folder):
    (folder / "test/NORMAL/IM-9.jpeg").write_bytes(picture(9))


@pytest.mark.parametrize(
    "change", [replace_a_image, touch_a_image, cut_a_image_keeping_its_time, rename_images, add_a_image]
)
def test_a_changed_folder_is_not_served_stale(folder, read, cache, change):
    sources.load_images()
    change(folder)
    fresh = sources.read_images(folder, FILES)
    read.clear()
    assert np.array_equal(sources.load_images(), fresh)
    assert len(read) == 6 and kept(cache) == ["kermany"]  # the older file is gone


def test_a_changed_table_is_not_served_stale(drawn, cache, made_table):
    sources.load_images()
    made_table.write_text(TABLE.replace("person3", "person4"))
    sources.load_images()
    assert len(drawn) == 2 and kept(cache) == ["phantoms"]


def test_a_changed_way_of_drawing_is_not_served_stale(drawn, cache, monkeypatch, tmp_path):
    sources.load_images()
    (tmp_path / "phantoms.py").write_text("# another way")
    monkeypatch.setattr(sources.phantoms, "__file__", str(tmp_path / "phantoms.py"))
    sources.load_images()
    assert len(drawn) == 2 and kept(cache) == ["phantoms"]


def test_a_changed_way_of_reading_is_not_served_stale(folder, read, monkeypatch):
    sources.load_images()
    monkeypatch.setattr(sources, "PREPARATION", sources.PREPARATION + 1)
    sources.load_images()
    assert len(read) == 12


def test_images_of_another_source_stay_in_the_cache(folder, drawn, cache, monkeypatch):
    sources.load_images()
    monkeypatch.setenv("PNEUMONIA_DATA", "phantoms")
    sources.load_images()
    assert kept(cache) == ["kermany", "phantoms"]


DAMAGES = {
    "cut short": lambda whole: whole[:-100],
    "cut in the header": lambda whole: whole[:40],
    "nothing": lambda whole: b"",
    "text": lambda whole: b"no array",
    "broken header": lambda whole: whole.replace(b"'descr'", b"('descr"),
    "another shape": lambda whole: bytes_of(np.save, np.zeros((6, 32, 32), np.uint8)),
    "another type": lambda whole: bytes_of(np.save, np.zeros((6, 64, 64))),
    "an archive": lambda whole: bytes_of(np.savez, np.zeros((6, 64, 64), np.uint8)),
    "pickled objects": lambda whole: bytes_of(np.save, HARM),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("setting", ["folder", "kermany"])
def test_damaged_images_in_the_cache_are_prepared_anew(folder, read, cache, monkeypatch, damage, setting):
    if setting == "kermany":
        fake_kagglehub(monkeypatch, lambda name: str(folder))
        monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    sources.load_images()
    (path,) = cache.glob("*.npy")
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert_made_images(sources.load_images())
    assert len(read) == 12
    assert_made_images(np.load(path))
    assert HARM_DONE == []


def full_disk_while_writing(monkeypatch, cache):
    def half(file, images):
        file.write(images.tobytes()[:5000])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(cache / "x"))

    monkeypatch.setattr(np, "save", half)
    return "No space left on device"


def full_disk_while_renaming(monkeypatch, cache):
    def fail(old, new):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(old), None, str(new))

    monkeypatch.setattr(os, "replace", fail)
    return "No space left on device"


def read_only_cache(monkeypatch, cache):
    forbid_new_files(monkeypatch, cache)
    return "Permission denied"


def a_file_in_place_of_the_cache(monkeypatch, cache):
    monkeypatch.setattr(sources, "CACHE", sources.TABLE)
    return "File exists"


@pytest.mark.parametrize(
    "hinder", [full_disk_while_writing, full_disk_while_renaming, read_only_cache, a_file_in_place_of_the_cache]
)
def test_images_that_cannot_be_kept_are_used_and_the_cache_stays_as_it_was(
    folder, cache, monkeypatch, capsys, tmp_path, hinder
):
    sources.load_images()
    before = contents(cache)
    (folder / FILES[0]).touch()
    reason = hinder(monkeypatch, cache)
    assert_made_images(sources.load_images())
    assert contents(cache) == before
    check_sentence(capsys.readouterr().out.rstrip("\n"), tmp_path, "data/cache", reason)


def test_an_interrupted_write_leaves_nothing(folder, cache, monkeypatch):
    def interrupt(file, images):
        file.write(images.tobytes()[:5000])
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sources.load_images()
    assert contents(cache) == {}


def test_a_cached_start_takes_under_a_second(drawn, monkeypatch):
    monkeypatch.setattr(sources, "TABLE", PROJECT / "data" / "metadata.csv")
    sources.load_images()
    start = time.perf_counter()
    assert len(sources.load_images()) == 2800
    assert time.perf_counter() - start < 1


# --- what a student sees ----------------------------------------------------------------------------------------------


def test_jupyter_shows_only_the_sentence_of_a_data_error():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell()
    with capture_output() as shown:
        shell.run_cell("import sources\nraise sources.DataError('The image is gone.')")
    assert shown.stdout + shown.stderr == "DataError: The image is gone.\n"


def test_slow_reading_shows_a_bar_on_standard_output(folder, monkeypatch, capsys):
    real = sources.read_image
    monkeypatch.setattr(sources, "read_image", lambda path, size: time.sleep(0.4) or real(path, size))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert_made_images(sources.load_images())
    shown = capsys.readouterr()
    assert "Reading images" in shown.out and "6/6" in shown.out and shown.err == ""


def test_quick_loading_prints_nothing(folder, server, monkeypatch, capsys):
    sources.load_images()
    offer_medmnist(server, monkeypatch, medmnist_arrays())
    sources.load_images()
    assert capsys.readouterr() == ("", "")

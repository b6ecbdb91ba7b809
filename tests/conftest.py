import hashlib
import re
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import helpers
from data import sources

plt.switch_backend("Agg")
PROJECT = Path(__file__).resolve().parent.parent
# these need Linux: its permissions, full disks, killed processes and their memory
collect_ignore = [] if sys.platform == "linux" else ["test_benchmark.py", "test_data.py", "test_notebooks.py"]


@pytest.fixture(autouse=True)
def simulated_images(monkeypatch):
    monkeypatch.setenv("PNEUMONIA_DATA", "phantoms")
    monkeypatch.delenv("PNEUMONIA_EXTERNAL", raising=False)
    monkeypatch.setattr(helpers, "QUICK", False)  # whatever was asked of the notebooks that run beside the tests
    sources.say_once.cache_clear()


@pytest.fixture(autouse=True)
def no_results_of_others(monkeypatch, tmp_path):
    """A test finds and keeps results in a folder of its own: notebooks that run beside it change the project's."""
    monkeypatch.setattr(helpers, "OWN_RESULTS", tmp_path / "results" / "own")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def own_project(monkeypatch, tmp_path):
    """Results and weights lie in a folder of the test's own; the seed is 0."""
    for name, value in {"PROJECT": tmp_path, "RESULTS": tmp_path / "results", "SEED": 0}.items():
        monkeypatch.setattr(helpers, name, value)
    yield tmp_path
    plt.close("all")
    if "keras" in sys.modules:
        sys.modules["keras"].mixed_precision.set_global_policy("float32")


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache, no hosted notebook, no kagglehub, no internet. Afterwards nothing half-written may lie in it."""
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
    assert not list(folder.rglob("*.part")) and not list(folder.rglob("tmp*"))


def code_cells(path):
    """The sources of a notebook's code cells; without nbformat, which several_machines.py does not have."""
    cells = sources.read_json(path)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def contents(folder):
    """{path inside the folder: bytes} of all its files."""
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def keep_predictions(name, rows, **probabilities):
    """Store answers with seed 0; rows: of the table of images; probabilities: those of each model for them."""
    table = rows.rename(columns={"class": "label"}).assign(seed=0)
    table = pd.concat([table.assign(model=model, probability=p) for model, p in probabilities.items()])
    sources.write_whole(helpers.RESULTS / f"{name}_predictions.csv", table.to_csv(index=False))


def check_sentence(text, tmp_path, *words):
    assert re.fullmatch(r"[^\n]+[.]", text)  # one line
    assert not re.search(r"[.!?](\)| [A-Z])", text)
    assert [word for word in words if word not in text] == []
    assert [place for place in (tmp_path, PROJECT, "site-packages") if str(place) in text] == []


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


def send(request, status, body, length=None):
    request.send_response(status)
    request.send_header("Content-Length", str(len(body) if length is None else length))
    request.end_headers()
    request.wfile.write(body)


@pytest.fixture
def server(cache):
    """Stands in for the internet: `act` and `offer` say how it answers a download; `asked` lists what was asked for."""

    class Request(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path[1:])
            server.answers[self.path](self)

        def log_message(self, *_): ...

    def act(name, answer):  # answer: a function of the request
        server.answers["/" + name] = answer
        sources.DOWNLOADS[name] = (f"http://127.0.0.1:{server.server_port}/{name}", sources.DOWNLOADS[name][1])

    def offer(name, body):
        act(name, lambda request: send(request, 200, body))
        if sources.DOWNLOADS[name][1]:  # what has a published checksum has this one's from now on
            sources.DOWNLOADS[name] = (sources.DOWNLOADS[name][0], "sha256:" + hashlib.sha256(body).hexdigest())

    with ThreadingHTTPServer(("127.0.0.1", 0), Request) as server:
        server.act, server.offer, server.answers, server.asked, server.over = act, offer, {}, [], threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()

import sys
from pathlib import Path

import matplotlib
import pytest

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "data"), str(PROJECT / "tools")]
matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def simulated_films(monkeypatch):
    """Unless a test says otherwise it runs on phantoms, whatever the environment holds."""
    monkeypatch.setenv("PNEUMONIA_DATA", "phantoms")

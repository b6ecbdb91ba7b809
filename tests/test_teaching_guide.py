"""The teaching guide agrees with the notebooks and with their measured times."""

import json
import re

import nbformat
import pytest
from conftest import PROJECT

from tools import opening

GUIDE = (PROJECT / "docs" / "teaching-guide.md").read_text(encoding="utf-8")
TIMES = json.loads((PROJECT / "results" / "times.json").read_text(encoding="utf-8"))
SERIES = sorted(opening.NOTEBOOKS.glob("*.ipynb"))


def minutes_of(path):
    """The cells of the notebook's row in the table of minutes: computer, estimate, teaching, exercises."""
    row = re.search(rf"^\| {int(path.name[:2])}\. .*$", GUIDE, flags=re.MULTILINE)[0]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


@pytest.mark.parametrize("path", SERIES, ids=lambda path: path.stem)
def test_computer_minutes_are_the_measured_ones(path):
    if path.stem in TIMES:
        minutes = TIMES[path.stem] / 60
        assert minutes_of(path)[0] == ("< 1" if minutes < 0.5 else str(round(minutes)))
    else:
        assert re.fullmatch(r"est\. \d+", minutes_of(path)[0])


def test_the_third_column_says_that_it_is_an_estimate():
    assert "(estimate)" in GUIDE[: GUIDE.index("| --- |")]


@pytest.mark.parametrize("path", SERIES, ids=lambda path: path.stem)
def test_teaching_minutes_are_those_of_the_notebook(path):
    head = nbformat.read(path, as_version=4).cells[0].source
    assert minutes_of(path)[2] == re.search(r"about (\d+) minutes", head)[1]


@pytest.mark.parametrize("path", SERIES, ids=lambda path: path.stem)
def test_every_notebook_has_its_section(path):
    start = GUIDE.index(f"## Notebook {int(path.name[:2])}: ")
    section = GUIDE[start : GUIDE.index("\n## ", start)]
    for part in ("**Aim.**", "**What to say.**", "| what students get wrong | what to answer |", "**To discuss.**"):
        assert part in section


def test_ninety_minutes_are_ninety():
    section = GUIDE[GUIDE.index("## Ninety minutes") : GUIDE.index("## Two days")]
    assert sum(int(minutes) for minutes in re.findall(r"^\| (\d+) \|", section, flags=re.MULTILINE)) == 90


def test_headings_that_the_guide_names_are_in_the_notebooks():
    section = GUIDE[GUIDE.index("## Ninety minutes") : GUIDE.index("## Two days")]
    for number in (1, 2):
        cells = nbformat.read(SERIES[number - 1], as_version=4).cells
        headings = re.findall(r"^## (.+)$", "\n".join(cell.source for cell in cells), flags=re.MULTILINE)
        rows = [row for row in section.splitlines() if f"Notebook {number}" in row]
        named = [name for row in rows for name in re.findall(r"\*([^*]+)\*", row)]
        assert named and set(named) <= set(headings)

"""What a reader of the notebooks and their solutions relies on, as they are stored; and the teaching guide."""

import base64
import io
import json
import re
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from conftest import PROJECT
from PIL import Image

from tools import publish

NOTEBOOKS = PROJECT / "notebooks"
PATHS = publish.find_notebooks()
SERIES = [path for path in PATHS if path.parent == NOTEBOOKS]
SOLUTIONS = [path for path in PATHS if path not in SERIES]
GUIDE = (PROJECT / "docs" / "teaching-guide.md").read_text(encoding="utf-8")
TIMES = json.loads((PROJECT / "results" / "times.json").read_text(encoding="utf-8"))

of_the_series = pytest.mark.parametrize("path", SERIES, ids=lambda path: path.stem)
of_the_solutions = pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def prose(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def exercises(notebook):
    """The numbers of the exercises: **1 (easy).** and so on."""
    return re.findall(r"^\*\*(\d+) \(", prose(notebook), flags=re.MULTILINE)


def verdicts(notebook):
    """The stored first words of the checks of exercises: "Exercise 1: right", "Exercise 2: not answered yet"."""
    checks = [cell for cell in code_cells(notebook) if "checks.check_" in cell.source]
    return [re.split("[.,]", output.text)[0] for cell in checks for output in cell.outputs]


# --- every notebook ---------------------------------------------------------------------------------------------------


def test_is_executed_from_1_to_n(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_holds_no_error_no_stderr_and_no_widget(notebook):
    kinds = {output.output_type for output in outputs(notebook)} | {output.get("name") for output in outputs(notebook)}
    assert not kinds & {"error", "stderr"}
    assert "widgets" not in notebook.metadata
    assert not [output for output in outputs(notebook) if any("widget" in kind for kind in output.get("data", {}))]


def test_is_valid_and_small(notebook, path):
    nbformat.validate(notebook)
    assert path.stat().st_size < 2_000_000


def test_no_path_of_the_machine_is_stored(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(/home/|/root/|/Users/|/work/|/tmp/|[A-Z]:\\\\Users)", text)


def test_opens_with_title_badges_and_the_common_setup(notebook, path):
    assert notebook.cells[0].source.startswith(f"# {int(path.name[:2])}. ")
    assert publish.badges(path.relative_to(NOTEBOOKS).as_posix()) in notebook.cells[0].source
    assert code_cells(notebook)[0].source == publish.setup_code()


def test_outputs_that_name_the_machine_are_not_compared(notebook):
    cells = [cell for cell in code_cells(notebook) if re.search(r"(describe_setup|choose_precision)\(", cell.source)]
    assert cells and all("nbval-ignore-output" in cell.metadata.get("tags", []) for cell in cells)


def test_links_to_files_lead_somewhere(notebook, path):
    links = re.findall(r"\]\((?!https?:|#|attachment:)([^)#\s]+)", prose(notebook))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_figure_can_be_read_has_alternative_text_and_comes_from_real_images(notebook):
    for figure in [output for output in outputs(notebook) if "image/png" in output.get("data", {})]:
        alt = figure.metadata.get("image/png", {}).get("alt", "")
        assert len(alt.split()) >= 5 and alt.endswith(".") and "Simulated" not in alt
        picture = Image.open(io.BytesIO(base64.b64decode(figure.data["image/png"])))
        assert picture.width <= 1100 and picture.height <= 1100
        darkest, brightest = picture.convert("L").getextrema()
        assert brightest - darkest > 100, "an empty canvas"


def test_cells_are_short(notebook):
    cells = [[line for line in cell.source.splitlines() if line.strip()] for cell in code_cells(notebook)[1:]]
    lengths = sorted(len(lines) for lines in cells)
    assert lengths[len(lengths) // 2] <= 4 and lengths[-1] <= 25
    assert max(len(line) for lines in cells for line in lines) <= 100
    assert max(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown") <= 250


# --- the series, and its solutions ------------------------------------------------------------------------------------


@of_the_series
def test_opens_with_question_and_table(notebook):
    assert re.match(r"# .+\n\n(\[!\[.+\n\n)?\*\*.+\?\*\*\n", notebook.cells[0].source)
    assert all(word in notebook.cells[0].source for word in ("You will do", "You will learn", "You need", "minutes"))


@of_the_series
def test_ends_with_summary_questions_exercises_and_next_notebook(notebook, path):
    headings = re.findall(r"^## (.+)$", prose(notebook), flags=re.MULTILINE)
    assert headings[-3:] == ["What you learned", "Quick questions", "Exercises"]
    assert notebook.cells[-1].source.startswith("**The end" if path == SERIES[-1] else "**Next:**")


@of_the_series
def test_answers_and_hints_are_folded(notebook):
    text = prose(notebook)
    questions, tasks = text[text.index("## Quick questions") :].split("## Exercises")
    folded = r"<details><summary>{}</summary>\n\n.+?\n\n</details>"
    answers = re.findall(folded.format("Answer"), questions, flags=re.DOTALL)
    hints = re.findall(folded.format("Hint"), tasks, flags=re.DOTALL)
    assert len(answers) == len(re.findall(r"^\*\*Question \d+\.\*\*", questions, flags=re.MULTILINE)) > 0
    assert len(hints) == len(exercises(notebook)) > 0
    assert text.count("<details>") == text.count("</details>") == len(answers) + len(hints)


@of_the_series
def test_every_exercise_is_checked_and_has_a_solution(notebook, path):
    assert verdicts(notebook) == [f"Exercise {number}: not answered yet" for number in exercises(notebook)]
    solutions = f"solutions/{path.name[:2]}_solutions.ipynb"
    assert f"({solutions})" in prose(notebook)
    assert exercises(nbformat.read(NOTEBOOKS / solutions, as_version=4)) == exercises(notebook)


@of_the_solutions
def test_stored_solutions_are_right(notebook):
    assert verdicts(notebook) == [f"Exercise {number}: right" for number in exercises(notebook)] != []


# --- the teaching guide -----------------------------------------------------------------------------------------------


def test_features_of_notebook_4_are_also_made_as_the_hints_of_its_exercises_say():
    cells = code_cells(nbformat.read(SERIES[3], as_version=4))
    names = {"np": np, "used": np.array([0, 2])}
    exec(next(cell.source for cell in cells if cell.source.startswith("def features_of")), names)  # noqa: S102
    trunk = SimpleNamespace(predict=lambda images, **_: images[..., :1] * np.ones(256, np.float32))
    features = names["features_of"](trunk, np.arange(3)[:, None, None, None] * np.ones((3, 8, 8, 3)))
    assert features.shape == (3, 256) and list(features[:, 0]) == [0, 0, 2]


@of_the_series
def test_the_guide_gives_the_minutes_of_the_notebook(notebook, path):
    row = re.search(rf"^\| {int(path.name[:2])}\. .*$", GUIDE, flags=re.MULTILINE)[0]
    _, computer, teaching, _ = [cell.strip() for cell in row.strip("|").split("|")]
    minutes = TIMES[path.stem] / 60
    assert computer == ("< 1" if minutes < 0.5 else str(round(minutes)))
    assert teaching == re.search(r"about (\d+) minutes", notebook.cells[0].source)[1]


def test_the_lesson_of_ninety_minutes_is_made_of_the_notebooks():
    lesson = GUIDE[GUIDE.index("## Ninety minutes") : GUIDE.index("## Two days")]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", lesson, flags=re.MULTILINE)
    assert sum(int(minutes) for minutes, _ in rows) == 90
    for _, what in rows:
        for number in re.findall(r"Notebook (\d)", what):
            text = prose(nbformat.read(SERIES[int(number) - 1], as_version=4))
            headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
            assert set(re.findall(r"\*([^*]+)\*", what)) <= set(headings)

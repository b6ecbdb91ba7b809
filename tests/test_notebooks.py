"""Rules that every stored notebook keeps."""

import base64
import io
import re

import nbformat
import pytest
from PIL import Image

from tools import opening

PATHS = opening.find_notebooks()
SERIES = [path for path in PATHS if path.parent == opening.NOTEBOOKS]
SOLUTIONS = [path for path in PATHS if path not in SERIES]
FIXED_ENDING = ["## What you learned", "## Quick questions", "## Exercises"]


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


def figures(notebook):
    return [output for output in outputs(notebook) if "image/png" in output.get("data", {})]


def prose(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_is_executed_from_1_to_n(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_holds_no_error_and_no_stderr(notebook):
    kinds = {output.output_type for output in outputs(notebook)} | {output.get("name") for output in outputs(notebook)}
    assert not kinds & {"error", "stderr"}


def test_holds_no_widget_state(notebook):
    assert "widgets" not in notebook.metadata
    assert not [output for output in outputs(notebook) if any("widget" in kind for kind in output.get("data", {}))]


def test_is_valid_and_small(notebook, path):
    nbformat.validate(notebook)
    assert path.stat().st_size < 2_000_000


def test_opens_with_title_and_badge(notebook, path):
    lines = notebook.cells[0].source.splitlines()
    assert lines[0].startswith(f"# {int(path.name[:2])}. ")
    assert lines[2] == opening.badge(path.relative_to(opening.NOTEBOOKS).as_posix())


@pytest.mark.parametrize("path", SERIES, ids=lambda path: path.stem)
def test_opens_with_question_and_table(notebook):
    assert re.fullmatch(r"\*\*.+\?\*\*", notebook.cells[0].source.splitlines()[4])
    assert all(word in notebook.cells[0].source for word in ("You will do", "You will learn", "You need", "minutes"))


def test_setup_cell_is_the_common_one(notebook):
    assert code_cells(notebook)[0].source == opening.SETUP


def test_outputs_that_name_this_machine_are_not_compared(notebook):
    cells = [cell for cell in code_cells(notebook) if re.search(r"(describe_setup|choose_precision)\(", cell.source)]
    assert all("nbval-ignore-output" in cell.metadata.get("tags", []) for cell in cells)


@pytest.mark.parametrize("path", SERIES, ids=lambda path: path.stem)
def test_ends_with_summary_questions_exercises_and_next_notebook(notebook):
    places = [prose(notebook).find(heading) for heading in FIXED_ENDING]
    assert -1 not in places and places == sorted(places)
    assert "**Next:**" in notebook.cells[-1].source or "**The end" in notebook.cells[-1].source


@pytest.mark.parametrize("path", SERIES, ids=lambda path: path.stem)
def test_has_five_questions_with_folded_answers_and_three_folded_hints(notebook):
    text = prose(notebook)
    questions = text[text.index("## Quick questions") : text.index("## Exercises")]
    exercises = text[text.index("## Exercises") :]
    assert re.findall(r"^\*\*Question (\d)\.\*\*", questions, flags=re.MULTILINE) == list("12345")
    folded = r"<details><summary>{}</summary>\n\n.+?\n\n</details>"
    assert len(re.findall(folded.format("Answer"), questions, flags=re.DOTALL)) == 5
    assert len(re.findall(folded.format("Hint"), exercises, flags=re.DOTALL)) == 3
    assert text.count("<details>") == text.count("</details>") == 8


@pytest.mark.parametrize("path", SERIES, ids=lambda path: path.stem)
def test_unanswered_exercises_say_so_and_point_to_the_solutions(notebook, path):
    checks = [cell for cell in code_cells(notebook) if "checks.check_" in cell.source]
    assert [output.text[:29] for cell in checks for output in cell.outputs] == [
        f"Exercise {number}: not answered yet." for number in (1, 2, 3)
    ]
    assert f"(solutions/{path.name[:2]}_solutions.ipynb)" in prose(notebook)


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_stored_solutions_are_right(notebook):
    checks = [cell for cell in code_cells(notebook) if "checks.check_" in cell.source]
    assert [output.text[:18] for cell in checks for output in cell.outputs] == [
        f"Exercise {number}: right." for number in (1, 2, 3)
    ]


def test_every_notebook_has_solutions():
    assert [path.name for path in SOLUTIONS] == [f"{path.name[:2]}_solutions.ipynb" for path in SERIES]


def test_has_three_exercises(notebook):
    assert len(re.findall(r"^\*\*[123] \(", prose(notebook), flags=re.MULTILINE)) == 3


def test_every_figure_has_alternative_text(notebook):
    for figure in figures(notebook):
        alt = figure.metadata.get("image/png", {}).get("alt", "")
        assert len(alt.split()) >= 5 and alt.endswith(".")


def test_every_figure_fits_the_page_and_is_no_empty_canvas(notebook):
    for figure in figures(notebook):
        picture = Image.open(io.BytesIO(base64.b64decode(figure.data["image/png"])))
        assert picture.width <= 1100 and picture.height <= 1100
        darkest, brightest = picture.convert("L").getextrema()
        assert brightest - darkest > 100


def test_stored_figures_come_from_real_images(notebook):
    assert not [figure for figure in figures(notebook) if "Simulated" in figure.metadata["image/png"]["alt"]]


def test_no_path_of_the_machine_is_stored(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(/home/|/root/|/Users/|/work/|/tmp/|[A-Z]:\\\\Users)", text)


def test_lines_fit_the_page(notebook):
    assert max(len(line) for cell in code_cells(notebook) for line in cell.source.splitlines()) <= 100


def test_cells_are_short(notebook):
    lengths = sorted(
        len([line for line in cell.source.splitlines() if line.strip()]) for cell in code_cells(notebook)[1:]
    )
    assert lengths[len(lengths) // 2] <= 4
    assert lengths[-1] <= 25

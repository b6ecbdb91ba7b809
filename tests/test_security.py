"""What ruff's security rules let pass: code that unpacks or runs what somebody else wrote."""

import ast

import pytest
from conftest import PROJECT, code_cells

FOLDERS = (".", "data", "docs", "notebooks", "notebooks/solutions", "tools")
CODE = [path for folder in FOLDERS for kind in ("*.py", "*.ipynb") for path in sorted((PROJECT / folder).glob(kind))]


def dangers(code):
    """The names in Python code that may run what is in a file, or unpack it to a place that the file chooses."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(attr="extractall" | "load_model" as name) | ast.alias(name="load_model" as name):
                found.add(name)
            case ast.keyword(arg="allow_pickle", value=value) if getattr(value, "value", None) is not False:
                found.add("allow_pickle")
    return found


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_nothing_runs_what_it_loads(path):
    assert not dangers(path.read_text(encoding="utf-8") if path.suffix == ".py" else "\n".join(code_cells(path)))


def test_dangerous_code_would_be_found():
    code = "from keras.models import load_model\narchive.extractall(folder)\nnumpy.load(path, allow_pickle=True)"
    assert dangers(code) == {"load_model", "extractall", "allow_pickle"}

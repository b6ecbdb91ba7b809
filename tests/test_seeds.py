"""Layers that draw at random follow from a seed: two runs of a notebook or a tool give the same figures."""

import ast

import nbformat
import pytest
from conftest import PROJECT

from tools import opening

AT_RANDOM = ("Random", "Dropout", "GaussianNoise")


def unseeded_layers(code):
    """Lines that make a layer which draws at random before set_random_seed: it takes its seed when it is made.

    Functions are left out: where they are called decides.
    """
    waiting, calls = [ast.parse(code)], []
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            calls.append(node)
    seeded = [node.lineno for node in calls if node.func.attr == "set_random_seed"]
    made = [
        node for node in calls if node.func.attr.startswith(AT_RANDOM) and "seed" not in [k.arg for k in node.keywords]
    ]
    return [node.lineno for node in made if node.lineno < min(seeded, default=node.lineno + 1)]


@pytest.mark.parametrize("path", opening.find_notebooks(), ids=lambda path: path.stem)
def test_notebooks_seed_before_they_make_layers(path):
    cells = nbformat.read(path, as_version=4).cells
    assert unseeded_layers("\n".join(cell.source for cell in cells if cell.cell_type == "code")) == []


@pytest.mark.parametrize("path", sorted((PROJECT / "tools").glob("*.py")), ids=lambda path: path.stem)
def test_tools_seed_before_they_make_layers(path):
    assert unseeded_layers(path.read_text(encoding="utf-8")) == []

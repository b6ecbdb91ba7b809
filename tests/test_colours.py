"""Colours that mean different things stay different for the colour-blind.

Colour blindness is simulated as Machado, Oliveira and Fernandes (2009) do, with their matrices for severity 1.0,
applied to linear RGB: "A Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE Transactions on
Visualization and Computer Graphics 15, 1291-1298. Distances are those of CIELAB (1976), where 2.3 is just noticeable;
we ask for 20.
"""

import ast
import base64
import io
import itertools

import matplotlib
import nbformat
import numpy as np
import pytest
from conftest import PROJECT
from matplotlib.colors import is_color_like, to_rgb
from PIL import Image

import helpers

SIGHT = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "full colour": np.eye(3).tolist(),
}
XYZ_OF_RGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
LEAST = 20
ONE_SIDED_MAPS, TWO_SIDED_MAPS = {"gray", "Blues", "inferno"}, {"PuOr_r"}


def see(colour, sight):
    """A colour as CIELAB coordinates (lightness, red-green, yellow-blue), seen with a kind of sight."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1)
    x, y, z = (XYZ_OF_RGB @ seen) / XYZ_OF_RGB.sum(axis=1)  # divided by white
    fx, fy, fz = (v ** (1 / 3) if v > (6 / 29) ** 3 else v / (3 * (6 / 29) ** 2) + 4 / 29 for v in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def distance(one, other, sight):
    return np.linalg.norm(see(one, sight) - see(other, sight))


def colours_in(code):
    """The colours that a piece of Python names: hexadecimal ones, and words behind `color=`; not borders."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("#"):
            found.add(node.value)
        if isinstance(node, ast.keyword) and "color" in str(node.arg) and node.arg != "edgecolor":
            texts = [part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)]
            found |= {text for text in texts if isinstance(text, str)}
    return {colour for colour in found if is_color_like(colour)}


def maps_in(code):
    """The names of the colour maps behind `cmap=`."""
    keywords = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.keyword)]
    return {node.value.value for node in keywords if node.arg == "cmap" and isinstance(node.value, ast.Constant)}


def pieces_of_code():
    """{name: Python code} of each function in helpers.py and each cell of the notebooks: what draws one figure."""
    text = (PROJECT / "helpers.py").read_text(encoding="utf-8")
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    pieces = {f"helpers.{node.name}": ast.get_source_segment(text, node) for node in functions}
    for path in sorted((PROJECT / "notebooks").rglob("*.ipynb")):
        for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
            if cell.cell_type == "code":
                pieces[f"{path.stem}, cell {number}"] = cell.source
    return pieces


PIECES = pieces_of_code()
PALETTES = {name: sorted(colours_in(code)) for name, code in PIECES.items()}
PALETTES = {name: colours for name, colours in PALETTES.items() if len(colours) > 1}
PALETTES["the two classes"] = helpers.CLASS_COLORS
PAIRS = list(itertools.product(PALETTES, SIGHT))


@pytest.mark.parametrize("name, sight", PAIRS)
def test_colours_of_a_figure_differ_for_everyone(name, sight):
    for one, other in itertools.combinations(PALETTES[name], 2):
        assert distance(one, other, sight) >= LEAST, f"{one} and {other} look alike"


@pytest.mark.parametrize("sight", SIGHT)
def test_classes_differ_from_the_lines_drawn_over_them(sight):
    for colour, line in itertools.product(helpers.CLASS_COLORS, ["black", "gray", "white"]):
        assert distance(colour, line, sight) >= LEAST


def test_only_colour_maps_that_everyone_can_read_are_used():
    used = set().union(*(maps_in(code) for code in PIECES.values()))
    assert used and used <= ONE_SIDED_MAPS | TWO_SIDED_MAPS


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("name", sorted(ONE_SIDED_MAPS))
def test_one_sided_maps_become_steadily_lighter_or_darker(name, sight):
    lightness = [see(matplotlib.colormaps[name](step)[:3], sight)[0] for step in np.linspace(0, 1, 20)]
    steps = np.diff(lightness)
    assert (steps > 0).all() or (steps < 0).all()


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("name", sorted(TWO_SIDED_MAPS))
def test_two_sided_maps_have_two_sides_that_differ(name, sight):
    colours = matplotlib.colormaps[name]
    for step in np.linspace(0.2, 0.5, 5):
        assert distance(colours(0.5 - step)[:3], colours(0.5 + step)[:3], sight) >= LEAST


def test_the_test_refuses_red_and_green():
    assert distance("#d62728", "#7f7f00", "full colour") >= LEAST > distance("#d62728", "#7f7f00", "deuteranopia")
    with pytest.raises(AssertionError):
        test_two_sided_maps_have_two_sides_that_differ("RdYlGn", "deuteranopia")
    with pytest.raises(AssertionError):
        test_one_sided_maps_become_steadily_lighter_or_darker("jet", "full colour")


def test_colours_are_found_in_code():
    code = 'f(x, color=["red", "b"], edgecolor="white", label="blue")\ng("#0173b2")\nh(cmap="Blues")'
    assert colours_in(code) == {"red", "b", "#0173b2"}
    assert maps_in(code) == {"Blues"}


def test_simulation_agrees_with_a_published_one():
    """colorspacious 1.1.2 gives this for the blue of the healthy class with deuteranomaly of full severity."""
    expected = see((0.23791094, 0.40512379, 0.69344128), "full colour")
    assert np.allclose(see("#0173b2", "deuteranopia"), expected, atol=0.1)
    assert np.allclose(see("#0173b2", "full colour"), (46.287, -3.303, -40.874), atol=0.1)


FIGURES = [
    (f"{path.stem}, cell {number}", output.data["image/png"])
    for path in sorted((PROJECT / "notebooks").rglob("*.ipynb"))
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells)
    for output in cell.get("outputs", [])
    if "image/png" in output.get("data", {})
]


@pytest.mark.parametrize("data", [data for _, data in FIGURES], ids=[name for name, _ in FIGURES])
def test_figures_bring_their_own_white_ground_for_dark_themes(data):
    picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
    edges = [picture.getpixel((x, y)) for x in (0, picture.width - 1) for y in (0, picture.height - 1)]
    assert edges == [(255, 255, 255, 255)] * 4
    assert picture.getchannel("A").getextrema() == (255, 255)

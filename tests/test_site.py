"""What site and slides are made from; how they look in a browser is the matter of docs/check_pages.py."""

import base64
import io
import json
import re
from types import SimpleNamespace

import nbformat
import pytest
from conftest import PROJECT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

import helpers
from docs import conf

NOTEBOOKS = sorted((PROJECT / "notebooks").rglob("*.ipynb"))
GLOSSARY_PAGE = (PROJECT / "docs" / "glossary.md").read_text(encoding="utf-8")
GLOSSARY = conf.read_glossary(GLOSSARY_PAGE)
# in bold, but no words of the field
EMPHASIS = {
    *("cloudy", "diaphragm", "fall", "field", "heart", "lost edge", "lungs", "white area"),
    *("a confession", "logistic", "permission", "predict", "same children", "test", "yardstick", "your turn"),
}


def read(page, text, builder="html"):
    """The text of a page as Sphinx gets it; builder: "html" for the site, "revealjs" for the slides."""
    source = [text]
    conf.read_page(SimpleNamespace(builder=SimpleNamespace(name=builder), srcdir=PROJECT), page, source)
    return source[0]


def as_notebook(*cells):
    return new_notebook(cells=[new_markdown_cell("# 1. Title"), *cells])


def slides_of(*cells):
    """The slides of a notebook: a list of lists of cells."""
    slides = []
    for cell in conf.make_slides(conf.prepare(as_notebook(*cells)))["cells"]:
        slides += [[]] if cell["source"].startswith("#") else []
        slides[-1].append(cell)
    return slides


def figure(width=640, height=480, alt="A figure that shows something."):
    file = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(file, format="png")
    picture = base64.b64encode(file.getvalue()).decode()
    return new_output("display_data", {"image/png": picture}, metadata={"image/png": {"alt": alt}})


def code(source, *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def test_first_use_of_a_term_is_linked_once_and_nothing_but_prose_is_touched():
    glossary = conf.read_glossary(
        "- **rate** (also: rates): A.\n- **learning**: D.\n- **learning rate**: B,\n  and more.\n- **epoch**: C.\n"
    )
    assert glossary["learning rate"] == (["learning rate"], "B, and more.")
    text = "## An epoch\n\n| epoch |\n\n`epoch` [epoch](x.md) subepoch **Epoch**, epoch. The learning rate; Rates."
    cells = conf.link_terms(conf.prepare(as_notebook(new_markdown_cell(text))), glossary)["cells"]
    linked = "**{term}`Epoch <epoch>`**, epoch. The {term}`learning rate <learning rate>`; {term}`Rates <rate>`."
    assert cells[1]["source"] == f"## An epoch\n\n| epoch |\n\n`epoch` [epoch](x.md) subepoch {linked}"


def test_no_badge_is_fetched_from_outside():
    badge = "[![Open in Colab](https://example.org/badge.svg)](https://example.org/colab)"
    assert read("docs/a", badge) == "[Open in Colab](https://example.org/colab)"


def test_front_pages_lead_to_all_notebooks_and_glossary_can_be_linked_to():
    assert all(f"\n{pages}\n" in read("README", "# Course\n") for pages in conf.PARTS.values())
    assert "\nnotebooks/*\n" in read("README", "# Course\n", "revealjs")
    page = read("docs/glossary", GLOSSARY_PAGE)
    assert "```{glossary}" in page
    assert all(f"\n{term}\n  {meaning}\n" in page for term, (_, meaning) in GLOSSARY.items())
    assert len(GLOSSARY) == len(re.findall(r"^- ", GLOSSARY_PAGE, flags=re.MULTILINE))


def test_figures_get_their_text_and_setup_is_folded():
    cells = conf.prepare(as_notebook(code("f()", figure(alt="Bars.")), code("import x", tags=["setup"])))["cells"]
    assert cells[1]["metadata"]["mystnb"] == {"image": {"alt": "Bars."}}
    assert "hide-input" in cells[2]["metadata"]["tags"]


def test_headings_begin_slides_and_what_does_not_fit_goes_on_below():
    text = "\n\n".join(["## Long", *["word " * 100] * 4, "### Short\n\nEnd."])
    titles = [slide[0]["source"] for slide in slides_of(new_markdown_cell(text))]
    assert titles == ["# 1. Title", "## Long", "### Long", "## Short"]


def test_answer_waits_for_a_click_and_its_reading_stays_with_it():
    sum_of_two = code("1 + 1", new_output("stream", text="2"))
    (_, slide) = slides_of(new_markdown_cell("## Sum"), sum_of_two, new_markdown_cell("It is two."))
    sources = [cell["source"] for cell in slide]
    assert sources == ["## Sum", "1 + 1", '<div class="fragment">', "1 + 1", "It is two.", "</div>"]
    assert slide[1]["outputs"] == [] and "remove-input" in slide[3]["metadata"]["tags"]
    moving = code('play(\n    image,\n    "The sum is 0 on the left and 18 in the two columns of the edge.",\n)')
    assert slides_of(moving)[0][1]["source"] == "play(\n    image,\n)"


@pytest.mark.parametrize("width, height", [(640, 480), (350, 350), (1100, 1100), (2000, 300)])
def test_figure_below_long_code_goes_on_the_next_slide_with_the_sentence_that_reads_it(width, height):
    long = code("x = 1\n" * 15 + "show_figure(\n    'Alt (a).',\n)", figure(width, height))
    first, second = slides_of(new_markdown_cell("## F"), long, new_markdown_cell("This reads it."))[1:]
    assert first[1]["source"].endswith("x = 1") and second[2]["source"] == "This reads it."
    drawn = second[1]["outputs"][0]["metadata"]["image/png"]
    assert drawn["width"] <= conf.WIDTH and abs(drawn["width"] / drawn["height"] - width / height) < 0.05


def test_setup_code_and_code_of_exercises_are_left_out():
    exercise = new_markdown_cell("## Exercises\n\n**1.** Do it. See [all](solutions/01.ipynb).")
    setup = code("import secret", new_output("stream", text="Images"), tags=["setup"])
    slides = slides_of(setup, exercise, code("answer = None"))
    shown = [cell for slide in slides for cell in slide]
    assert [cell["metadata"].get("tags") for cell in shown if cell["cell_type"] == "code"] == [["remove-input"]]
    assert shown[-1]["source"] == "**1.** Do it. See all."


def test_folded_answers_are_speaker_notes():
    text = "## Q\n\n**1.** Why 2 < 3?\n\n<details><summary>Answer</summary>\n\nSo it `is`.\n\n</details>\n\n**2.** And?"
    (_, slide) = slides_of(new_markdown_cell(text))
    notes = '<aside class="notes"><p>1. Why 2 &lt; 3? Answer: So it is.</p></aside>'
    assert [cell["source"] for cell in slide[1:]] == ["**1.** Why 2 < 3?", notes, "**2.** And?"]


@pytest.mark.parametrize("path", sorted((PROJECT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_becomes_slides_with_all_its_outputs(path):
    text = path.read_text(encoding="utf-8")
    notebook = conf.prepare(nbformat.reads(text, as_version=4))
    slides = json.loads(read(f"notebooks/{path.stem}", text, "revealjs"))
    nbformat.validate(slides)
    sources = [cell["source"] for cell in slides["cells"]]
    assert sources.count('<div class="fragment">') == sources.count("</div>") > 0
    pictures = [sum("image/png" in str(cell.get("outputs")) for cell in deck["cells"]) for deck in (notebook, slides)]
    assert pictures[0] == pictures[1] and all(height <= conf.ROOM for _, _, height, _ in conf.take_apart(notebook))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_glossary_has_every_term_that_a_notebook_introduces(path):
    """Terms are introduced in bold. Add a new one to docs/glossary.md, and other bold words to EMPHASIS above."""
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells[1:] if cell.cell_type == "markdown")
    bold = {words.strip(".:").casefold().removeprefix("the ") for words in re.findall(r"\*\*([^*\n]+?)\*\*", prose)}
    terms = {words for words in bold if len(words.split()) <= 3 and not re.search(r"[\d(?]|^next$|^end", words)}
    assert terms - {form.casefold() for forms, _ in GLOSSARY.values() for form in forms} - EMPHASIS == set()


def test_the_page_of_thresholds_holds_the_stored_answers_of_every_model_on_the_test_images():
    page = read("docs/threshold", (PROJECT / "docs" / "threshold.md").read_text(encoding="utf-8"))
    rows = re.findall(r"^(\w+),test,0,\d+,[01],[\d.e-]+$", page, flags=re.MULTILINE)
    assert {model: rows.count(model) for model in helpers.MODELS} == dict.fromkeys(helpers.MODELS, 400)
    options = re.findall(r'<option value="(\w+)"[^>]*>(.+)</option>', page)
    assert options == [(model, name) for model, (name, _) in helpers.MODELS.items()]
    script = (PROJECT / "docs" / "threshold.js").read_text(encoding="utf-8")
    parts = set(re.findall(r'part\("([\w-]+)"\)', script))
    assert len(parts) > 10 and parts <= set(re.findall(r' id="([\w-]+)"', page)) and "http" not in script

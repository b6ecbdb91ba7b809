"""How the site is gathered, its glossary, and that what it is built from is pinned."""

import json
import re
import shutil
import subprocess

import nbformat
import pytest
from conftest import PROJECT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import glossary, make_site, slides

NOTEBOOKS = sorted((PROJECT / "notebooks").rglob("*.ipynb"))
GLOSSARY = glossary.read_glossary((PROJECT / "docs" / "glossary.md").read_text(encoding="utf-8"))
SITE = PROJECT / "build" / "site"
PAGES = sorted(path for path in SITE.rglob("*.html") if "_static" not in path.parts)
CHECKER = PROJECT / "build" / "docs-venv" / "bin" / "python"
# in bold, but no words of the field
EMPHASIS = {
    *("cloudy patches", "diaphragm", "heart", "lost edge", "lungs", "net of lines", "white patch"),
    *("best epoch", "fall", "field", "fit", "logistic", "permission", "predict", "same children", "test"),
}


# --- gathering ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_project(tmp_path, monkeypatch):
    """A project with one notebook, and the folder that its site is gathered in."""
    monkeypatch.setattr(make_site, "SOURCE", tmp_path / "build" / "source")
    monkeypatch.setattr(make_site, "PACKAGES", tmp_path / "npm")
    for name in ("notebooks", "data", "docs", "results", "npm/mathjax/es5"):
        (tmp_path / name).mkdir(parents=True)
    badge = "[![Open in Colab](https://example.org/badge.svg)](https://example.org/colab)"
    cells = [new_markdown_cell(f"# 1. Small\n\n{badge}\n\n| | |\n| --- | --- |\n| **Time** | about 5 minutes |")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / "01_small.ipynb")
    texts = {
        "README.md": "# Course\n\n![Results](docs/results.png) [card](data/README.md) [tool](Makefile)\n",
        "data/README.md": "# Card\n\n[back](../README.md#top)\n",
        "docs/glossary.md": "# Glossary\n\nWords.\n\n- **epoch** (also: epochs): One pass.\n",
        "docs/results.png": "picture",
        "docs/site.css": "",
        "Makefile": "",
        "results/times.json": '{"01_small": 6.8}',
        "npm/mathjax/es5/tex-svg.js": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_everything_that_exists_becomes_a_page(small_project):
    assert make_site.find_pages(small_project)["About the course"][-1].name == "glossary.md"
    assert "Solutions" not in make_site.find_pages(small_project)
    (small_project / "notebooks" / "solutions").mkdir()
    (small_project / "notebooks" / "solutions" / "01_solutions.ipynb").write_text("{}")
    (small_project / "docs" / "model-card.md").write_text("# Model card")
    parts = make_site.find_pages(small_project)
    assert [path.as_posix() for path in parts["Solutions"]] == ["notebooks/solutions/01_solutions.ipynb"]
    assert "docs/model-card.md" in [path.as_posix() for path in parts["About the course"]]


def test_gathered_pages_link_to_each_other_and_to_the_project(small_project):
    make_site.gather(small_project)
    source = make_site.SOURCE
    index = (source / "index.md").read_text()
    assert "[card](data/README.md)" in index
    assert f"[tool]({make_site.ADDRESS}Makefile)" in index
    assert "![Results](docs/results.png)" in index and (source / "docs" / "results.png").read_text() == "picture"
    assert "(../index.md#top)" in (source / "data" / "README.md").read_text()
    for page in ("notebooks/01_small", "data/README", "docs/glossary", "times"):
        assert f"\n{page}\n" in index
    first = nbformat.read(source / "notebooks" / "01_small.ipynb", as_version=4).cells[0].source
    assert "[Open in Colab](https://example.org/colab)" in first and "badge.svg" not in first
    assert "| [1. Small](notebooks/01_small.ipynb) | 7 s | about 5 minutes |" in (source / "times.md").read_text()


def test_gathering_leaves_the_project_as_it_is(small_project):
    before = (small_project / "notebooks" / "01_small.ipynb").read_bytes()
    make_site.gather(small_project)
    make_site.gather(small_project)
    assert (small_project / "notebooks" / "01_small.ipynb").read_bytes() == before


def test_links_out_of_the_project_and_into_the_page_are_left_alone(small_project):
    text = "[a](https://example.org/x) [b](#here) [c](../../etc/passwd) [d](missing.md)"
    page = make_site.Path("data/README.md")
    assert make_site.mend_links(text, page, {page}, small_project) == text


def test_figures_get_their_text_and_forms_are_left_out():
    alt = "Two bars."
    figure = new_output("display_data", {"image/png": "aa"}, metadata={"image/png": {"alt": alt}})
    form = new_output("display_data", {"text/plain": "Box(children=(VBox("})
    setup = new_code_cell("import helpers", metadata={"tags": ["setup"]})
    notebook = new_notebook(cells=[new_code_cell("f()", outputs=[figure, form]), setup])
    prepared = make_site.prepare_notebook(notebook, str)
    assert prepared.cells[0].metadata["mystnb"] == {"image": {"alt": alt}}
    assert prepared.cells[0].outputs == [figure]
    assert "hide-input" in prepared.cells[1].metadata["tags"]


def test_a_notebook_without_measured_time_says_so():
    notebook = new_notebook(cells=[new_markdown_cell("# 2. New")])
    page = make_site.write_times({make_site.Path("notebooks/02_new.ipynb"): notebook}, {})
    assert "| not measured |  |" in page


# --- glossary -------------------------------------------------------------------------------------------------------


def test_first_use_of_a_term_is_found_once_and_whole_words_only():
    forms = glossary.term_of_form({"epoch": (["epochs"], "One pass."), "test image": (["test images"], "Exam.")})
    seen = set()
    assert glossary.find_terms("Each Epoch and subepoch; test images, epochs.", forms, seen) == [
        ("Each ", None),
        ("Epoch", "epoch"),
        (" and subepoch; ", None),
        ("test images", "test image"),
        (", epochs.", None),
    ]
    assert glossary.find_terms("An epoch again", forms, seen) == [("An epoch again", None)]


def test_longer_term_wins():
    forms = glossary.term_of_form({"rate": ([], "x."), "learning rate": ([], "y.")})
    assert glossary.find_terms("learning rate", forms, set()) == [("learning rate", "learning rate")]


def test_glossary_with_a_faulty_line_names_it():
    with pytest.raises(ValueError, match='"- epoch: One pass." is no entry'):
        glossary.read_glossary("# G\n\n- **a**: B.\n- epoch: One pass.\n")


def test_glossary_becomes_a_directive_with_every_term():
    text = (PROJECT / "docs" / "glossary.md").read_text(encoding="utf-8")
    directive = glossary.as_directive(text)
    assert all(f"\n{term}\n  {meaning}\n" in directive for term, (_, meaning) in GLOSSARY.items())


def test_glossary_is_sorted_short_and_without_doubles():
    assert list(GLOSSARY) == sorted(GLOSSARY, key=str.casefold)
    forms = [form.casefold() for term, (others, _) in GLOSSARY.items() for form in [term, *others]]
    assert len(forms) == len(set(forms)) and len(GLOSSARY) > 50
    for term, (_, meaning) in GLOSSARY.items():
        assert meaning.endswith(".") and len(slides.split_sentences(meaning)) <= 3, term


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_glossary_has_every_term_that_a_notebook_introduces(path):
    """Terms are introduced in bold. Add a new one to docs/glossary.md, and other bold words to EMPHASIS above."""
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells[1:] if cell.cell_type == "markdown")
    bold = {words.strip(".:").casefold().removeprefix("the ") for words in re.findall(r"\*\*([^*\n]+?)\*\*", prose)}
    terms = {words for words in bold if len(words.split()) <= 3 and not re.search(r"[\d(?]|^next$|^end", words)}
    assert terms - set(glossary.term_of_form(GLOSSARY)) - EMPHASIS == set()


# --- what it is built from ------------------------------------------------------------------------------------------


def test_python_packages_are_pinned_and_have_a_reason():
    lines = (PROJECT / "docs" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for line in filter(None, lines):
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[\d.]+ +# .+", line), line


def test_npm_packages_are_pinned_with_their_checksums():
    wanted = json.loads((PROJECT / "docs" / "package.json").read_text(encoding="utf-8"))
    locked = json.loads((PROJECT / "docs" / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    names = wanted["dependencies"] | wanted["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in names.values())
    assert {f"node_modules/{name}" for name in names} <= set(locked)
    for name, package in locked.items():
        assert name == "" or package["integrity"].startswith("sha512-")


# --- the built site -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not PAGES, reason="needs `make site`")
def test_built_pages_fetch_nothing_from_elsewhere():
    for path in PAGES:
        fetched = slides.outside_fetches(path.read_text(encoding="utf-8"))
        assert fetched and not [address for address in fetched if re.match(r"[a-z]+:|//", address)], path


@pytest.mark.skipif(not PAGES, reason="needs `make site`")
def test_built_notebooks_link_each_term_once():
    for path in (SITE / "notebooks").glob("*.html"):
        linked = re.findall(r'glossary\.html#(term-[^"]+)"', path.read_text(encoding="utf-8"))
        assert len(linked) > 5 and len(linked) == len(set(linked)), path


BAD_PAGE = """<!DOCTYPE html><html lang="en"><head><title>Bad</title></head><body><main><article><h1>Bad</h1>
<img src="https://example.org/picture.png"> <p style="color: #ccc; background: white">Too pale.</p>
<a href="#x" tabindex="-1">Out of reach</a> <p style="width: 700px">Too wide.</p>
<details><summary>Stuck</summary><p>Answer</p></details></article></main>
<script>console.error("oh no"); document.querySelector("summary").onclick = e => e.preventDefault()</script>
</body></html>"""


def test_the_check_in_chromium_finds_what_is_wrong(tmp_path):
    axe = PROJECT / "build" / "npm" / "node_modules" / "axe-core"
    browser = any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    if not (CHECKER.exists() and axe.exists() and browser):
        pytest.skip("needs `make site` and Chromium")
    (tmp_path / "index.html").write_text(BAD_PAGE)
    command = [CHECKER, PROJECT / "tools" / "check_site.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    for words in (
        "oh no",
        "asks the network for https://example.org/picture.png",
        "picture without text: picture.png",
        "the keyboard does not reach A Out of reach",
        "scrolls sideways",
        "folded part 1 does not open",
        "color-contrast",
        'does not find "dropout"',
    ):
        assert words in done.stdout

"""How notebooks become slides; the decks themselves are looked at where `make slides` has made them."""

import base64
import io
import re
import shutil
import subprocess

import nbformat
import pytest
from conftest import PROJECT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from tools import slides

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
DECKS = sorted((PROJECT / "build" / "slides").glob("*.html"))
CHECKER = PROJECT / "build" / "docs-venv" / "bin" / "python"


@pytest.fixture
def packages(monkeypatch):
    """Small scripts in place of the npm packages."""
    script = 'let tag = "</script><!-- x";'
    monkeypatch.setattr(slides, "read_package", lambda path: script if path.endswith(".js") else "p { color: red }")


@pytest.fixture
def checked():
    """checked(folder): the exit code and the lines of tools/check_slides.py, which looks at decks in Chromium."""
    if not CHECKER.exists() or not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("needs `make slides` and Chromium")

    def check(folder):
        command = [CHECKER, PROJECT / "tools" / "check_slides.py", folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    return check


def figure(width=640, height=480, alt="A figure that shows something."):
    file = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(file, format="png")
    picture = base64.b64encode(file.getvalue()).decode()
    return new_output("display_data", {"image/png": picture}, metadata={"image/png": {"alt": alt}})


def printed(text):
    return new_output("stream", name="stdout", text=text)


def deck_of(*cells):
    return slides.make_deck(new_notebook(cells=[new_markdown_cell("# 1. Title"), *cells]))


def types_and_sources(deck):
    return [(cell.metadata["slideshow"]["slide_type"], cell.source) for cell in deck.cells]


def whole_text(deck):
    return "\n".join(cell.source for cell in deck.cells)


def test_blocks_keep_lists_tables_code_and_folded_answers_whole():
    text = "# A\none\ntwo\n\n- x\n- y\n\n```\na\n\nb\n```\n\n<details><summary>Why?</summary>\n\nSo.\n\n</details>\nend"
    blocks = slides.split_blocks(text)
    assert blocks[:4] == ["# A", "one\ntwo", "- x\n- y", "```\na\n\nb\n```"]
    assert blocks[4].startswith("<details>") and blocks[4].endswith("</details>\nend")


def test_sentences_are_not_cut_inside_links_and_parentheses():
    text = "One [a link. It goes on](x). Two (see. There). **Three. Still three.** Four?"
    assert slides.split_sentences(text) == [
        "One [a link. It goes on](x).",
        "Two (see. There).",
        "**Three. Still three.** Four?",
    ]


def test_long_paragraph_is_cut_after_a_sentence_and_stands_whole_in_the_notes():
    first, rest = "Short first sentence.", "And " + "word " * 60 + "end."
    deck = deck_of(new_markdown_cell(f"## Heading\n\n{first} {rest}"))
    assert ("-", first) in types_and_sources(deck)
    assert ("notes", f"{first} {rest}") in types_and_sources(deck)


def test_long_paragraph_is_not_cut_before_its_last_term():
    words = "word " * 60
    text = f"One {words}. Two is a **term**. Three {words}."
    assert slides.shorten(text) == f"One {words}. Two is a **term**."


def test_lists_and_exercises_are_never_cut():
    words = "word " * 60
    deck = deck_of(
        new_markdown_cell(f"## Why\n\nLook:\n\n- {words}end. More.\n\n## Exercises\n\n**1.** {words}end. More.")
    )
    assert whole_text(deck).count("More.") == 2
    assert "notes" not in dict(types_and_sources(deck))


def test_folded_answer_goes_to_the_notes_and_its_question_stays():
    deck = deck_of(new_markdown_cell("## Q\n\n<details><summary>Why two?</summary>\n\nBecause of this.\n\n</details>"))
    shown = [source for kind, source in types_and_sources(deck) if kind != "notes"]
    notes = [source for kind, source in types_and_sources(deck) if kind == "notes"]
    assert "Why two?" in shown and not [source for source in shown if "Because" in source]
    assert "Why two?" in notes[0] and "Because of this." in notes[0]


def test_headings_begin_slides_and_smaller_ones_sub_slides():
    deck = deck_of(new_markdown_cell("## One\n\ntext\n\n### Two\n\ntext"))
    kinds = dict((source, kind) for kind, source in types_and_sources(deck))
    assert kinds["# 1. Title"] == kinds["## One"] == "slide"
    assert kinds["### Two"] == "subslide"


def test_setup_code_is_left_out_and_its_output_stays():
    setup = new_code_cell("import secret", outputs=[printed("Images: real")], metadata={"tags": ["setup"]})
    deck = deck_of(setup)
    assert "secret" not in whole_text(deck)
    assert deck.cells[-1].outputs[0].text == "Images: real"


def test_code_below_exercises_and_empty_cells_are_left_out():
    deck = deck_of(
        new_code_cell("# nothing yet"),
        new_markdown_cell("## Exercises\n\n**1.** Do it."),
        new_code_cell("answer = None"),
    )
    assert [cell.cell_type for cell in deck.cells] == ["markdown"] * len(deck.cells)


def test_answer_waits_for_a_click_and_its_reading_comes_with_it():
    code = new_code_cell("1 + 1", outputs=[new_output("execute_result", {"text/plain": "2"}, execution_count=1)])
    deck = deck_of(new_markdown_cell("## Sum"), code, new_markdown_cell("It is two."), new_code_cell("3"))
    kinds = [kind for kind, _ in types_and_sources(deck)]
    assert kinds == ["slide", "slide", "-", "fragment", "-", "fragment"]
    assert deck.cells[3].metadata["transient"]["remove_source"] and deck.cells[3].outputs[0].data == {"text/plain": "2"}


@pytest.mark.parametrize("size", [(640, 480), (1000, 350), (350, 350), (1100, 1100)])
def test_figure_and_the_sentence_that_reads_it_stand_on_one_slide(size):
    code = new_code_cell(
        "\n".join("x = 1" for _ in range(24)) + "\nshow_figure(\n    'Alt (a).',\n)", outputs=[figure(*size)]
    )
    deck = deck_of(new_markdown_cell("## F\n\n" + "Text. " * 30), code, new_markdown_cell("This reads it."))
    kinds = types_and_sources(deck)
    reading = kinds.index(("-", "This reads it."))
    picture = deck.cells[reading - 1].outputs[0].metadata["image/png"]
    assert picture["alt"] == "A figure that shows something."
    assert picture["width"] <= slides.WIDTH and picture["height"] <= slides.HIGHEST_FIGURE
    assert abs(picture["width"] / picture["height"] - size[0] / size[1]) < 0.02
    assert "show_figure" not in whole_text(deck)


def test_text_stands_beside_narrow_figures_only():
    def beside(width, height):
        deck = deck_of(new_code_cell("f()", outputs=[figure(width, height)]), new_markdown_cell("Read."))
        return next(cell.outputs[0].metadata["image/png"]["beside"] for cell in deck.cells if cell.get("outputs"))

    assert beside(640, 480) and beside(350, 350)
    assert not beside(900, 320)


def test_own_slideshow_metadata_is_kept():
    def own(slide_type, text):
        return new_markdown_cell(text, metadata={"slideshow": {"slide_type": slide_type}})

    deck = deck_of(
        new_markdown_cell("## H\n\ntext"),
        own("skip", "never"),
        own("notes", "to say"),
        own("fragment", "later"),
        own("subslide", "below\n\nstill below"),
    )
    found = types_and_sources(deck)
    assert "never" not in whole_text(deck)
    assert ("notes", "to say") in found and ("fragment", "later") in found
    assert found[-2:] == [("subslide", "below"), ("-", "still below")]


def test_notes_before_the_first_heading_do_no_harm():
    cell = new_markdown_cell("to say", metadata={"slideshow": {"slide_type": "notes"}})
    assert ("notes", "to say") in types_and_sources(slides.make_deck(new_notebook(cells=[cell])))


def test_long_print_is_cut_in_the_middle_and_pieces_are_joined():
    outputs = [printed(f"line {number}\n") for number in range(40)]
    (joined,) = slides.prepare_outputs(outputs)
    lines = joined.text.splitlines()
    assert len(lines) == slides.MOST_LINES
    assert lines[0] == "line 0" and lines[-1] == "line 39" and "..." in lines


def test_forms_and_errors_are_left_out():
    form = new_output("display_data", {"text/plain": "Box(children=(VBox(children=(Label(value='Image 1')"})
    assert slides.prepare_outputs([form, new_output("error", ename="E", evalue="e", traceback=[])]) == []


@pytest.mark.parametrize(
    "text, formula",
    [("$x^2$", True), ("$$\ny\n$$", True), ("`$x$`", False), ("it costs 5 $ or 6 $ more", False), ("$PATH", False)],
)
def test_formulas_are_found(text, formula):
    assert slides.has_formulas(new_notebook(cells=[new_markdown_cell(text)])) is formula


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://a/b.js"></script>',
        '<link rel="stylesheet" href="//a/b.css">',
        '<img src="beside.png">',
        "<style>@import 'https://a/b.css';</style>",
        "<style>p { background: url(https://a/b.png) }</style>",
        '<p style="background: url(https://a/b.png)">',
        '<video poster="http://a/b.png">',
    ],
)
def test_outside_fetches_are_found(html):
    assert len(slides.outside_fetches(html)) == 1


def test_links_and_scripts_fetch_nothing():
    assert slides.outside_fetches('<a href="https://a">x</a><script>let a = "<img src=http://b>"</script>') == []


def test_stop_names_the_command_where_packages_are_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(slides, "PACKAGES", tmp_path)
    with pytest.raises(SystemExit, match="make slides"):
        slides.read_package("reveal.js/dist/reveal.js")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_becomes_a_deck_that_stands_alone(path, packages):
    notebook = nbformat.read(path, as_version=4)
    html = slides.export(slides.make_deck(notebook), "A title", path.parent)
    assert slides.outside_fetches(html) == []
    assert html.count("<script") == html.count("</script>") == len(re.findall(r"<script>", html))
    alts = [
        o.metadata["image/png"]["alt"]
        for c in notebook.cells
        for o in c.get("outputs", [])
        if "image/png" in o.get("data", {})
    ]
    assert len(re.findall(r"<img ", html)) == len(alts)
    assert 'alt=""' not in html and "No description" not in html
    assert "colab-badge" not in html and "describe_setup" not in html


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_slide_is_planned_higher_than_the_screen(path):
    for slide in slides.lay_out(slides.join_answers(slides.take_apart(nbformat.read(path, as_version=4)))):
        assert len(slide["cells"]) > 1 or slide["type"] == "slide"
        assert not [cell for _, cell in slide["cells"] if "small" in cell.metadata.get("tags", [])]


@pytest.mark.skipif(not DECKS, reason="needs `make slides`")
@pytest.mark.parametrize("path", DECKS, ids=lambda path: path.stem)
def test_built_deck_fetches_nothing(path):
    assert slides.outside_fetches(path.read_text(encoding="utf-8")) == []


@pytest.mark.skipif(not DECKS, reason="needs `make slides`")
def test_built_decks_are_without_fault_in_chromium(checked):
    code, lines = checked(DECKS[0].parent)
    assert code == 0, lines
    assert lines.count(" slides, 0 faults") == len(DECKS)


def test_the_check_in_chromium_finds_what_is_wrong(checked, tmp_path, monkeypatch):
    if not (slides.PACKAGES / "mathjax").exists():
        pytest.skip("needs `make slides`")
    cells = [new_markdown_cell("# Bad\n\n$x^2$"), new_markdown_cell("<div style='height: 900px'>tall</div>")]
    cells += [new_markdown_cell("<pre style='font-size: 9px'>small</pre><img src='https://example.org/a.png'>")]
    cells += [new_markdown_cell("<pre>" + "wide" * 100 + "</pre>")]
    for cell, slide_type in zip(cells, ["slide", "slide", "slide", "slide"], strict=True):
        cell.metadata["slideshow"] = {"slide_type": slide_type}
    html = slides.export(new_notebook(cells=cells), "Bad", tmp_path)
    (tmp_path / "bad.html").write_text(html, encoding="utf-8")
    code, lines = checked(tmp_path)
    assert code == 1
    for words in (
        "slide 2 is 9",
        "slide 3 has code of 9",
        "slide 4 is ",
        "does not show",
        "asks the network",
        "no speaker notes",
    ):
        assert words in lines
    assert "slide 1 " not in lines


def test_formulas_are_drawn_without_network(checked, tmp_path, monkeypatch):
    if not (slides.PACKAGES / "mathjax").exists():
        pytest.skip("needs `make slides`")
    deck = deck_of(new_markdown_cell("## Sums\n\n$\\sum_i x_i$ and $$\\frac{a}{b}$$ " + "word " * 50 + "end. More."))
    (tmp_path / "formulas.html").write_text(slides.export(deck, "Formulas", tmp_path), encoding="utf-8")
    code, lines = checked(tmp_path)
    assert code == 0, lines
    monkeypatch.setattr(slides, "FORMULAS", "")
    (tmp_path / "formulas.html").write_text(slides.export(deck, "Formulas", tmp_path), encoding="utf-8")
    code, lines = checked(tmp_path)
    assert code == 1 and "slide 2 has a formula that is not drawn" in lines

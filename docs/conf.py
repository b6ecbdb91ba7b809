"""How Sphinx makes site and slides from the stored outputs. Notebooks are found by themselves; none is executed.

Slides: a heading begins one; what does not fit goes on below. Code and its answer stay together where both fit; the
answer waits for a click, and the text that reads it stays with it. Folded answers are speaker notes (key S). The code
of the setup cell and the code cells below "Exercises" are left out.
"""

import base64
import html
import json
import re
from math import ceil
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

project = html_title = "Pneumonia in chest X-rays"
author = "the authors of the course, CC BY 4.0 (prose, figures) and MIT (code)"
root_doc = "README"
include_patterns = ["*.md", "data/*.md", "docs/*.md", "notebooks/**.ipynb"]
exclude_patterns = [".*", "build", "tests", "tools", "results", "data/cache"]
extensions = ["myst_nb", "sphinx_revealjs"]
suppress_warnings = ["myst.header"]  # slides go on below a title without a heading between
nb_execution_mode = "off"
nb_mime_priority_overrides = [("revealjs", "text/html", 1), ("revealjs", "image/png", 2), ("revealjs", "text/plain", 3)]
myst_heading_anchors = 3

html_theme = "sphinx_book_theme"
html_theme_options = {"home_page_in_toc": True, "show_toc_level": 2, "use_fullscreen_button": False}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_static_path = ["site.css", "threshold.js", "thumbnails.webp"]
html_css_files = ["site.css"]
html_show_search_summary = False  # a page opened from disk may not read the others

revealjs_static_path = ["slides.css"]
revealjs_style_theme = "slides.css"
revealjs_script_conf = {"width": 1280, "height": 720, "margin": 0, "center": False, "hash": True}
revealjs_script_conf |= {"slideNumber": "c/t", "transition": "none"}
revealjs_script_plugins = [{"src": "revealjs/plugin/notes/notes.js", "name": "RevealNotes"}]

PARTS = {"Notebooks": "notebooks/*", "Solutions": "notebooks/solutions/*", "About the course": "data/*\ndocs/*\n*"}
WIDTH, ROOM = 1180, 610  # pixels of a slide, below its heading; docs/slides.css sets the sizes that are counted with
TOCTREE = "\n\n```{{toctree}}\n:glob:\n:maxdepth: 1\n{}\n{}\n```\n"


def read_page(app, page, source):
    """Sphinx has read the text of a page: change it for the site or the slides."""
    on_slides = app.builder.name == "revealjs"
    text = re.sub(r"!\[([^\]]*)\]\(https?://[^)]*\)", r"\1", source[0])  # badges lie outside: their words remain
    if page == root_doc:
        trees = [TOCTREE.format(f":hidden:\n:caption: {caption}\n", pages) for caption, pages in PARTS.items()]
        text = f"# {project}" + TOCTREE.format("", PARTS["Notebooks"]) if on_slides else text + "".join(trees)
    elif page == "docs/glossary":
        entries = [f"{term}\n  {meaning}\n" for term, (_, meaning) in read_glossary(text).items()]
        text = text[: text.index("\n- ")] + "\n```{glossary}\n" + "\n".join(entries) + "```\n"
    elif page == "docs/threshold":
        lines = Path(app.srcdir, "results", "kermany_predictions.csv").read_text(encoding="utf-8").splitlines()
        text = text.replace("PREDICTIONS", "\n".join(line for line in lines if ",test," in line))
    elif page.startswith("notebooks/"):
        glossary = read_glossary(Path(app.srcdir, "docs", "glossary.md").read_text(encoding="utf-8"))
        notebook = prepare(nbformat.reads(text, as_version=4))
        text = json.dumps(make_slides(notebook) if on_slides else link_terms(notebook, glossary))
    source[0] = text


def prepare(notebook):
    """A notebook with its setup cell folded and the figures' texts where pages look for them."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            alts = [output.get("metadata", {}).get("image/png", {}).get("alt", "") for output in cell["outputs"]]
            tags = cell["metadata"].get("tags", [])
            folded = ["hide-input"] if "setup" in tags else []
            cell["metadata"] |= {"tags": tags + folded, "mystnb": {"image": {"alt": " ".join(filter(None, alts))}}}
    return notebook


def read_glossary(text):
    """The entries `- **term** (also: form, form): meaning.` of a glossary: {term: (all forms, meaning)}."""
    found = re.findall(r"^- \*\*(.+?)\*\*(?: \(also: (.+?)\))?: (.+(?:\n  .+)*)", text, flags=re.MULTILINE)
    return {term: ([term, *filter(None, more.split(", "))], " ".join(text.split())) for term, more, text in found}


def link_terms(notebook, glossary):
    """A notebook in which the first use of each term leads to the glossary. No heading, table or code is touched."""
    terms = {form.casefold(): term for term, (forms, _) in glossary.items() for form in forms}
    words = "|".join(map(re.escape, sorted(terms, key=len, reverse=True)))
    untouched = r"^```.*?^```|^[#|<].*?$|`[^`]*`|\[[^\]]*\]\([^)]*\)"
    pattern = re.compile(rf"({untouched})|(?<![\w-])({words})(?![\w-])", re.MULTILINE | re.DOTALL | re.IGNORECASE)
    seen = set()

    def link(match):
        term = terms.get((match[2] or "").casefold())
        if term is None or term in seen:
            return match[0]
        seen.add(term)
        return f"{{term}}`{match[2]} <{term}>`"

    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = pattern.sub(link, cell["source"])
    return notebook


def make_slides(notebook):
    """A notebook in which each heading begins a slide and what stands between two headings fits on one."""
    cells, title, used, folds, before = [], "", 0, 0, ""
    for kind, own, height, needed in take_apart(notebook):
        if kind == "heading" or (used and used + needed > ROOM):
            title = own[0]["source"].lstrip("# ") if kind == "heading" else title
            cells += [new_markdown_cell("</div>")] * folds + [new_markdown_cell(f"### {title}")] * (kind != "heading")
            used = folds = 0
        elif (before, kind) == ("code", "answer"):
            cells.append(new_markdown_cell('<div class="fragment">'))
            folds += 1
        cells += own
        used, before = used + height, kind
    cells += [new_markdown_cell("</div>")] * folds
    return {**notebook, "cells": [{**cell, "id": f"slide-{number}"} for number, cell in enumerate(cells)]}


def take_apart(notebook):
    """What slides show: a list of [kind, cells, height in pixels, height with what belongs below it]."""
    pieces, heading = [], ""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", cell["source"])  # a deck has no other pages
            block = r"^#+ [^\n]+|^```.*?^```$|^<details.*?</details>|^[^\n](?:(?!\n\n|\n#+ ).)*"
            for found in re.findall(block, text, flags=re.MULTILINE | re.DOTALL):
                heading = found if found.startswith("#") else heading
                add_text(pieces, found)
        elif "Exercises" not in heading:
            # what a figure shows is no line of its slide: it would answer the question before it
            source = re.sub(r"\n\s*show_figure\((?:[^()]|\([^()]*\))*\)\s*$", "", cell["source"])
            source = re.sub(r'(\n\s+(description=)?"[^"\n]{40,}")(\n\s+"[^"\n]*")*,(?=\n\)\s*$)', "", source)
            if source and "setup" not in cell["metadata"]["tags"]:
                pieces.append(["code", [{**cell, "source": source, "outputs": []}], print_height(source) + 14])
            if cell["outputs"]:
                answer = {**cell, "metadata": {**cell["metadata"], "tags": ["remove-input"]}}
                pieces.append(["answer", [answer], sum(map(set_size, cell["outputs"]))])
    after, needed = "", 0
    for piece in reversed(pieces):
        together = (piece[0], after) in (("text", "code"), ("code", "answer")) and piece[2] + needed <= ROOM
        after, needed = piece[0], piece[2] + needed * together
        piece.append(needed)
    return pieces


def add_text(pieces, block):
    """Add a block of Markdown: to the answer that it reads, as notes to the piece above, or as a piece of its own."""
    block = re.sub("^###", "##", block)  # "###" is for what goes on
    fold = re.fullmatch(r"<details><summary>(.*?)</summary>(.*)</details>", block, flags=re.DOTALL)
    lines = re.sub(r"\n(?![-|]|\d+\. )", " ", re.sub(r"\]\([^)]*\)", "", block)).splitlines()
    height = 12 + 36 * sum(ceil(len(line) / (105 if line.startswith("|") else 88)) for line in lines)
    kind = "heading" if block.startswith("#") else "text"
    above, own, height_above = pieces[-1] if pieces else ("", [], 0)
    reads = above == "answer" and len(own) == 1
    goes_on = block.startswith(("- ", "1. ")) and above in ("answer", "text") and height_above + height <= ROOM
    if fold:
        notes = html.escape(re.sub(r"\*\*|`|\]\([^)]*\)", "", f"{own[0]['source']} {fold[1]}: {fold[2]}"))
        own.append(new_markdown_cell(f'<aside class="notes"><p>{" ".join(notes.split())}</p></aside>'))
    elif kind == "text" and (reads or goes_on):
        figure = own[0].get("outputs", [{}])[-1].get("metadata", {}).get("image/png", {"width": WIDTH})
        beside = reads and figure["width"] <= WIDTH - 436 and height <= 160  # as docs/slides.css has it
        own.append(new_markdown_cell(block))
        pieces[-1][2] += 0 if beside else height
    else:
        below_heading = block.startswith("##")  # ROOM is what is left below it
        pieces.append([kind, [new_markdown_cell(block)], 0 if below_heading else height])


def set_size(output):
    """Set the size of a figure on its slide. Returns the height of the output in pixels."""
    data = output.get("data", {})
    if "image/png" in data:
        start = base64.b64decode(data["image/png"][:32])  # a PNG file tells its size in bytes 16 to 24
        width, height = int.from_bytes(start[16:20]), int.from_bytes(start[20:24])
        scale = min(WIDTH / width, max(380, min(560, 0.55 * height)) / height, 1.6)
        output["metadata"]["image/png"] |= {"width": int(scale * width), "height": int(scale * height)}
        return int(scale * height) + 12
    if "text/html" in data:
        rows = data["text/html"].count("<tr")
        return 37 * rows + 12 if rows else 480  # what is no table moves
    return print_height(output.get("text") or data.get("text/plain", ""))


def print_height(text):
    return 12 + 24 * sum(ceil(max(1, len(line)) / 104) for line in text.splitlines())


def setup(app):
    # the colours of code need no script: Sphinx sets them in the slides as in the site
    import plotly
    from docutils import nodes
    from sphinx.writers.html5 import HTML5Translator

    app.add_node(nodes.literal_block, override=True, revealjs=(HTML5Translator.visit_literal_block, None))
    app.config.html_static_path.append(str(Path(plotly.__file__).parent / "package_data" / "plotly.min.js"))
    app.connect("source-read", read_page)

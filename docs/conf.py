"""How Sphinx makes site and slides from the stored outputs. Notebooks are found by themselves; none is executed.

Slides: a heading begins one, and what does not fit goes on below. A code cell and its answer stay together where both
fit; the answer, and the text that reads it, wait for a click. Speaker notes (key S) have the folded answers and the
whole of long paragraphs. The code of the setup cell and the code cells below "Exercises" are left out.
"""

import base64
import html
import json
import re
import shutil
from math import ceil
from pathlib import Path

project = "Pneumonia in chest X-rays"
author = "the authors of the course"
root_doc = "README"
include_patterns = ["*.md", "data/*.md", "docs/*.md", "notebooks/**.ipynb"]
exclude_patterns = [".*", "build", "tests", "tools", "results", "data/cache"]
extensions = ["myst_nb", "sphinx_revealjs"]
suppress_warnings = ["myst.header"]  # slides go on below a title without a heading between
nb_execution_mode = "off"
nb_merge_streams = True
nb_mime_priority_overrides = [("revealjs", "text/html", 1), ("revealjs", "image/png", 2), ("revealjs", "text/plain", 3)]
nb_ipywidgets_js = {}  # else a page with a form would fetch scripts
myst_heading_anchors = 3

html_title = project
html_theme = "sphinx_book_theme"
html_theme_options = {"home_page_in_toc": True, "show_toc_level": 2, "use_fullscreen_button": False}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_search_summary = False  # a page opened from disk may not read the others

revealjs_static_path = ["slides.css"]
revealjs_style_theme = "slides.css"
revealjs_script_conf = {"width": 1280, "height": 720, "margin": 0, "center": False, "hash": True, "slideNumber": "c/t"}
revealjs_script_conf |= {"transition": "none"}
revealjs_script_plugins = [{"src": "revealjs/plugin/notes/notes.js", "name": "RevealNotes"}]

PARTS = {"Notebooks": "notebooks/*", "Solutions": "notebooks/solutions/*", "About the course": "data/*\ndocs/*\n*"}
WIDTH, ROOM = 1180, 610  # pixels of a slide, below its heading; docs/slides.css sets the sizes that are counted with
MOST_WORDS = 45  # of a paragraph on a slide


def read_page(app, page, source):
    """Sphinx has read the text of a page: change it for the site or the slides."""
    on_slides = app.builder.name == "revealjs"
    text = re.sub(r"!\[([^\]]*)\]\(https?://[^)]*\)", r"\1", source[0])  # badges lie outside: their words remain
    if page == root_doc:
        parts = [toctree(pages, f":hidden:\n:caption: {caption}\n") for caption, pages in PARTS.items()]
        text = f"# {project}" + toctree(PARTS["Notebooks"]) if on_slides else text + "".join(parts)
    elif page == "docs/glossary":
        entries = [f"{term}\n  {meaning}\n" for term, (_, meaning) in read_glossary(text).items()]
        text = text[: text.index("\n- ")] + "\n```{glossary}\n" + "\n".join(entries) + "```\n"
    elif page.startswith("notebooks/"):
        glossary = Path(app.srcdir, "docs", "glossary.md").read_text(encoding="utf-8")
        notebook = prepare(json.loads(text), {} if on_slides else read_glossary(glossary))
        text = json.dumps(make_slides(notebook) if on_slides else notebook)
    source[0] = text


def toctree(pages, options=""):
    return f"\n\n```{{toctree}}\n:glob:\n{options}\n{pages}\n```\n"


def prepare(notebook, terms):
    """A notebook for the page: terms linked, the setup cell folded, figures with their texts, nothing from outside."""
    notebook["metadata"].setdefault("language_info", {"name": "python"})  # for the colours of code
    seen = set()
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            cell["source"] = link_terms(cell["source"], terms, seen) if terms else cell["source"]
            continue
        # of a form with buttons only its name is left: forms need a running notebook
        texts = ["".join(output.get("data", {}).get("text/plain", "")) for output in cell["outputs"]]
        cell["outputs"] = [output for output, text in zip(cell["outputs"], texts, strict=True) if text[:4] != "Box("]
        for output in cell["outputs"]:
            if "text/html" in output.get("data", {}):
                output["data"]["text/html"] = re.sub(r"<link[^>]*//[^>]*>", "", "".join(output["data"]["text/html"]))
        tags = cell["metadata"].get("tags", [])
        cell["metadata"]["tags"] = [*tags, "hide-input"] if "setup" in tags else tags
        alts = [output.get("metadata", {}).get("image/png", {}).get("alt", "") for output in cell["outputs"]]
        cell["metadata"]["mystnb"] = {"image": {"alt": " ".join(filter(None, alts))}}
    return notebook


def read_glossary(text):
    """The entries `- **term** (also: form, form): meaning.` of a glossary: {term: (other forms, meaning)}."""
    found = re.findall(r"^- \*\*(.+?)\*\*(?: \(also: (.+?)\))?: (.+(?:\n  .+)*)", text, flags=re.MULTILINE)
    return {term: (forms.split(", ") if forms else [], " ".join(meaning.split())) for term, forms, meaning in found}


def link_terms(text, terms, seen):
    """Markdown in which the first use of each term leads to the glossary; no heading, table, link or code is touched.

    terms: from read_glossary; seen: a set of terms that were used before; the new ones are added to it.
    """
    forms = {form.casefold(): term for term, (others, _) in terms.items() for form in [term, *others]}

    def link(match):
        term = forms.get((match[2] or "").casefold())
        if term is None or term in seen:
            return match[0]
        seen.add(term)
        return f"{{term}}`{match[2]} <{term}>`"

    untouched = r"^```.*?^```|^[#|<].*?$|`[^`]*`|\[[^\]]*\]\([^)]*\)"
    words = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
    flags = re.MULTILINE | re.DOTALL | re.IGNORECASE
    return re.sub(rf"({untouched})|(?<![\w-])({words})(?![\w-])", link, text, flags=flags)


def make_slides(notebook):
    """A notebook in which each heading begins a slide and what stands between two headings fits on one."""
    pieces = take_apart(notebook)
    cells, title, used, waiting = [], "", 0, 0
    for number, (kind, own, height) in enumerate(pieces):
        if kind == "heading" or (used and used + needed_height(pieces[number:]) > ROOM):
            title = own[0]["source"].lstrip("# ") if kind == "heading" else title
            cells += [text_cell("</div>")] * waiting + [text_cell(f"### {title}")] * (kind != "heading")
            used = waiting = 0
        elif (pieces[number - 1][0], kind) == ("code", "answer"):
            cells.append(text_cell('<div class="fragment">'))
            waiting += 1
        cells += own
        used += height
    cells += [text_cell("</div>")] * waiting
    return {**notebook, "cells": [{**cell, "id": f"slide-{number}"} for number, cell in enumerate(cells)]}


def needed_height(pieces):
    """The height of the first piece and of those that belong below it, as far as one slide holds them."""
    needed = 0
    for (kind, _, height), (after, _, height_after) in zip(pieces, [*pieces[1:], ("", [], 0)], strict=True):
        needed += height
        if (kind, after) not in (("text", "code"), ("code", "answer")) or needed + height_after > ROOM:
            break
    return needed


def take_apart(notebook):
    """The pieces of a notebook that slides show: a list of [kind, cells, height in pixels]."""
    pieces, heading = [], ""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", cell["source"])  # a deck has no other pages
            block = r"^#+ [^\n]+|^```.*?^```$|^<details.*?</details>|^[^\n](?:(?!\n\n|\n#+ ).)*"
            for found in re.findall(block, text, flags=re.MULTILINE | re.DOTALL):
                heading = found if found.startswith("#") else heading
                add_text(pieces, found, may_shorten="Exercises" not in heading)
        elif "Exercises" not in heading:
            # the call that shows a figure says no more than the figure
            source = re.sub(r"\n\s*show_figure\((?:[^()]|\([^()]*\))*\)\s*$", "", cell["source"])
            if source and "setup" not in cell["metadata"]["tags"]:
                pieces.append(["code", [{**cell, "source": source, "outputs": []}], print_height(source) + 14])
            if cell["outputs"]:
                answer = {**cell, "metadata": {**cell["metadata"], "tags": ["remove-input"]}}
                pieces.append(["answer", [answer], sum(map(set_size, cell["outputs"]))])
    return pieces


def add_text(pieces, block, may_shorten):
    """Add a block of Markdown to the pieces; what slides leave out becomes speaker notes of the piece above."""
    fold = re.fullmatch(r"<details><summary>(.*?)</summary>(.*)</details>", block, flags=re.DOTALL)
    if fold:
        pieces[-1][1].append(notes_cell(f"{pieces[-1][1][0]['source']} {fold[1]}: {fold[2]}"))
        return
    shown = shorten(block) if may_shorten and not re.match(r"[-#|<`]|\d+\. ", block) else block
    lines = re.sub(r"\n(?![-|]|\d+\. )", " ", re.sub(r"\]\([^)]*\)", "", shown)).splitlines()
    height = 12 + 36 * sum(ceil(len(line) / (105 if line.startswith("|") else 88)) for line in lines)
    cells = [text_cell(shown)] + [notes_cell(block)] * (shown != block)
    if pieces and pieces[-1][0] == "answer" and len(pieces[-1][1]) == 1 and not block.startswith("#"):
        figure = pieces[-1][1][0]["outputs"][-1].get("metadata", {}).get("image/png", {"width": WIDTH})
        beside = figure["width"] <= WIDTH - 436 and height <= 160  # as docs/slides.css has it
        pieces[-1] = ["answer", pieces[-1][1] + cells, pieces[-1][2] + (0 if beside else height)]
    else:
        pieces.append(["heading" if block.startswith("#") else "text", cells, height])


def shorten(paragraph):
    """The first sentences of a paragraph, MOST_WORDS words at most, but all up to the last term in bold."""
    ends = [match.end() for match in re.finditer(r"[.!?](?=\s+[A-Z*`\[(\"])", paragraph)]
    starts = [paragraph[:end] for end in ends if "**" not in paragraph[end:]]
    whole = [start for start in starts if start.count("(") == start.count(")") and start.count("`") % 2 == 0]
    if not whole or len(paragraph.split()) <= MOST_WORDS:
        return paragraph
    return [start for start in whole if len(start.split()) <= MOST_WORDS or start == whole[0]][-1]


def set_size(output):
    """Set the size of a figure on its slide. Returns the height of the output in pixels."""
    data = output.get("data", {})
    if "image/png" in data:
        start = base64.b64decode("".join(data["image/png"])[:32])  # a PNG file tells its size in bytes 16 to 24
        width, height = int.from_bytes(start[16:20]), int.from_bytes(start[20:24])
        scale = min(WIDTH / width, 380 / height, 1.6)
        output["metadata"]["image/png"] |= {"width": int(scale * width), "height": int(scale * height)}
        return int(scale * height) + 12
    if "text/html" in data:
        rows = data["text/html"].count("<tr")
        return 37 * rows + 12 if rows else 532  # what is no table moves
    return print_height("".join(output.get("text") or data.get("text/plain", "")))


def print_height(text):
    return 12 + 24 * sum(ceil(max(1, len(line)) / 104) for line in text.splitlines())


def text_cell(text):
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def notes_cell(text):
    text = html.escape(re.sub(r"\*\*|`|\]\([^)]*\)", "", text))
    return text_cell(f'<aside class="notes"><p>{" ".join(text.split())}</p></aside>')


def choose_pages(app):
    if app.builder.name == "revealjs":
        app.config.exclude_patterns += ["docs", "data", "CONTRIBUTING.md", "notebooks/solutions"]


def add_index(app, error):
    if not error:
        shutil.copyfile(Path(app.outdir, "README.html"), Path(app.outdir, "index.html"))


def setup(app):
    from docutils import nodes
    from sphinx.writers.html5 import HTML5Translator

    # colours of code without a script
    app.add_node(nodes.literal_block, override=True, revealjs=(HTML5Translator.visit_literal_block, None))
    app.connect("builder-inited", choose_pages)
    app.connect("source-read", read_page)
    app.connect("build-finished", add_index)

"""One reveal.js deck per notebook, from the stored outputs: python tools/slides.py

A deck is one file in build/slides that needs no network. How a notebook becomes slides:

- A heading begins a slide. What does not fit on it goes on in sub-slides below it.
- A code cell and its answer stand on one slide where both fit; the answer waits for a click. The text that follows an
  answer stays with it: a figure and the sentence that reads it are not parted. Text stands beside a narrow figure. A
  sentence that ends in a colon stays with what it announces.
- Long paragraphs are cut after whole sentences; the full paragraph stands in the speaker notes (key S). So do the
  answers that are folded (`<details>`) in the notebook.
- The badge, the code of the setup cell, and the code cells below "Exercises" are left out.
- A cell with `slideshow` metadata of its own, as JupyterLab sets it, keeps that and is not taken apart.
"""

import base64
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from traitlets.config import Config

PROJECT = Path(__file__).resolve().parent.parent
NOTEBOOKS = PROJECT / "notebooks"
DECKS = PROJECT / "build" / "slides"
PACKAGES = PROJECT / "build" / "npm" / "node_modules"

# sizes in pixels, as docs/slides/slides.css sets them
WIDTH, HEIGHT = 1180, 640  # of what a slide may hold
HEADING, CONTINUED, GAP = 60, 40, 12
TEXT_LINE, CODE_LINE, TABLE_LINE = 35, 24, 36
TEXT_COLUMNS = 90  # letters on a line of text
NARROW = 1.4  # up to this ratio of width to height, text stands beside a figure
BETWEEN = 36  # a figure and the text beside it
SMALLEST_FIGURE, HIGHEST_FIGURE, LARGEST_SCALE = 300, 470, 1.6
MOST_WORDS = 45  # of a paragraph
MOST_LINES = 16  # of printed output

START = """
Reveal.initialize({width: 1280, height: 720, margin: 0, center: false, hash: true, slideNumber: "c/t",
  transition: "none", pdfSeparateFragments: false, plugins: [RevealNotes]});
"""
FORMULAS = 'window.MathJax = {tex: {inlineMath: [["$", "$"], ["\\\\(", "\\\\)"]]}, svg: {fontCache: "local"}};'


# --- texts ----------------------------------------------------------------------------------------------------------


def split_blocks(text):
    """The paragraphs, lists, tables, headings, code blocks and folded answers of a Markdown text."""
    blocks, lines, inside = [], [], None
    for line in [*text.splitlines(), ""]:
        if inside is None and (line.startswith("#") or not line.strip()):
            blocks.append("\n".join(lines))
            lines = [line]
            if line.startswith("#"):
                blocks.append(lines.pop())
            continue
        if inside is None:
            inside = "```" if line.startswith("```") else "</details>" if "<details" in line else None
            lines.append(line)
            if inside == "</details>" and inside in line:
                inside = None
        else:
            lines.append(line)
            if inside in line:
                inside = None
    blocks.append("\n".join(lines))
    return [block.strip("\n") for block in blocks if block.strip()]


def split_sentences(paragraph):
    """Its sentences. Nothing inside bold letters, code, brackets or parentheses is cut."""
    sentences = []
    whole = True
    for part in re.split(r"(?<=[.!?])\s+(?=[A-Z*`\[(\"])", paragraph):
        if whole:
            sentences.append(part)
        else:
            sentences[-1] += " " + part
        last = sentences[-1]
        pairs = [last.count("[") == last.count("]"), last.count("(") == last.count(")")]
        whole = all(pairs) and last.count("**") % 2 == 0 and last.count("`") % 2 == 0
    return sentences


def shorten(paragraph):
    """The first sentences of a paragraph, MOST_WORDS words at most, but all up to the last term in bold."""
    sentences = split_sentences(paragraph)
    if len(paragraph.split()) <= MOST_WORDS:
        return paragraph
    last_term = max((number for number, sentence in enumerate(sentences) if "**" in sentence), default=0)
    kept = sentences[: last_term + 1]
    for sentence in sentences[last_term + 1 :]:
        if len(" ".join([*kept, sentence]).split()) > MOST_WORDS:
            break
        kept.append(sentence)
    return " ".join(kept)


def is_paragraph(block):
    no_paragraph = re.match(r"[-*+>] |\d+\. |[|#<]|\$\$|```|!\[", block)
    return not no_paragraph and "\n\n" not in block and "\n|" not in block


def without_outside_pictures(text):
    """Markdown without the badge; of other pictures on the web only the text remains."""
    text = re.sub(r"^\[!\[.*?\]\(.*?\)\]\(.*?\)$", "", text, flags=re.MULTILINE)
    return re.sub(r"!\[(.*?)\]\((https?:)?//.*?\)", r"\1", text)


def text_height(block, columns=TEXT_COLUMNS):
    """Roughly how high a piece of Markdown is; columns: letters on a line."""
    if "\n\n" in block:
        return sum(text_height(part, columns) for part in split_blocks(block))
    lines = block.splitlines()
    if block.startswith("```"):
        return len(lines) * CODE_LINE + GAP
    if "| --- |" in block:
        return sum(TABLE_LINE * max(1, -(-len(line) // 110)) for line in lines) - TABLE_LINE + GAP
    if is_paragraph(block):
        lines = [" ".join(lines)]
    else:  # a list: lines that do not begin an item belong to the one before
        lines = re.sub(r"\n\s*(?![-*+>]|\d+\.)", " ", block).splitlines()
    letters = [len(re.sub(r"\]\(.*?\)|\*\*|`", "", line)) for line in lines]
    return sum(TEXT_LINE * max(1, -(-count // columns)) for count in letters) + GAP


# --- pieces: what a cell is taken apart into ------------------------------------------------------------------------
# A piece is a dict: kind ("heading", "text", "lead", "code", "answer" or "notes"); cells, a list of (kind, cell);
# notes, texts for the speaker; figures, the outputs that hold one; reading, the texts that follow a figure; height in
# pixels without figures and reading; and, where the author chose it, the slide type.


def make_piece(kind, cell, height, figures=(), notes=()):
    lists = {"cells": [(kind, cell)], "notes": list(notes), "figures": list(figures), "reading": []}
    return {"kind": kind, "height": height, **lists}


def text_piece(text, kind="text", notes=()):
    height = HEADING if kind == "heading" else text_height(text)
    return make_piece(kind, nbformat.v4.new_markdown_cell(text), height, notes=notes)


def take_text_apart(source, heading):
    """The pieces of a Markdown cell; heading: the one above it. Exercises are not shortened."""
    pieces = []
    for block in join_leads(split_blocks(without_outside_pictures(source))):
        if block.startswith("#"):
            heading = block
            pieces.append(text_piece(block, "heading"))
        elif block.startswith("<details"):
            question, answer = re.fullmatch(
                r"<details[^>]*>\s*(?:<summary>(.*?)</summary>)?(.*?)</details>", block, flags=re.DOTALL
            ).groups()
            question = (question or "").strip()
            pieces.append(text_piece(question, notes=[f"{question}\n\n{answer.strip()}"]))
        elif "Exercises" not in heading and is_paragraph(block) and shorten(block) != block:
            pieces.append(text_piece(shorten(block), notes=[block]))
        else:
            pieces.append(text_piece(block, "lead" if block.endswith(":") else "text"))
    return pieces


def join_leads(blocks):
    """The blocks, each list or table in one block with the unfinished sentence before it."""
    joined = []
    for block in blocks:
        plain = not block.startswith(("#", "<details"))
        if joined and plain and not is_paragraph(block) and is_paragraph(joined[-1]) and joined[-1][-1] not in ".!?)*":
            joined[-1] += "\n\n" + block
        else:
            joined.append(block)
    return joined


def prepare_outputs(outputs):
    """The outputs as a slide shows them: one kind of data each, printed lines joined, long prints cut in the middle."""
    prepared = []
    for output in outputs:
        output = nbformat.from_dict(output)
        if output.output_type == "stream":
            if prepared and prepared[-1].output_type == "stream":
                prepared[-1].text += output.text
                continue
        elif output.output_type in ("display_data", "execute_result"):
            best = next((kind for kind in ("image/png", "text/html", "text/plain") if kind in output.data), None)
            if best is None or is_form(output):
                continue
            output.data = {best: output.data[best]}
        else:
            continue
        prepared.append(output)
    for output in prepared:
        if output.output_type == "stream":
            output.text = cut_lines(output.text)
        elif "text/plain" in output.data:
            output.data["text/plain"] = cut_lines(output.data["text/plain"])
    return prepared


def is_form(output):
    """True where all that is left of a form with buttons is its name: forms need a running notebook."""
    return bool(re.match(r"\w*Box\(children=", output.get("data", {}).get("text/plain", "")))


def cut_lines(text):
    """At most MOST_LINES lines: the first ones, dots, the last four."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) <= MOST_LINES:
        return "\n".join(lines)
    return "\n".join([*lines[: MOST_LINES - 5], "...", *lines[-4:]])


def output_height(output):
    """How high an output without a figure is."""
    if output.output_type == "stream":
        return CODE_LINE * len(output.text.splitlines()) + GAP
    if "text/html" in output.data:
        return TABLE_LINE * max(1, output.data["text/html"].count("<tr")) + GAP
    return CODE_LINE * len(output.data["text/plain"].splitlines()) + GAP


def figure_size(output):
    """(width, height) of the stored figure."""
    start = base64.b64decode(output.data["image/png"][:32])  # a PNG file tells its size in bytes 16 to 24
    return int.from_bytes(start[16:20]), int.from_bytes(start[20:24])


def has_text_beside(piece):
    """True where the piece is one narrow figure with text that reads it."""
    narrow = [figure for figure in piece["figures"] if figure_size(figure)[0] <= NARROW * figure_size(figure)[1]]
    return bool(narrow and piece["reading"]) and len(piece["figures"]) == 1


def height_of(piece, room):
    """How high a piece is. Its figures become as large as `room` lets them, but no smaller than SMALLEST_FIGURE."""
    beside = has_text_beside(piece)
    below = 0 if beside else sum(text_height(text) for text in piece["reading"])
    count = len(piece["figures"])
    share = (room - piece["height"] - below) // count - GAP if count else 0
    share = min(HIGHEST_FIGURE, max(SMALLEST_FIGURE, share))
    figures = 0
    for figure in piece["figures"]:
        width, height = figure_size(figure)
        scale = min(WIDTH / width, share / height, LARGEST_SCALE)
        width, height = int(width * scale), int(height * scale)
        alt = figure.metadata.get("image/png", {}).get("alt", "")
        figure.metadata["image/png"] = {"alt": alt, "width": width, "height": height, "beside": beside}
        figures += height + GAP
        if beside:
            columns = TEXT_COLUMNS * (WIDTH - width - BETWEEN) // WIDTH
            figures = max(figures, sum(text_height(text, columns) for text in piece["reading"]))
    return piece["height"] + below + figures


def take_code_apart(cell, with_code=True):
    """A code cell's pieces: the code, and its answer."""
    # the call that shows a figure says no more than the figure
    source = re.sub(r"\n\s*show_figure\((?:[^()]|\([^()]*\))*\)\s*$", "", cell.source)
    pieces = []
    if with_code:
        height = len(source.splitlines()) * CODE_LINE + 2 * GAP
        pieces.append(make_piece("code", nbformat.v4.new_code_cell(source), height))
    outputs = prepare_outputs(cell.outputs)
    if outputs:
        answer = nbformat.v4.new_code_cell("", outputs=outputs, metadata={"transient": {"remove_source": True}})
        figures = [output for output in answer.outputs if "image/png" in output.get("data", {})]
        height = sum(output_height(output) for output in answer.outputs if output not in figures)
        pieces.append(make_piece("answer", answer, height, figures))
    return pieces


def is_empty(cell):
    return cell.cell_type == "code" and not re.sub(r"#.*", "", cell.source).strip()


def take_apart(notebook):
    """All pieces of a notebook, without what slides leave out."""
    pieces, heading = [], ""
    for cell in notebook.cells:
        chosen = cell.metadata.get("slideshow", {}).get("slide_type")
        if chosen == "skip":
            continue
        if chosen:
            pieces.append(whole_cell(cell, chosen))
        elif cell.cell_type == "markdown":
            found = take_text_apart(cell.source, heading)
            pieces += found
            heading = [heading, *[piece["cells"][0][1].source for piece in found if piece["kind"] == "heading"]][-1]
        elif cell.cell_type == "code" and "Exercises" not in heading and not is_empty(cell):
            pieces += take_code_apart(cell, with_code="setup" not in cell.metadata.get("tags", []))
    return pieces


def whole_cell(cell, chosen):
    """One piece for a cell whose author chose the slide type."""
    if cell.cell_type == "markdown":
        pieces = [text_piece(block) for block in split_blocks(without_outside_pictures(cell.source))]
    else:
        pieces = take_code_apart(cell)
    piece = pieces[0]
    for other in pieces[1:]:
        piece = join(piece, other)
    return {**piece, "kind": "notes" if chosen == "notes" else "text", "chosen": chosen}


def join(piece, other):
    """Both as one piece, which stands on one slide."""
    return {"kind": "text", **{name: piece[name] + other[name] for name in piece if name not in ("kind", "chosen")}}


def join_reading(answer, text):
    """An answer and the text that reads it as one piece."""
    reading = [*answer["reading"], text["cells"][0][1].source]
    piece = {**answer, "cells": answer["cells"] + text["cells"], "notes": answer["notes"] + text["notes"]}
    piece["reading"] = reading
    return {**piece, "kind": "answer beside" if has_text_beside(piece) else "read answer"}


def join_pairs(pieces, pairs, joining):
    """Join each piece with the one before where their kinds are in `pairs` and one slide can hold both."""
    joined = []
    for piece in pieces:
        before = joined[-1] if joined else {"kind": ""}
        if (before["kind"], piece["kind"]) in pairs and "chosen" not in before and "chosen" not in piece:
            both = joining(before, piece)
            if height_of(both, 0) <= HEIGHT - HEADING:
                joined[-1] = both
                continue
        joined.append(piece)
    return joined


def join_answers(pieces):
    """Join answers with the text that reads them, code with its answer, and leads with what they announce."""
    read = join_pairs(pieces, {("answer", "text"), ("answer beside", "text")}, join_reading)
    examples = join_pairs(read, {("code", kind) for kind in ("answer", "read answer", "answer beside")}, join)
    return join_pairs(examples, {("lead", "code"), ("lead", "text")}, join)


# --- slides ---------------------------------------------------------------------------------------------------------


def lay_out(pieces):
    """Distribute pieces over slides. Returns dicts: type; cells, a list of (kind, cell); notes, their texts."""
    slides, title, used = [], "", 0

    def begin(slide_type, *cells):
        slides.append({"type": slide_type, "cells": [("text", cell) for cell in cells], "notes": []})

    for piece in pieces:
        chosen = piece.get("chosen")
        if not slides and piece["kind"] != "heading":
            begin("slide")
        if piece["kind"] == "heading":
            cell = piece["cells"][0][1]
            marks, title = cell.source.split(maxsplit=1)
            begin("slide" if len(marks) <= 2 else "subslide", cell)
            used = HEADING
        elif piece["kind"] == "notes":
            slides[-1]["notes"] += [cell.source for _, cell in piece["cells"]]
        else:
            full = used + height_of(piece, HEIGHT - used) > HEIGHT and len(slides[-1]["cells"]) > 1
            if chosen in ("slide", "subslide"):
                begin(chosen)
                used = 0
            elif full and chosen is None:
                begin("subslide", nbformat.v4.new_markdown_cell(f'<p class="continued">{title}</p>'))
                used = CONTINUED
            height = height_of(piece, HEIGHT - used)
            if used + height > HEIGHT:
                for _, cell in piece["cells"]:
                    cell.metadata["tags"] = ["small"]
            slides[-1]["cells"] += [
                (chosen if chosen == "fragment" and number == 0 else kind, cell)
                for number, (kind, cell) in enumerate(piece["cells"])
            ]
            slides[-1]["notes"] += piece["notes"]
            used += height
    return slides


def slide_types(kinds):
    """Which cells of a slide wait for a click: "fragment" or "-" for each. kinds: of its cells, from top to bottom."""
    types = []
    for number, kind in enumerate(kinds):
        above = kinds[:number]
        answers_code = kind == "answer" and "code" in above
        next_code = kind == "code" and "answer" in above and above[-1] != "code"
        types.append("fragment" if kind == "fragment" or answers_code or next_code else "-")
    return types


def make_deck(notebook):
    """A notebook of slides, with slide metadata and notes as nbconvert's exporter reads them."""
    cells = []
    for slide in lay_out(join_answers(take_apart(notebook))):
        own = [cell for _, cell in slide["cells"]]
        types = slide_types([kind for kind, _ in slide["cells"]])
        for number, cell in enumerate(own):
            cell.metadata["slideshow"] = {"slide_type": types[number] if number else slide["type"]}
        notes = nbformat.v4.new_markdown_cell("\n\n".join(slide["notes"]))
        notes.metadata["slideshow"] = {"slide_type": "notes"}
        cells += own[:1] + ([notes] if slide["notes"] else []) + own[1:]
    return nbformat.v4.new_notebook(cells=cells)


def has_formulas(notebook):
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    texts = [re.sub(r"```.*?```|`[^`]*`", "", source, flags=re.DOTALL) for source in sources]
    return any(re.search(r"\$\$|\$[^\s$][^$\n]*[^\s$]\$|\$[^\s$]\$", text) for text in texts)


# --- the file -------------------------------------------------------------------------------------------------------


def read_package(path):
    """The text of a file that npm brought."""
    file = PACKAGES / path
    if not file.exists():
        sys.exit(f"The file {path} of the npm packages is missing: run `make slides`, which fetches them.")
    return file.read_text(encoding="utf-8")


def inside_script(code):
    """JavaScript that can stand inside <script>: strings in it may hold tags."""
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def export(notebook, title, folder):
    """The HTML of a deck; folder: where the notebook lies, for its pictures."""
    scripts = [read_package("reveal.js/dist/reveal.js"), read_package("reveal.js/dist/plugin/notes.js"), START]
    if has_formulas(notebook):
        scripts += [FORMULAS, read_package("mathjax/es5/tex-svg.js")]
    styles = [read_package("reveal.js/dist/reset.css"), read_package("reveal.js/dist/reveal.css")]
    styles.append((PROJECT / "docs" / "slides" / "slides.css").read_text(encoding="utf-8"))
    exporter = SlidesExporter(
        # the colours of code: nbconvert's own choice needs JupyterLab's styles
        config=Config({"CSSHTMLHeaderPreprocessor": {"style": "default"}}),
        extra_template_basedirs=[str(PROJECT / "docs")],
        template_name="slides",
        embed_images=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    deck = {"title": title, "styles": styles, "scripts": [inside_script(script) for script in scripts]}
    resources = {"metadata": {"path": str(folder), "name": title}, "deck": deck}
    return exporter.from_notebook_node(notebook, resources)[0]


class _Fetches(HTMLParser):
    """Collects the addresses that a browser would fetch by itself when it opens a page."""

    ATTRIBUTES = {"src", "srcset", "poster", "data"}

    def __init__(self):
        super().__init__()
        self.found = []
        self.inside = None

    def handle_starttag(self, tag, attributes):
        self.inside = tag
        for name, value in attributes:
            if name in self.ATTRIBUTES or (tag in ("link", "image", "use") and name.endswith("href")):
                self.found.append(value or "")
            elif name == "style":
                self.found += re.findall(r"url\(\s*['\"]?([^'\")]+)", value or "")

    def handle_data(self, data):
        if self.inside == "style":
            self.found += re.findall(r"url\(\s*['\"]?([^'\")]+)", data)
            self.found += re.findall(r"@import\s+['\"]([^'\"]+)", data)

    def handle_endtag(self, tag):
        self.inside = None


def outside_fetches(html):
    """What a page would fetch from elsewhere when it is opened: addresses with a host, and files beside it."""
    parser = _Fetches()
    parser.feed(html)
    return [address for address in parser.found if not address.startswith(("data:", "#"))]


def main():
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    if not paths:
        sys.exit("There are no notebooks in notebooks/.")
    DECKS.mkdir(parents=True, exist_ok=True)
    for old in DECKS.glob("*.html"):
        if not (NOTEBOOKS / f"{old.stem}.ipynb").exists():
            old.unlink()
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
        html = export(make_deck(notebook), title, path.parent)
        if outside_fetches(html):
            sys.exit(f"The deck of {path.name} would fetch {outside_fetches(html)[0]}: a deck must stand alone.")
        target = DECKS / f"{path.stem}.html"
        temporary = target.with_suffix(".part")
        temporary.write_text(html, encoding="utf-8")
        os.replace(temporary, target)
        print(f"{target.relative_to(PROJECT)}  {len(html) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

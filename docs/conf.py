"""How Sphinx builds the site. `make site` gathers the pages into build/site-source and calls it."""

import sys
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "tools"))

import glossary  # noqa: E402  (it lies in tools/, which Python finds only now)

project = "Pneumonia in chest X-rays"
author = "the authors of the course"
html_title = project
extensions = ["myst_nb"]
nb_execution_mode = "off"  # the stored outputs are the pages
nb_merge_streams = True
nb_ipywidgets_js = {}  # else a page with a form would fetch scripts
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
mathjax_path = "tex-svg.js"  # only pages with formulas load it

templates_path = ["templates"]
html_theme = "sphinx_book_theme"
html_theme_options = {
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "use_fullscreen_button": False,
}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_show_search_summary = False  # a page opened from disk may not read the others
html_static_path = [str(PROJECT / "build" / "site-source" / "_static")]
html_css_files = ["site.css"]
exclude_patterns = ["_static"]

NOT_PROSE = (nodes.title, nodes.literal, nodes.literal_block, nodes.reference, nodes.table, nodes.raw, nodes.math)


def link_terms(app, doctree):
    """Link the first use of each glossary term in a notebook's prose to the glossary."""
    page = app.env.current_document.docname
    if not page.startswith("notebooks/"):
        return
    forms = glossary.term_of_form(glossary.read_glossary(glossary.GLOSSARY.read_text(encoding="utf-8")))
    seen = set()
    for text in list(doctree.findall(nodes.Text)):
        if is_prose(text):
            pieces = glossary.find_terms(text.astext(), forms, seen)
            text.parent.replace(text, [make_node(piece, term, page) for piece, term in pieces])


def is_prose(node):
    while node := node.parent:
        if isinstance(node, NOT_PROSE) or "cell_output" in node.get("classes", []):
            return False
    return True


def make_node(text, term, page):
    if term is None:
        return nodes.Text(text)
    link = pending_xref(
        "", nodes.inline("", text), refdomain="std", reftype="term", reftarget=term, refexplicit=True, refdoc=page
    )
    link["refwarn"] = True
    return link


def name_folds(app, pagename, templatename, context, doctree):
    """Let a folded cell be called what one reads on it; else screen readers say "Toggle hidden content" for each."""
    if "body" in context:
        context["body"] = context["body"].replace('<summary aria-label="Toggle hidden content">', "<summary>")


def setup(app):
    app.connect("html-page-context", name_folds)
    app.connect("doctree-read", link_terms)

"""Open every page and slide in Chromium, without network, and print the faults; `--pictures` stores build/pictures."""

import shutil
import sys
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

BUILD = Path(__file__).resolve().parent.parent / "build"
OPTIONS = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
VIEWS = {"light": (1280, 720), "dark": (1280, 720), "phone": (375, 812)}
SLIDE = "section.present:not(.stack)"
# what runs in the page: visible parts that stick out at the right or below, pictures, links
OUTSIDE = """([part, bottom]) => [...document.querySelectorAll(part + ' *')].filter(e => {
  const edge = e.getBoundingClientRect();
  const scrolls = bottom == Infinity && e.parentElement.closest('pre, .cell_output, .table-wrapper, .math, div.highlight');
  return e.checkVisibility() && !scrolls && (edge.right > innerWidth + 1 || edge.bottom > bottom);
}).map(e => `${e.tagName} ${e.textContent.trim().slice(0, 40)}`)"""
PICTURES = "part => [...document.querySelectorAll(part + ' img')].map(e => [e.src.slice(-50), e.alt, e.naturalWidth])"
LINKS = "() => [...document.links].map(e => e.href).filter(link => link.startsWith('file:'))"


def find_faults(page, part, bottom):
    """What is wrong with the part of a page that is shown now, as a list of sentences; bottom: how low it may reach."""
    faults = [f"sticks out: {what}" for what in page.evaluate(OUTSIDE, [part, bottom])[:2]]
    for name, text, width in page.evaluate(PICTURES, part):
        faults += [f"picture without a text: {name}"] * (not text.strip()) + [f"blank picture: {name}"] * (not width)
    found = Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    return faults + [f"axe: {fault['help']}: {fault['nodes'][0]['html'][:150]}" for fault in found]


def open_page(browser, path, faults, view="light"):
    """A page of the site or a deck that writes console errors and requests for the network into the list faults."""
    width, height = VIEWS[view]
    scheme = "dark" if view == "dark" else "light"
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on("request", lambda request: request.url.startswith("http") and faults.append(f"fetches {request.url}"))
    page.goto(path.as_uri())
    return page


def check_site(browser, site, pictures):
    """Yields (page, faults) for every page."""
    for path in sorted(site.rglob("*.html")):
        faults = []
        for view in VIEWS:
            page = open_page(browser, path, faults, view)
            page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
            faults += [f"{view}: {fault}" for fault in find_faults(page, "article", None)]
            links = [urlsplit(link) for link in page.evaluate(LINKS)]
            faults += [f"leads nowhere: {link.path}" for link in links if not Path(unquote(link.path)).exists()]
            if pictures: page.screenshot(path=f"{pictures}/{path.stem}_{view}.png", full_page=True)
            page.context.close()
        yield path.name, faults

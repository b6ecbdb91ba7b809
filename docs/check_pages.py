"""Open every page and slide in Chromium, offline, and print what is wrong: python docs/check_pages.py [FOLDER FOR PICTURES]

Pages in light, dark and 375 pixels wide, folds open; slides of 1280 x 720 pixels. Also tried: search and speaker notes.
"""

import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import TimeoutError as Waited
from playwright.sync_api import sync_playwright

BUILD = Path(__file__).resolve().parents[1] / "build"
QUIET = ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-component-update", "disable-sync")
VIEWS = {"light": (1280, 720), "dark": (1280, 720), "phone": (375, 812)}
SLIDES = "window.Reveal ? Reveal.getSlides().map(slide => Reveal.getIndices(slide)) : [null]"
# parts of a page that stick out at the right, parts of a slide that stick out anywhere
STICKING_OUT = """deck => [...document.querySelectorAll(deck ? 'section.present *' : 'article *')].filter(part => {
  const {right, bottom} = part.getBoundingClientRect(), scrolls = !deck && part.closest('pre, .cell_output, .pst-scrollable-table-container');
  return part.checkVisibility() && !scrolls && (right > innerWidth + 1 || (deck && bottom > innerHeight - 20));
}).map(part => `${part.tagName} ${part.textContent.trim().slice(0, 40)} sticks out`)"""
PICTURES = """() => [...document.images].filter(e => e.checkVisibility() && !(e.alt.trim() && e.naturalWidth))
  .map(e => `a picture without text, or that does not show: ${e.src.slice(-60)}`)"""
LINKS = "() => [...document.links].map(link => link.href).filter(href => href.startsWith('file:'))"


def open_page(browser, path, faults, view="light"):
    """A page; console errors, and whatever it asks the network for, are added to faults."""
    width, height = VIEWS[view]
    scheme = "dark" if view == "dark" else "light"
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.on("console", lambda message: message.type in ("error", "warning") and faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: request.url.startswith("http") and faults.append(f"asks for {request.url}"))
    page.goto(path.as_uri())
    return page


def look(page, deck):
    """What is wrong with a page, or with the slide that it shows."""
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    links = [Path(unquote(urlsplit(link).path)) for link in page.evaluate(LINKS)]
    # "empty-table-header" and "region" are advice: the corner of a table is empty, the theme's logo stands alone
    found = Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    return [
        *page.evaluate(STICKING_OUT, deck)[:1],
        *page.evaluate(PICTURES),
        *(f"leads nowhere: {link}" for link in links if not link.exists()),
        *(f"axe: {fault['help']}: {fault['nodes'][0]['html'][:150]}" for fault in serious),
    ]


def check(browser, path, pictures):
    """All faults of a page or a deck, as a list of sentences."""
    faults = []
    deck = BUILD / "slides" in path.parents
    for view in ["light"] if deck else VIEWS:
        page = open_page(browser, path, faults, view)
        for number, place in enumerate(page.evaluate(SLIDES), start=1):
            if place:
                page.evaluate("({h, v}) => Reveal.slide(h, v, 99)", place)
            faults += [f"{view} {number}: {fault}" for fault in look(page, deck)]
            if pictures:
                page.screenshot(path=f"{pictures}/{path.parent.name}_{path.stem}_{view}_{number:02}.png", full_page=True)
        page.context.close()
    return faults


def check_search_and_notes(browser):
    faults = []
    page = open_page(browser, BUILD / "site" / "index.html", faults)
    page.keyboard.press("Control+k")
    page.keyboard.type("dropout")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a", timeout=10_000)
    page = open_page(browser, min((BUILD / "slides" / "notebooks").glob("*.html")), faults)
    slide = "Reveal.getSlides().find(slide => slide.querySelector('aside.notes'))"
    page.evaluate(f"() => {{ const {{h, v}} = Reveal.getIndices({slide}); Reveal.slide(h, v); }}")
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    popup.value.wait_for_selector(".speaker-controls-notes .value p", timeout=10_000)
    return faults


def main():
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    paths = sorted(path for part in ("site", "slides") for path in (BUILD / part).rglob("*.html") if "_static" not in str(path))
    if program is None or not paths:
        sys.exit("The check needs Chromium (on Debian: apt-get install chromium), and what make site and make slides build.")
    count = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[f"--{option}" for option in QUIET])
        for path in paths:
            faults = check(browser, path, *sys.argv[1:2] or [None])
            count += len(faults)
            print(f"{path.relative_to(BUILD)}: {len(faults)} faults", *faults, sep="\n  ", flush=True)
        count += len(check_search_and_notes(browser))
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()

"""Open every page (light, dark, 375 pixels wide) and every slide in Chromium, offline, and print what is wrong."""

import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

BUILD = Path(__file__).resolve().parents[1] / "build"
QUIET = ("no-sandbox", "disable-gpu", "disable-quic", "disable-sync")  # what Playwright itself does not switch off
VIEWS = {"light": {}, "dark": {"color_scheme": "dark"}, "phone": {"viewport": {"width": 375, "height": 812}}}
# what runs in the page: the places of the slides; parts that stick out of the page or slide; pictures; links
SLIDES = "window.Reveal ? Reveal.getSlides().map(slide => Reveal.getIndices(slide)) : [null]"
STICKING_OUT = """deck => [...document.querySelectorAll(deck ? 'section.present *' : 'article *')].filter(part => {
  const edge = part.getBoundingClientRect(), scrolls = !deck && part.closest('pre, .cell_output, [class*=scroll]');
  return part.checkVisibility() && ((edge.right > innerWidth + 1 && !scrolls) || (deck && edge.bottom > 700));
}).map(part => `${part.tagName} ${part.textContent.trim().slice(0, 40)}`)"""
PICTURES = "[...document.images].filter(e => e.checkVisibility()).map(e => [e.src.slice(-60), e.alt, e.naturalWidth])"
LINKS = "[...document.links].map(link => link.href).filter(address => address.startsWith('file:'))"


def look(page, deck):
    """What is wrong with a page, or with the slide that it shows, as a list of sentences."""
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    page.evaluate("document.getAnimations().forEach(move => move.finish())")  # what fades in has little contrast
    faults = [f"sticks out: {part}" for part in page.evaluate(STICKING_OUT, deck)[:1]]
    blank = [name for name, alt, width in page.evaluate(PICTURES) if not (alt.strip() and width)]
    faults += [f"blank, or no text: {name}" for name in blank]
    paths = [Path(unquote(urlsplit(link).path)) for link in page.evaluate(LINKS)]
    faults += [f"leads nowhere: {path}" for path in paths if not path.exists()]
    found = Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    return faults + [f"axe: {fault['help']}: {fault['nodes'][0]['html'][:150]}" for fault in serious]


def check(browser, path):
    """All faults of a page or a deck."""
    deck, faults = "slides" in path.relative_to(BUILD).parts, []
    for view in ["light"] if deck else VIEWS:
        page = browser.new_context(offline=True, **VIEWS[view]).new_page()
        page.on("console", lambda message: message.type in ("error", "warning") and faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: request.url.startswith("http") and faults.append(f"asks for {request.url}"))
        page.goto(path.as_uri())
        for number, place in enumerate(page.evaluate(SLIDES), start=1):
            if place:
                page.evaluate("({h, v}) => Reveal.slide(h, v, 99)", place)
            faults.extend(f"{view} {number}: {fault}" for fault in look(page, deck))
        page.context.close()
    return faults


def main():
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    every = sorted([*BUILD.glob("site/**/*.html"), *BUILD.glob("slides/**/*.html")])
    paths = [path for path in every if "_static" not in path.parts]
    if program is None or not paths:
        sys.exit("The check needs Chromium (apt-get install chromium) and what make site and make slides build.")
    count = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[f"--{option}" for option in QUIET])
        for path in paths:
            faults = check(browser, path)
            print(f"{path.relative_to(BUILD)}: {len(faults)} faults", *faults, sep="\n  ", flush=True)
            count += len(faults)
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()

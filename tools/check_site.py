"""Open every page of the site in Chromium, without network: python tools/check_site.py

On a desktop, in the dark theme and on a phone of 390 pixels: no console error, no request for anything outside, a text
for every picture, folded answers that open, no sideways scrolling, every link and the search within reach of the
keyboard, and no serious fault that axe-core finds. --pictures FOLDER also stores pictures of the pages.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.browser import new_page, open_browser

PROJECT = Path(__file__).resolve().parent.parent
SITE = PROJECT / "build" / "site"
AXE = PROJECT / "build" / "npm" / "node_modules" / "axe-core" / "axe.min.js"

VISIBLE = "e => e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length"
PICTURES_WITHOUT_TEXT = """() => [...document.images].filter(i => !i.hasAttribute('alt') || (
  i.closest('article') && !i.alt.trim())).map(i => i.src.split('/').pop())"""
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
TOO_WIDE = """() => [...document.querySelectorAll('article *')].filter(e => {
  if (e.getBoundingClientRect().right <= innerWidth + 1) return false;
  for (let p = e; p; p = p.parentElement) if (getComputedStyle(p).overflowX !== 'visible') return false;
  return true; }).map(e => e.tagName + ': ' + e.textContent.trim().slice(0, 40)).slice(0, 3)"""
MARK_FOCUS = """() => { const e = document.activeElement; if (!e || e === document.body) return false;
  const again = e.dataset.reached; e.dataset.reached = 'yes'; return !again; }"""
UNREACHED = f"""() => [...document.querySelectorAll('a[href], button, input, summary')].filter({VISIBLE})
  .filter(e => !e.dataset.reached && !e.disabled && !e.closest('dialog:not([open])'))
  .map(e => e.tagName + ' ' + (e.textContent.trim() || e.getAttribute('href') || e.name).slice(0, 40))"""
RUN_AXE = """async () => (await axe.run(document, {resultTypes: ['violations'], preload: false})).violations
  .filter(v => ['serious', 'critical'].includes(v.impact))
  .map(v => `${v.id} (${v.nodes.length}): ${v.help}: ${v.nodes[0].html.slice(0, 120)}`)"""


def open_details(page):
    """Faults of the folded parts: each must open by the keyboard and show its content."""
    faults = []
    for number, fold in enumerate(page.query_selector_all("article details"), start=1):
        if fold.get_attribute("open") is None:
            fold.query_selector("summary").focus()
            page.keyboard.press("Enter")
        shown = fold.evaluate("d => d.open && d.clientHeight > d.querySelector('summary').clientHeight + 8")
        if not shown:
            faults.append(f"folded part {number} does not open")
    return faults


def reach_by_keyboard(page):
    """Links, buttons and fields that Tab does not lead to."""
    for _ in range(1000):
        page.keyboard.press("Tab")
        if not page.evaluate(MARK_FOCUS):
            break
    return [f"the keyboard does not reach {element}" for element in page.evaluate(UNREACHED)]


def try_search(browser, site, word):
    """Faults of the search: Ctrl+K, a word and Enter must lead to pages, without network."""
    faults = []
    page = new_page(browser, faults)
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("Control+k")
    page.keyboard.type(word)
    page.keyboard.press("Enter")
    try:
        page.wait_for_selector("#search-results li a", timeout=10_000)
    except Exception:
        faults.append(f'the search does not find "{word}"')
    page.context.close()
    return faults


def check_page(browser, path, pictures=None):
    """All faults of a page, as a list of sentences."""
    faults = []
    name = f"{path.parent.name}_{path.stem}"
    for view, width, dark in (("desktop", 1280, False), ("dark", 1280, True), ("phone", 390, False)):
        page = new_page(browser, faults, width=width, height=844 if width == 390 else 800, dark=dark)
        page.goto(path.as_uri())
        page.wait_for_load_state("load")
        if pictures:
            page.screenshot(path=pictures / f"{name}_{view}.png", full_page=True)
        found = [f"picture without text: {picture}" for picture in page.evaluate(PICTURES_WITHOUT_TEXT)]
        if width == 390:
            found += [f"scrolls sideways by {page.evaluate(SIDEWAYS)} pixels"] if page.evaluate(SIDEWAYS) > 0 else []
            found += [f"runs out of the phone: {element}" for element in page.evaluate(TOO_WIDE)]
        else:
            found += reach_by_keyboard(page)
        found += open_details(page)
        page.evaluate("() => Promise.all(document.getAnimations().map(animation => animation.finished))")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found += page.evaluate(RUN_AXE)
        faults += [f"{view}: {fault}" for fault in found]
        page.context.close()
    return list(dict.fromkeys(faults))


def main():
    parser = argparse.ArgumentParser(description="Check the site in Chromium.")
    parser.add_argument("folder", nargs="?", type=Path, default=SITE, help="where the site is: build/site")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of each page")
    arguments = parser.parse_args()
    site, pictures = arguments.folder.resolve(), arguments.pictures
    paths = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    if not paths or not AXE.exists():
        sys.exit("There is no site to check, or no axe-core in build/npm: run make check-site.")
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    failed = False
    with open_browser() as browser:
        for path in paths:
            faults = check_page(browser, path, pictures)
            print(f"{path.relative_to(site)}: {len(faults)} faults", flush=True)
            for fault in faults:
                print(f"  {fault}")
            failed = failed or bool(faults)
        for fault in try_search(browser, site, "dropout"):
            print(f"search: {fault}")
            failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

"""Open every deck in Chromium, without network, and look at each slide: python tools/check_slides.py

A slide must fit a screen of 1280 x 720 pixels, no line may run out of it, code must be 16 pixels high or more, every
picture needs a text, and key S must open the speaker notes. --pictures FOLDER also stores a picture of each slide.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.browser import new_page, open_browser

DECKS = Path(__file__).resolve().parent.parent / "build" / "slides"

MEASURE = """() => {
  const slide = Reveal.getCurrentSlide(), edge = slide.getBoundingClientRect();
  const shown = [...slide.querySelectorAll('*')].filter(e => !e.closest('aside') && e.getClientRects().length);
  const size = e => parseFloat(getComputedStyle(e).fontSize);
  const code = [...slide.querySelectorAll('pre')].filter(e => e.getClientRects().length);
  return {
    scale: Reveal.getScale(),
    bottom: Math.max(0, ...shown.map(e => e.getBoundingClientRect().bottom)),
    right: Math.max(0, ...shown.map(e => e.getBoundingClientRect().right), ...code.map(
      e => e.getBoundingClientRect().left + e.scrollWidth)),
    smallest: Math.min(99, ...code.map(size)) * Reveal.getScale(),
    withoutText: [...slide.querySelectorAll('img')].filter(e => !e.alt.trim()).length,
    blank: [...slide.querySelectorAll('img')].filter(e => !e.naturalWidth).length,
    undrawn: window.MathJax && [...slide.querySelectorAll('p, li, td')].some(e => e.textContent.includes('$')),
    words: slide.innerText.trim().split(/\\s+/).length + slide.querySelectorAll('img').length,
  };
}"""


def faults_of_slide(measured):
    """What is wrong with a slide, as a list of sentences; measured: the object that MEASURE gives."""
    checks = [
        (measured["bottom"] > 720, f"is {measured['bottom']:.0f} pixels high, 720 fit"),
        (measured["right"] > 1280, f"is {measured['right']:.0f} pixels wide, 1280 fit"),
        (measured["smallest"] < 16, f"has code of {measured['smallest']:.0f} pixels"),
        (measured["withoutText"], "has a picture without a text"),
        (measured["blank"], "has a picture that does not show"),
        (measured["undrawn"], "has a formula that is not drawn"),
        (not measured["words"], "is empty"),
    ]
    return [sentence for wrong, sentence in checks if wrong]


def check_notes(page):
    """Faults of the speaker view that key S opens, on a slide with notes."""
    page.evaluate("Reveal.slide(0, 0)")
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    view = popup.value
    view.wait_for_selector(".speaker-controls-notes", state="attached", timeout=10_000)
    with_notes = page.evaluate(
        "() => { const s = Reveal.getSlides().find(s => s.querySelector('aside.notes'));"
        "if (!s) return null; const i = Reveal.getIndices(s); Reveal.slide(i.h, i.v);"
        "return s.querySelector('aside.notes').innerText.trim().slice(0, 40); }"
    )
    if with_notes is None:
        return ["has no speaker notes"]
    try:
        view.wait_for_function(
            "text => document.querySelector('.speaker-controls-notes .value').textContent.includes(text)",
            arg=with_notes,
            timeout=10_000,
        )
    except Exception as error:
        return [f"the speaker view does not show the notes: {str(error).splitlines()[0]}"]
    return []


def check_deck(browser, path, pictures=None):
    """All faults of a deck, as a list of sentences, and the number of its slides."""
    faults = []
    page = new_page(browser, faults)
    page.goto(path.as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    page.evaluate("() => window.MathJax && MathJax.startup.promise")
    places = page.evaluate("Reveal.getSlides().map(s => Reveal.getIndices(s)).map(i => [i.h, i.v])")
    for number, (column, row) in enumerate(places, start=1):
        page.evaluate("([h, v]) => Reveal.slide(h, v, 99)", [column, row])
        faults += [f"slide {number} {fault}" for fault in faults_of_slide(page.evaluate(MEASURE))]
        if pictures:
            page.screenshot(path=pictures / f"{path.stem}_{number:02}.png")
    faults += check_notes(page)
    page.context.close()
    return faults, len(places)


def main():
    parser = argparse.ArgumentParser(description="Check the slides in Chromium.")
    parser.add_argument("folder", nargs="?", type=Path, default=DECKS, help="where the decks are: build/slides")
    parser.add_argument("--pictures", type=Path, help="a folder for a picture of each slide")
    arguments = parser.parse_args()
    pictures, paths = arguments.pictures, sorted(arguments.folder.resolve().glob("*.html"))
    if not paths:
        sys.exit("There are no decks to check: run make slides.")
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    failed = False
    with open_browser() as browser:
        for path in paths:
            faults, count = check_deck(browser, path, pictures)
            print(f"{path.stem}: {count} slides, {len(faults)} faults")
            for fault in faults:
                print(f"  {fault}")
            failed = failed or bool(faults)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

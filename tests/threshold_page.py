"""Drive the page "Try a threshold" in Chromium, and compare what it says with results/. After make site:

build/docs-venv/bin/python tests/threshold_page.py

How it looks, whether it can be read, and that it fetches nothing is the matter of docs/check_pages.py.
"""

import csv
import json
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "build" / "site" / "docs" / "threshold.html"
with (PROJECT / "results" / "kermany_predictions.csv").open(encoding="utf-8", newline="") as file:
    ROWS = [row for row in csv.DictReader(file) if row["split"] == "test"]
STORED = {
    run["model"]: run
    for run in json.loads((PROJECT / "results" / "kermany.json").read_text(encoding="utf-8"))
    if (run["split"], run["seed"]) == ("test", 0)
}
NUMBERS = ("found", "missed", "false-alarms", "cleared")


def expect(model, threshold):
    """The four numbers of the confusion matrix, from the stored probabilities."""
    own = [(row["label"] == "1", float(row["probability"]) >= threshold) for row in ROWS if row["model"] == model]
    return [own.count(cell) for cell in [(True, True), (True, False), (False, True), (False, False)]]


def read(page, name):
    return page.locator(f"#{name}").inner_text()


def check_model(page, model):
    """Move the slider by keyboard to five places, and compare every number that the page shows."""
    page.select_option("#model", model)
    steps = [("Home", 1, 0.0), ("ArrowRight", 30, 0.3), ("ArrowRight", 20, 0.5), ("PageUp", 2, None), ("End", 1, 1.0)]
    for key, times, threshold in steps:
        page.focus("#threshold")
        for _ in range(times):
            page.keyboard.press(key)
        place = float(page.input_value("#threshold"))
        assert threshold is None or place == threshold, (key, place)
        found, missed, false, cleared = numbers = expect(model, place)
        assert [int(read(page, name)) for name in NUMBERS] == numbers, (model, place)
        sensitivity, specificity = found / (found + missed), cleared / (cleared + false)
        shown = [float(read(page, name)) for name in ("sensitivity", "specificity", "accuracy")]
        right = [sensitivity, specificity, (found + cleared) / sum(numbers)]
        assert max(abs(a - b) for a, b in zip(shown, right, strict=True)) < 0.001, (model, place)
        if place == 0.5:
            assert abs(shown[2] - STORED[model]["accuracy"]) < 0.004, model
            assert "no image changes sides" in read(page, "changed") and page.locator("#images figure").count() == 0
        for percent in (1, 10, 50):
            page.fill("#prevalence", str(percent))
            true, wrong = sensitivity * percent, (1 - specificity) * (100 - percent)
            said = read(page, "true-alarms")
            assert (said == "no alarms") if not true + wrong else abs(float(said) - 100 * true / (true + wrong)) <= 0.51
        x, y = page.evaluate("(({x, y}) => [x[0], y[0]])(document.getElementById('roc').data[2])")
        assert max(abs(x - 1 + specificity), abs(y - sensitivity)) < 1e-9
        check_images(page, model, place)


def check_images(page, model, threshold):
    """The images that change sides are those between the threshold and .5; every fourth is shown."""
    own = [(number, row) for number, row in enumerate(r for r in ROWS if r["model"] == model)]
    changed = [n for n, row in own if (float(row["probability"]) >= threshold) != (float(row["probability"]) >= 0.5)]
    if changed:
        assert f" {len(changed)} of {len(own)} images change sides" in read(page, "changed")
    shown = page.locator("#images [role=img]").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    assert shown == [f"X-ray of test image {number + 1}" for number in changed if number % 4 == 0]


def main():
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None or not PAGE.exists():
        sys.exit("The test needs Chromium (apt-get install chromium) and what make site builds.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        phone = {"viewport": {"width": 375, "height": 812}, "has_touch": True}
        page, faults = browser.new_context(offline=True, **phone).new_page(), []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(PAGE.as_uri())
        models = page.locator("#model option").evaluate_all("all => all.map(option => option.value)")
        assert set(models) == set(STORED), models
        for model in models:
            check_model(page, model)
        page.set_viewport_size({"width": 812, "height": 375})  # somebody turns the phone
        page.wait_for_timeout(1000)
        assert page.locator("#roc").bounding_box()["height"] > 300
        assert page.locator("#roc svg.main-svg").first.bounding_box()["width"] > 300
        assert not faults, faults
        browser.close()
    print(f"{len(STORED)} models passed")


if __name__ == "__main__":
    main()

"""Chromium for the checks of slides and site: pages from disk, nothing from the network."""

import shutil
import sys
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def open_browser():
    """A headless browser. Ends the program with a sentence where none is installed."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        sys.exit("The check needs Chromium or Chrome: install it, on Debian with apt-get install chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


def new_page(browser, faults, width=1280, height=720, dark=False):
    """A page that writes console errors and requests for anything that is not a file here into the list `faults`."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", offline=True
    )

    def watch(page):
        page.on("console", lambda message: note_error(message, faults))
        page.on("pageerror", lambda error: faults.append(f"script error: {error}"))

    def answer(route):
        if route.request.url.startswith(("file:", "data:", "blob:", "about:")):
            route.continue_()
        else:
            faults.append(f"asks the network for {route.request.url}")
            route.abort()

    context.on("page", watch)
    context.route("**/*", answer)
    return context.new_page()


def note_error(message, faults):
    if message.type in ("error", "warning"):
        faults.append(f"console {message.type}: {message.text}")

# SPDX-License-Identifier: Apache-2.0
"""Chromium for tests of pages: which one, and what a loaded page has done wrong."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: pages are not loaded in a browser")


@contextmanager
def running():
    """A browser, ended with the context."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


# Charts are drawn when they come into sight: all of them, wherever they are.
_DRAW_ALL = """async () => {
  dispatchEvent(new Event("beforeprint"));
  const left = () => [...document.querySelectorAll(".sb-plot")].some((plot) => !("drawn" in plot.dataset));
  while (left()) await new Promise((resolve) => setTimeout(resolve, 20));
}"""


@contextmanager
def opened(browser, path, width=1280, scheme="light", draws=True):
    """A page of a file, and its problems: scripts' errors and warnings, what its policy forbade, what it would load."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.set_default_timeout(120_000)  # a loaded computer takes its time
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or problems.append(request.url))
    page.goto(path.as_uri() if hasattr(path, "as_uri") else path)
    if draws:
        draw_all(page)
    yield page, problems
    page.close()


def draw_all(page):
    """Has all charts drawn that are not, and waits for them."""
    page.evaluate(_DRAW_ALL)


def point_at(page, mark):
    """Moves the mouse to a mark of a chart until what it says is shown; a chart that is just drawn anew misses it."""
    tooltip = page.locator("#vg-tooltip-element.visible")
    for _ in range(1000):
        page.mouse.move(0, 0)
        mark.hover()
        if tooltip.count():
            return
        page.wait_for_timeout(50)
    raise AssertionError("nothing is shown for who points at a mark")

"""A page in a real browser, for tests with the marker `browser`."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def browser() -> Iterator[Any]:
    """Chromium, headless, without network."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


def visit(browser: Any, file: Path, width: int = 1200, scheme: str = "light") -> tuple[Any, list[str]]:
    """The page in a new window, and the list to which its errors are added; without network."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    opened, errors = context.new_page(), []
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("dialog", lambda dialog: (errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    opened.on("request", lambda request: errors.append(request.url) if request.url.startswith("http") else None)
    opened.goto(file.as_uri())
    opened.wait_for_selector("[data-plot] .main-svg", state="attached")
    return opened, errors

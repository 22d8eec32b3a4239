"""The pages of the Dagster UI in a real browser. With URGENCY_PICTURES=1, its pictures go to `docs/images/`."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

PICTURES = Path(__file__).parents[2] / "docs" / "images"
BROWSERS = ("chromium", "google-chrome")
WAIT_MS = 60_000
"""Maximum milliseconds until a page shows something: the UI asks the server every few seconds."""

RELOAD_MS = 5_000

COLOURS = 128


class Pages:
    """The pages of one UI.

    Attributes:
        page: the page of the browser.
        hosts: the hosts that the pages asked for something.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page, self._address = page, address
        self.hosts: set[str | None] = set()
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))

    def asset(self, name: str, view: str = "overview", partition: str = "") -> Page:
        """Opens a view of the page of an asset, such as `partitions`, and waits for it."""
        selected = f"&partition={quote(partition)}" if partition else ""
        self.page.goto(f"{self._address}/assets/{name}?view={view}{selected}")
        self.sees(name)
        return self.page

    def run(self, run_id: str) -> None:
        """Opens the page of a run."""
        self.page.goto(f"{self._address}/runs/{run_id}")

    def sees(self, text: str | re.Pattern[str]) -> Locator:
        """Waits for a visible text, and returns where it is."""
        found = self.page.get_by_text(text).locator("visible=true").first
        expect(found).to_be_visible(timeout=WAIT_MS)
        return found

    def sees_in_time(self, text: str | re.Pattern[str]) -> Locator:
        """Waits for a text that comes later. The page does not ask for a first event, so it is opened again."""
        found = self.page.get_by_text(text).locator("visible=true").first
        deadline = time.monotonic() + WAIT_MS / 1000
        while not found.is_visible():
            assert time.monotonic() < deadline, self.page.inner_text("body")
            self.page.reload()
            self.page.wait_for_timeout(RELOAD_MS)
        return found

    def sees_picture(self) -> float:
        """Opens the first picture of the page's metadata, and returns its width in pixels."""
        self.sees("[Show Markdown]").click()
        picture = self.page.locator("img[src^='data:image/png']").first
        expect(picture).to_be_visible(timeout=WAIT_MS)
        return float(picture.evaluate("picture => picture.naturalWidth"))

    def keep(self, name: str) -> None:
        """Writes what the browser shows to `docs/images/`, when the pictures are asked for."""
        if os.environ.get("URGENCY_PICTURES"):
            from PIL import Image

            file = PICTURES / f"{name}.png"
            self.page.screenshot(path=file)
            Image.open(file).convert("RGB").quantize(COLOURS).save(file, optimize=True)


@contextmanager
def browsing(address: str) -> Iterator[Pages]:
    """Opens a browser; skips the test where there is none."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_file(), args=without_sandbox())
        page = browser.new_page(viewport={"width": 1400, "height": 900}, locale="en-GB")
        page.set_default_timeout(WAIT_MS)
        yield Pages(page, address)
        browser.close()


def browser_file() -> str:
    """The program of a browser; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"there is no browser to see the pages: none of {', '.join(BROWSERS)} is installed")
    return found


def without_sandbox() -> list[str]:
    """The options of a browser that root starts."""
    return ["--no-sandbox"] if os.geteuid() == 0 else []

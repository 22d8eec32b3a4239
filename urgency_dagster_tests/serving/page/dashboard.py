"""The dashboard in a browser, as a reader uses it."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, Response, expect

import urgency_dagster.serving
from urgency_dagster_tests.defs.browsing import WAIT_MS

PAGE = Path(urgency_dagster.serving.__file__).with_name("page")
LOCALES = {"ko": "ko-KR", "en": "en-GB"}


def words_of(language: str) -> dict[str, str]:
    """The sentences of the page in a language."""
    text = (PAGE / "scripts" / "words" / f"{language}.js").read_text(encoding="utf-8")
    words: dict[str, str] = json.loads(text.partition("export default")[2].rstrip().rstrip(";"))
    return words


class Dashboard:
    """One open page.

    Attributes:
        page: the page of the browser.
        errors: what the console and the scripts said was wrong.
        hosts: the hosts that the page asked for something.
    """

    def __init__(self, page: Page, language: str) -> None:
        self.page, self._words = page, words_of(language)
        self.errors: list[str] = []
        self.hosts: set[str | None] = set()
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda said: self.errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._note(request.url))
        page.on("websocket", lambda socket: self._note(socket.url))

    @classmethod
    def open(cls, browser: Browser, address: str, language: str, **context: Any) -> "Dashboard":
        """Opens a page in a browser of a language."""
        options = {"viewport": {"width": 1400, "height": 900}, "permissions": ["microphone"], **context}
        opened = browser.new_context(locale=LOCALES[language], **options)
        dashboard = cls(opened.new_page(), language)
        dashboard.page.goto(address)
        return dashboard

    def _note(self, url: str) -> None:
        if not url.startswith(("blob:", "data:")):
            self.hosts.add(urlsplit(url).hostname)

    def say(self, key: str, **values: object) -> str:
        """A sentence of the page."""
        return re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), self._words[key])

    def button(self, key: str) -> Locator:
        return self.page.get_by_role("button", name=self.say(key), exact=True)

    def go(self, view: str) -> None:
        """Opens a view by its link."""
        self.page.get_by_role("link", name=self.say(f"nav.{view}"), exact=True).click()

    def sees(self, text: str) -> Locator:
        """Waits for a visible text."""
        found = self.page.get_by_text(text).locator("visible=true").first
        expect(found).to_be_visible(timeout=WAIT_MS)
        return found

    def analyse(self, audio: Path, turns: Path | None = None) -> Response:
        """Uploads a recording; returns the answer of the server once the page shows it."""
        self.page.set_input_files("#file-audio", audio)
        if turns:
            self.page.set_input_files("#file-turns", turns)
        with self.page.expect_response("**/v1/calls*") as answered:
            self.button("intake.analyse").click()
        expect(self.page.locator(".player button")).to_be_enabled(timeout=WAIT_MS)
        return answered.value

    @property
    def rows(self) -> Locator:
        """The rows of the table of utterances."""
        return self.page.locator(".utterances tbody tr")

    def cells(self) -> list[list[str]]:
        """The texts of the table of utterances."""
        return [row.locator("th, td").all_inner_texts() for row in self.rows.all()]

    def wait_for_rows(self, count: int) -> None:
        expect(self.rows).to_have_count(count, timeout=WAIT_MS)

"""The site: complete, and readable without a connection."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs.generate.hooks import MARKER, PARTS
from urgency_dagster_tests.docs.markdown import PAGES

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""The attribute of each tag by which a browser loads something. A `link` to the author of the theme is none."""


class Loads(HTMLParser):
    """Collects the addresses that a browser loads for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(LOADED.get(tag, ""))
        if address:
            self.addresses.append(address)


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[str, str]:
    return {file.stem: file.read_text(encoding="utf-8") for file in site.glob("*.html")}


def test_every_page_is_built_and_in_the_navigation(pages: dict[str, str]) -> None:
    assert {page.stem for page in PAGES} <= pages.keys()
    missing = {page.stem for page in PAGES if f'href="{page.stem}.html"' not in pages["getting-started"]}
    assert missing == set()


def test_a_page_loads_nothing_from_other_hosts(pages: dict[str, str]) -> None:
    parser = Loads()
    for html in pages.values():
        parser.feed(html)
    assert parser.addresses
    assert [address for address in parser.addresses if re.match(r"(https?:)?//", address)] == []


def test_style_sheets_load_nothing_from_other_hosts(site: Path) -> None:
    sheets = [file.read_text(encoding="utf-8") for file in site.rglob("*.css")]
    assert len(sheets) >= 3
    assert [address for sheet in sheets for address in re.findall(r"url\((https?:[^)]*)\)|@import", sheet)] == []


def test_every_loaded_file_is_there(site: Path, pages: dict[str, str]) -> None:
    pages = {name: html for name, html in pages.items() if name != "404"}  # its addresses are those of a server
    parser = Loads()
    for html in pages.values():
        parser.feed(html)
    assert [address for address in parser.addresses if not (site / address.partition("?")[0]).is_file()] == []


def test_the_search_works_from_the_file_system(site: Path, pages: dict[str, str]) -> None:
    """A browser starts no worker from file://. A shim and the index as a script take its place."""
    assert "javascripts/iframe-worker.js" in pages["index"]
    index = json.loads((site / "search" / "search_index.js").read_text(encoding="utf-8").removeprefix("var __index = "))
    assert {page.stem for page in PAGES} <= {Path(entry["location"].partition("#")[0]).stem for entry in index["docs"]}


def test_every_part_is_generated_once(pages: dict[str, str]) -> None:
    sources = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert sorted(MARKER.findall(sources)) == sorted(PARTS)
    assert [name for name, html in pages.items() if "<!-- generate" in html] == []


def test_the_tools_are_not_on_the_site(site: Path) -> None:
    assert list(site.rglob("*.py")) == []

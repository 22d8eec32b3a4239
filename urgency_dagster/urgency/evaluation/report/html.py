"""The report as one HTML page: pictures are inside it, nothing is loaded, no script runs."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from markdown_it.token import Token

STYLE = """
body { font-family: system-ui, sans-serif; line-height: 1.5; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 0.9rem; }
th, td { border: 1px solid #8a8f98; padding: 0.2rem 0.5rem; text-align: left; }
th { background: #eef1f5; color: #1b1f24; }
img { max-width: 100%; height: auto; }
code { overflow-wrap: anywhere; }
"""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The content security policy of the page. A browser then runs no script and loads nothing."""


def html_page(markdown: str, title: str, folder: Path) -> str:
    """The page of a report.

    Markup in the Markdown's text is shown and not obeyed: a name of a class or an archive comes from a file of others.

    Args:
        markdown: the report.
        title: the title of the page, plain text.
        folder: the folder of its pictures.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink"])
    tokens = parser.parse(markdown)
    files = {file.name: file for file in folder.glob("*.png")}
    for picture in _pictures(tokens):
        if file := files.get(str(picture.attrs["src"])):
            picture.attrs["src"] = f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"
        else:  # no picture of the report: a name looks like one
            picture.type, picture.children = "text", None
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
{parser.renderer.render(tokens, parser.options, {})}</body>
</html>
"""


def _pictures(tokens: "Iterable[Token]") -> "Iterable[Token]":
    for token in tokens:
        if token.type == "image":
            yield token
        yield from _pictures(token.children or ())

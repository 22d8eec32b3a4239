"""Reports and pictures as Markdown on the page of an asset.

The UI loads nothing from elsewhere: pictures are in the page, and links and markup of a report have no effect. Names in
a report can come from an untrusted file.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg

from urgency_dagster.urgency import draw_history

PICTURE = re.compile(r"!\[([\w ,.-]*)\]\(([\w-]+\.png)\)")
"""A line that shows a picture which lies beside the report."""

LINK = re.compile(r"\[([\w-]+\.md)\]\(\1\)")
"""A link to another report in the same folder."""


def report_page(report: Path) -> dg.MarkdownMetadataValue:
    """A stored report with its pictures.

    Args:
        report: the Markdown file. Its pictures lie in the same folder.
    """
    lines = report.read_text(encoding="utf-8").splitlines()
    return dg.MetadataValue.md("\n".join(_line(line, report.parent) for line in lines))


def _line(line: str, folder: Path) -> str:
    picture = PICTURE.fullmatch(line.strip())
    if picture and (folder / picture[2]).is_file():
        return _embedded(folder / picture[2])
    return LINK.sub(r"\1", line).replace("](", "] (").replace("<", "&lt;")


def pictures(*files: Path) -> dg.MarkdownMetadataValue:
    """PNG files as data URLs inside the page, so that the UI needs no other server."""
    return dg.MetadataValue.md("\n\n".join(map(_embedded, files)))


def history_picture(history: Sequence[Mapping[str, Any]], side: str) -> dg.MarkdownMetadataValue:
    """The scores of the epochs of a training, on the side that chose the best one, as a picture."""
    with TemporaryDirectory() as folder:
        drawing = Path(folder, "history.png")
        draw_history(drawing, history, side)
        return pictures(drawing)


def _embedded(file: Path) -> str:
    return f"![{file.stem}](data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()})"

"""Reading Markdown: headings, tables, code blocks, links and code spans."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(name: str) -> str:
    """The text of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return [code for name, code in BLOCK.findall(text) if name == language]


def prose(text: str) -> str:
    """The text without its code blocks."""
    return BLOCK.sub("", text)


def headings(text: str) -> list[int]:
    """The level of each heading, in order."""
    return [len(marks) for marks in re.findall(r"^(#+) ", prose(text), flags=re.MULTILINE)]


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each row of each table, without its line of dashes."""
    found = re.findall(r"(?:^\|.*\|\n?)+", prose(text), flags=re.MULTILINE)
    return [[_cells(line) for line in table.splitlines() if not set(line) <= set("|- :")] for table in found]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def code_spans(text: str) -> list[str]:
    """The text between backticks, outside of code blocks."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def links(text: str) -> list[str]:
    """The target of each link and picture."""
    return re.findall(r"\]\(([^)]+)\)", prose(text))


def without_comments(code: str) -> list[str]:
    """The lines of code, each without its comment."""
    lines = [re.sub(r"\s+# .*", "", line).rstrip() for line in code.splitlines()]
    return [line for line in lines if line]

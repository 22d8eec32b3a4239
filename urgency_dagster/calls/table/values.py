"""Values of a label in other spellings: what is unambiguous is read; the rest is shown in the reject row.

A class value, a number and a time are no personal data, so they can be shown. The text of an utterance is never shown,
and of other texts only short ones, because a longer text can be one that slipped into the wrong field.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from urgency_dagster.tables import CALL_TAKER, CALLER

DECIMAL_TEXT = re.compile(r"\s*[+-]?[0-9]{1,19}\.[0-9]{1,19}\s*", re.ASCII)
"""A decimal number in a text, such as `"700.25"`."""

TIME_LIKE = re.compile(r"[0-9:.,+\-TZ\s]*", re.ASCII)
"""A text that can be shown as a number or a time: it has no letters of a language."""

SPEAKERS = {"접수자": CALL_TAKER, "수보자": CALL_TAKER, "신고자": CALLER}
"""Words for the two roles of a 119 call. The data set itself writes 0 and 1."""

MAX_SHOWN_LETTERS = 20
"""Maximum characters of a text that is shown. The longest class of the data set has 7."""

UNSEEN = ("Cc", "Cf")
"""Unicode's categories of control and format characters, such as the zero-width space."""

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair. JSON can contain one (`\\ud800`), but UTF-8 cannot encode it."""


def folded(value: str) -> str:
    """A key that is equal for two spellings of a class: other normalisation, white space, or invisible characters."""
    composed = unicodedata.normalize("NFKC", value)
    return "".join(letter for letter in composed if not letter.isspace() and unicodedata.category(letter) not in UNSEEN)


def known_class(value: Any, known: Sequence[str]) -> str | None:
    """The class that a value names in any spelling, or None. A number names none: two id orders are in use."""
    names = {folded(name): name for name in known}
    return names.get(folded(value)) if isinstance(value, str) else None


def rounded(value: Any) -> Any:
    """A number with a fraction, rounded to the nearest integer. Other values stay as they are."""
    if isinstance(value, str) and DECIMAL_TEXT.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and abs(value) < float(1 << 63):  # false for NaN
        return round(value)
    return value


def role(value: Any) -> Any:
    """The number of a speaker that is written as a word. Other values stay as they are."""
    return SPEAKERS.get(folded(value), value) if isinstance(value, str) else value


def key_text(value: Any) -> Any:
    """An id as text: an integer is cast, and `{"$oid": …}`, the notation of MongoDB, is unpacked.

    Other values stay as they are.
    """
    if isinstance(value, dict) and value.keys() == {"$oid"}:
        value = value["$oid"]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def shown_class(value: Any) -> str:
    """A class value for the reject row."""
    is_short = isinstance(value, str) and len(value) <= MAX_SHOWN_LETTERS
    return json.dumps(_printable(value), ensure_ascii=False) if is_short else shown(value)


def shown(value: Any) -> str:
    """A value for the reject row: numbers and times in full, otherwise the type alone."""
    if isinstance(value, str | int | float):
        has_no_words = not isinstance(value, str) or TIME_LIKE.fullmatch(value)
        if has_no_words and len(number := json.dumps(value)) <= MAX_SHOWN_LETTERS:
            return number
    return kind(value)


def kind(value: Any) -> str:
    """The type of a JSON value, in words."""
    return f"a text of {len(value)} characters" if isinstance(value, str) else TYPES[type(value)]


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


TYPES = {
    type(None): "null",
    bool: "a truth value",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}
"""The names of JSON's types."""

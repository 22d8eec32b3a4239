"""Parsing of label JSON files into typed calls and utterances.

Source: the label format of AI Hub data set 71768.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from urgency_dagster.calls.table.values import LONE_SURROGATE, key_text, kind, role, rounded, shown
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.errors import LabelError

MAX_LABEL_BYTES = 4 << 20
"""Maximum bytes of a label file. Labels of the data set have about 10 kB; parsed JSON can take 30 times its size."""

TEXT_FIELD, FIELD_CHARACTERS = re.compile(r'"text"\s{0,8}:'), 24
"""A field that every utterance has and nothing else in a label file, and more characters than it takes."""

PIECE_CHARACTERS = 1 << 20
"""Characters that are read at a time to count utterances."""

MAX_UTTERANCES = 10_000
"""Maximum utterances of a call. The longest calls of the data set have 180 s and some hundred utterances."""

MAX_LISTED = 100_000
"""Maximum utterances that are counted of a rejected call. An utterance with its four fields has 42 bytes or more, so a
label file of MAX_LABEL_BYTES holds fewer. A longer list holds something else, and a row for each would fill the memory.
"""


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a truth value is not a number")  # noqa: TRY004 - pydantic reports ValueErrors only
    return value


def _composed(value: str) -> str:
    if LONE_SURROGATE.search(value):
        raise ValueError("half of a surrogate pair is not a character")
    return unicodedata.normalize("NFC", value)


def _text_or_none(value: Any) -> str | None:
    is_text = isinstance(value, str) and not LONE_SURROGATE.search(value)
    return unicodedata.normalize("NFC", value).strip() if is_text else None


Number = Annotated[int, BeforeValidator(_no_bool), Field(ge=-(1 << 63), lt=1 << 63)]
"""An int64, written as an integer, an integral float or a numeric text. All three occur in real labels."""

Milliseconds = Annotated[Number, BeforeValidator(rounded)]
"""A time. A fraction of a millisecond is rounded, because the tables hold whole ones."""

Role = Annotated[Number, BeforeValidator(role)]
"""A speaker, also as a word."""

Text = Annotated[str, AfterValidator(_composed)]
"""A text in NFC. A copy from macOS can have decomposed Hangul, which tokenizers do not know."""

Attribute = Annotated[str | None, BeforeValidator(_text_or_none)]
"""A text about the whole call. Any other type counts as missing."""

MAX_ID_LENGTH = 200
"""Maximum characters of an id. Ids of the data set have at most 24."""

Key = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_ID_LENGTH),
    BeforeValidator(key_text),
]
"""An id, also as an integer or in MongoDB's notation."""


class Utterance(BaseModel):
    """One labelled utterance. `start_ms` and `end_ms` are relative to the start of the recording; None if missing."""

    model_config = ConfigDict(frozen=True)

    id: Key
    text: Text
    start_ms: Milliseconds | None = Field(default=None, alias="startAt")
    end_ms: Milliseconds | None = Field(default=None, alias="endAt")
    speaker: Role | None = None


class CallLabel(BaseModel):
    """The labels of one call. There is no field `address`, so parsing drops it.

    `urgency` and `sentiment` are as the label has them, see `values.known_class`.
    """

    model_config = ConfigDict(frozen=True)

    id: Key = Field(alias="_id")
    urgency: Any = Field(default=None, alias="urgencyLevel")
    sentiment: Any = None
    gender: Attribute = None
    disaster_large: Attribute = Field(default=None, alias="disasterLarge")
    disaster_medium: Attribute = Field(default=None, alias="disasterMedium")
    utterances: Annotated[tuple[Any, ...], Field(max_length=MAX_UTTERANCES)]


@dataclass(frozen=True)
class BadUtterance:
    """An invalid entry of `utterances`. `id` is its own id, or `#<position>` without one."""

    id: str
    reason: RejectReason
    detail: str


def parse_label(data: bytes) -> CallLabel:
    """Parses a label file.

    Args:
        data: JSON in UTF-8, UTF-16, UTF-32 or CP949, with or without BOM.

    Raises:
        LabelError: the bytes are in another encoding, not JSON, or not an object with `_id` and at most
            MAX_UTTERANCES `utterances`.
    """
    try:
        return CallLabel.model_validate(json.loads(_decode(data)))
    except ValidationError as error:
        fields = sorted({_wrong_field(item) for item in error.errors()})
        raise LabelError(f"wrong or missing: {', '.join(fields)}", "a call object") from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise LabelError(
            f"not readable JSON ({type(error).__name__})", "a JSON object in UTF-8, UTF-16 or CP949"
        ) from error


def _wrong_field(item: Mapping[str, Any]) -> str:
    """A field that pydantic refused, with its value if that can be shown. A text of a call never is."""
    name = ".".join(map(str, item["loc"])) or "the file"
    if item["type"] == "missing":
        return name
    if item["type"] == "too_long":
        return f"{name} ({len(item['input'])} of at most {MAX_UTTERANCES})"
    return f"{name} ({kind(item['input']) if name == 'text' else shown(item['input'])})"


def read_label(path: Path) -> bytes:
    """Reads a label file.

    Raises:
        LabelError: the file is larger than MAX_LABEL_BYTES, so parsing it could exhaust the memory. Its utterances are
            counted without parsing.
    """
    size_bytes = path.stat().st_size
    if size_bytes > MAX_LABEL_BYTES:
        received = f"a label of {size_bytes} bytes and {_count_utterances(path)} utterances"
        raise LabelError(received, f"at most {MAX_LABEL_BYTES} bytes")
    return path.read_bytes()


def _count_utterances(path: Path) -> int:
    """The number of TEXT_FIELDs in a file, read in pieces. Inside a text, the quotes of one would be escaped."""
    count, rest = 0, ""
    with path.open("rb") as stream:
        encoding = json.detect_encoding(stream.read(4))
    with path.open(encoding=encoding, errors="replace") as text:
        while piece := text.read(PIECE_CHARACTERS):
            rest += piece
            count += len(found := [*TEXT_FIELD.finditer(rest)])
            # A field can be cut by the end of a piece. What was counted is not kept.
            rest = rest[max(found[-1].end() if found else 0, len(rest) - FIELD_CHARACTERS) :]
    return count


def _decode(data: bytes) -> str:
    """The text of a label file, without byte order marks and the zero bytes that some copying tools append."""
    try:
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        text = data.decode("cp949")
    return text.lstrip("\ufeff").rstrip("\0")


def labelled_entries(data: bytes) -> Sequence[Any]:
    """The entries of `utterances` in the label file of a rejected call.

    Empty if they cannot be read, or are more than MAX_LISTED.
    """
    try:
        label = json.loads(_decode(data))
    except (UnicodeDecodeError, ValueError, RecursionError):
        return []
    entries = label.get("utterances") if isinstance(label, dict) else None
    return entries if isinstance(entries, list) and len(entries) <= MAX_LISTED else []


def parse_utterances(entries: Sequence[Any]) -> tuple[list[Utterance], list[BadUtterance]]:
    """Validates the entries of a call; returns the valid utterances in label order, and the invalid entries.

    All utterances with the same id are invalid, because the correct one is unknown.
    """
    good, bad = [], []
    for position, entry in enumerate(entries):
        try:
            good.append(Utterance.model_validate(entry))
        except ValidationError as error:
            bad.append(_bad_entry(position, entry, error))
    copies = Counter(utterance.id for utterance in good)
    bad += [
        BadUtterance(utterance.id, RejectReason.BAD_UTTERANCE, "id occurs twice in its call")
        for utterance in good
        if copies[utterance.id] > 1
    ]
    return [utterance for utterance in good if copies[utterance.id] == 1], bad


def _bad_entry(position: int, entry: Any, error: ValidationError) -> BadUtterance:
    names = {str(item["loc"][0]) for item in error.errors() if item["loc"]}
    reason = RejectReason.BAD_TIMES if names and names <= {"startAt", "endAt"} else RejectReason.BAD_UTTERANCE
    own_id = _text_or_none(key_text(entry.get("id"))) if isinstance(entry, dict) else None
    shown_id = (own_id or "").strip()[:MAX_ID_LENGTH] or f"#{position}"
    fields = sorted({_wrong_field(item) if item["loc"] else "the entry" for item in error.errors()})
    return BadUtterance(shown_id, reason, f"wrong or missing: {', '.join(fields)}")

"""A label JSON becomes a typed call. Audio is not looked at here.

Source: the label format of AI Hub data set 71768.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from urgency_dagster.errors import LabelError
from urgency_dagster.tables import RejectReason


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a truth value is not a number")  # noqa: TRY004 - pydantic reports ValueErrors only
    return value


Milliseconds = Annotated[int, BeforeValidator(_no_bool)]
"""An int, an integral float or a numeric text; all three occur in copies."""

Key = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Utterance(BaseModel):
    """One labelled utterance. `start_ms` and `end_ms` count from the start of the recording; None when missing."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    id: Key
    text: str
    start_ms: Milliseconds | None = Field(default=None, alias="startAt")
    end_ms: Milliseconds | None = Field(default=None, alias="endAt")
    speaker: Milliseconds | None = None


class CallLabel(BaseModel):
    """The labels of one call. `address` is not a field: it is dropped by parsing."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    id: Key = Field(alias="_id")
    urgency: str | None = Field(default=None, alias="urgencyLevel")
    sentiment: str | None = None
    gender: str | None = None
    disaster_large: str | None = Field(default=None, alias="disasterLarge")
    disaster_medium: str | None = Field(default=None, alias="disasterMedium")
    utterances: tuple[Any, ...]


@dataclass(frozen=True)
class BadUtterance:
    """An entry of `utterances` that is not an utterance; `id` is its own or `#<position>`."""

    id: str
    reason: RejectReason
    detail: str


def parse_label(data: bytes) -> CallLabel:
    """The call in a label file: UTF-8 with or without BOM, else CP949.

    Raises:
        LabelError: the bytes are neither encoding, not JSON, or not an object with `_id` and `utterances`.
    """
    try:
        return CallLabel.model_validate(json.loads(_decode(data)))
    except ValidationError as error:
        fields = sorted({".".join(map(str, item["loc"])) or "the file" for item in error.errors()})
        raise LabelError(f"wrong or missing: {', '.join(fields)}", "a call object") from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise LabelError(f"not readable JSON ({type(error).__name__})", "a JSON object in UTF-8 or CP949") from error


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp949")


def parse_utterances(call: CallLabel) -> tuple[list[Utterance], list[BadUtterance]]:
    """The utterances of a call in label order, and the entries that are none.

    Ids that occur more than once are bad in every copy, because nothing tells which one is meant.
    """
    good, bad = [], []
    for position, entry in enumerate(call.utterances):
        try:
            good.append(Utterance.model_validate(entry))
        except ValidationError as error:
            bad.append(_bad_entry(position, entry, error))
    ids = [utterance.id for utterance in good]
    repeated = {id_ for id_ in ids if ids.count(id_) > 1} if len(set(ids)) < len(ids) else set()
    bad += [
        BadUtterance(id_, RejectReason.BAD_UTTERANCE, "id occurs twice in its call") for id_ in ids if id_ in repeated
    ]
    return [utterance for utterance in good if utterance.id not in repeated], bad


def _bad_entry(position: int, entry: Any, error: ValidationError) -> BadUtterance:
    fields = {str(item["loc"][0]) for item in error.errors() if item["loc"]}
    reason = RejectReason.BAD_TIMES if fields and fields <= {"startAt", "endAt"} else RejectReason.BAD_UTTERANCE
    own_id = entry.get("id") if isinstance(entry, dict) else None
    # The position stands in for an id that is missing or no text; values are never quoted, they may be call text.
    shown = own_id.strip() if isinstance(own_id, str) and own_id.strip() else f"#{position}"
    return BadUtterance(shown, reason, f"wrong or missing: {', '.join(sorted(fields)) or 'the entry'}")

"""The columns of the tables that people read."""

from typing import Any

from docs.generate.tables import table
from urgency_dagster.calls import ProsodyConfig, prosody_schema
from urgency_dagster.scoring import MONITORED_CALLS, RECORDINGS, SCORED_CALLS, SCORED_UTTERANCES

DESCRIPTION, UNIT = b"description", b"unit"


def prosody_columns() -> str:
    """The feature columns of `prosody.parquet` with unit and meaning."""
    fields = [field for field in prosody_schema(ProsodyConfig()) if field.metadata]
    rows = [
        [f"`{field.name}`", field.metadata[UNIT].decode(), field.metadata[DESCRIPTION].decode()] for field in fields
    ]
    return table(["column", "unit", "meaning"], rows)


def scored_call_columns() -> str:
    """The columns of the scored calls."""
    return _typed_columns(SCORED_CALLS)


def scored_utterance_columns() -> str:
    """The columns of the scored utterances."""
    return _typed_columns(SCORED_UTTERANCES)


def monitored_call_columns() -> str:
    """The columns of what monitoring compares."""
    return _typed_columns(MONITORED_CALLS)


def scoring_recording_columns() -> str:
    """The columns of what an archive of recordings holds."""
    return _typed_columns(RECORDINGS)


def _typed_columns(schema: Any) -> str:
    """The columns of a table with type, unit and meaning."""
    rows = [
        [
            f"`{field.name}`",
            str(field.type),
            field.metadata[UNIT].decode().replace("none", ""),
            field.metadata[DESCRIPTION].decode(),
        ]
        for field in schema
    ]
    return table(["column", "type", "unit", "meaning"], rows)

"""The columns of the tables that people read."""

from docs.generate.tables import table
from urgency_dagster.calls import ProsodyConfig, prosody_schema

DESCRIPTION, UNIT = b"description", b"unit"


def prosody_columns() -> str:
    """The feature columns of `prosody.parquet` with unit and meaning."""
    fields = [field for field in prosody_schema(ProsodyConfig()) if field.metadata]
    rows = [
        [f"`{field.name}`", field.metadata[UNIT].decode(), field.metadata[DESCRIPTION].decode()] for field in fields
    ]
    return table(["column", "unit", "meaning"], rows)

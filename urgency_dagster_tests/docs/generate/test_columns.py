from docs.generate.columns import prosody_columns
from urgency_dagster.calls import ProsodyConfig, prosody_schema


def test_every_feature_has_a_row_with_unit_and_meaning() -> None:
    rows = [line.split(" | ") for line in prosody_columns().splitlines()[2:]]
    names = [row[0].removeprefix("| ").strip("`") for row in rows]
    assert names == [field.name for field in prosody_schema(ProsodyConfig()) if field.metadata]
    assert {"f0_median_hz", "speaking_rate_chars_per_s"} <= set(names)
    assert all(row[1] and row[2] for row in rows)

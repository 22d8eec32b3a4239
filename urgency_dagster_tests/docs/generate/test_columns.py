from collections.abc import Callable
from typing import Any

import pytest

from docs.generate.columns import (
    prosody_columns,
    scored_call_columns,
    scored_utterance_columns,
    scoring_recording_columns,
)
from urgency_dagster.calls import ProsodyConfig, prosody_schema
from urgency_dagster.scoring import RECORDINGS, SCORED_CALLS, SCORED_UTTERANCES


def test_every_feature_has_a_row_with_unit_and_meaning() -> None:
    rows = [line.split(" | ") for line in prosody_columns().splitlines()[2:]]
    names = [row[0].removeprefix("| ").strip("`") for row in rows]
    assert names == [field.name for field in prosody_schema(ProsodyConfig()) if field.metadata]
    assert {"f0_median_hz", "speaking_rate_chars_per_s"} <= set(names)
    assert all(row[1] and row[2] for row in rows)


@pytest.mark.parametrize(
    ("page", "schema"),
    [
        (scored_call_columns, SCORED_CALLS),
        (scored_utterance_columns, SCORED_UTTERANCES),
        (scoring_recording_columns, RECORDINGS),
    ],
)
def test_every_column_of_scoring_has_a_row(page: Callable[[], str], schema: Any) -> None:
    rows = [line.split(" | ") for line in page().splitlines()[2:]]
    assert [row[0].removeprefix("| ").strip("`") for row in rows] == schema.names
    assert all(row[1] and row[3] for row in rows)

"""Tables that do not fit the utterances, and values that cannot be."""

import math
from typing import Any

import pyarrow as pa
import pytest

from urgency_dagster.calls.prosody.configuration import ProsodyConfig
from urgency_dagster.calls.prosody.features import MIN_LEVEL_DBFS
from urgency_dagster.calls.prosody.schema import PROSODY_KEY, prosody_schema
from urgency_dagster.calls.prosody.verification import impossible_values, same_utterances
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import UTTERANCES
from urgency_dagster.writing import write_table

ARCHIVE = "T_x"
CONFIG = ProsodyConfig()
KEY = {"_id": "a", "utterance_id": "0", "audio_sha256": "0" * 64, "startAt": 0, "endAt": 900}
VALUES: dict[str, Any] = {
    "duration_s": 0.9,
    "f0_median_hz": 220.0,
    "f0_iqr_semitones": 2.0,
    "f0_range_semitones": 6.0,
    "voiced_share": 0.5,
    "level_mean_dbfs": -25.0,
    "level_sd_db": 8.0,
    "zero_crossing_rate_mean": 0.2,
    "speaking_rate_chars_per_s": 6.0,
}
UNVOICED = {"voiced_share": 0.0, "f0_median_hz": None, "f0_iqr_semitones": None, "f0_range_semitones": None}


def write(paths: StoragePaths, *rows: dict[str, Any]) -> None:
    schema = prosody_schema(CONFIG)
    table = pa.Table.from_pylist([{**KEY, **VALUES, **row} for row in rows], schema=schema)
    write_table(paths.archive(ARCHIVE).prosody, table)


def impossible(paths: StoragePaths, *rows: dict[str, Any]) -> dict[str, int]:
    write(paths, *rows)
    return {name: count for name, count in impossible_values(paths, ARCHIVE, CONFIG).items() if count}


def test_possible_values(paths: StoragePaths) -> None:
    assert impossible(paths, {}, UNVOICED, {"level_mean_dbfs": MIN_LEVEL_DBFS - 1e-9}, {"voiced_share": 1.0}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in VALUES for value in (math.nan, math.inf, -math.inf)),
        ("duration_s", -0.1),
        ("f0_median_hz", 74.0),
        ("f0_median_hz", 501.0),
        ("f0_median_hz", None),
        ("f0_iqr_semitones", -0.1),
        ("f0_iqr_semitones", 33.0),
        ("f0_range_semitones", 33.0),
        ("f0_range_semitones", None),
        ("voiced_share", -0.1),
        ("voiced_share", 1.1),
        ("level_mean_dbfs", -91.0),
        ("level_sd_db", -0.1),
        ("zero_crossing_rate_mean", 1.1),
        ("speaking_rate_chars_per_s", -1.0),
    ],
)
def test_an_impossible_value_is_counted_in_its_column(paths: StoragePaths, name: str, value: float | None) -> None:
    assert impossible(paths, {}, {name: value}, {name: value}) == {name: 2}


def test_f0_without_a_voiced_frame_is_impossible(paths: StoragePaths) -> None:
    assert impossible(paths, {**UNVOICED, "f0_median_hz": 220.0}) == {"f0_median_hz": 1}


@pytest.mark.parametrize("changed", [{name: f"{value}1"} for name, value in KEY.items() if isinstance(value, str)])
def test_another_key_is_another_utterance(paths: StoragePaths, changed: dict[str, Any]) -> None:
    keys = pa.schema([UTTERANCES.field(name) for name in PROSODY_KEY])
    write_table(paths.archive(ARCHIVE).utterances, pa.Table.from_pylist([KEY], schema=keys))
    write(paths, {})
    assert same_utterances(paths, ARCHIVE)
    write(paths, changed)
    assert not same_utterances(paths, ARCHIVE)


def test_another_order_or_number_is_another_table(paths: StoragePaths) -> None:
    keys = pa.schema([UTTERANCES.field(name) for name in PROSODY_KEY])
    other = {**KEY, "utterance_id": "1"}
    write_table(paths.archive(ARCHIVE).utterances, pa.Table.from_pylist([KEY, other], schema=keys))
    for rows, same in (([{}, other], True), ([other, {}], False), ([{}], False), ([{}, other, other], False)):
        write(paths, *rows)
        assert same_utterances(paths, ARCHIVE) is same

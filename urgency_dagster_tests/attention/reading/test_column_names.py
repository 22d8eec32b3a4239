from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.attention.reading.column_names import WINDOW_S, FeatureName, parse_feature_name

PART = st.text(st.characters(codec="utf-8", exclude_characters="#=\n", exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("HRT#VAL", FeatureName("HRT", "VAL")),
        ("HRT#AVG#M05", FeatureName("HRT", "AVG", None, 300)),
        ("bpm#AVG#60", FeatureName("bpm", "AVG", None, 60)),
        ("DST_MOT#VAL=IDLE", FeatureName("DST_MOT", "VAL", "IDLE")),
        ("DST_MOT#DUR=WALKING#H06", FeatureName("DST_MOT", "DUR", "WALKING", 21_600)),
        ("PIF#BFI_OPN", FeatureName("PIF", "BFI_OPN")),
        ("ESM#LIK#H24", FeatureName("ESM", "LIK", None, 86_400)),
        ("ESM#HRN=LATE_AFTERNOON", FeatureName("ESM", "HRN", "LATE_AFTERNOON")),
    ],
)
def test_the_grammar(name: str, parts: Any) -> None:
    assert parse_feature_name(name) == parts


@pytest.mark.parametrize(
    "name",
    ["HRT", "", "#VAL", "HRT#", "HRT#AVG#X99", "HRT#AVG#0", "HRT#AVG#M05#M05", "HRT#AVG#ImmediatePast_15", "A#V=#M05"],
)
def test_other_names_are_outside_it(name: str) -> None:
    assert parse_feature_name(name) is None


@given(PART, PART, st.none() | PART, st.none() | st.sampled_from(sorted(WINDOW_S)) | st.integers(1, 10**6))
def test_any_name_of_the_grammar_is_parsed_into_its_parts(
    stream: str, statistic: str, value: str | None, window: str | int | None
) -> None:
    name = f"{stream}#{statistic}" + (f"={value}" if value else "") + (f"#{window}" if window else "")
    seconds = WINDOW_S[window] if isinstance(window, str) else window
    assert parse_feature_name(name) == FeatureName(stream, statistic, value, seconds)

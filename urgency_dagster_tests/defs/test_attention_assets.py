"""The first attention asset as Dagster runs it: options, what is shown, and what a refused file leaves."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from urgency_dagster.attention.reading.features import read_features
from urgency_dagster.defs.attention_assets import ATTENTION_ASSETS
from urgency_dagster.defs.metadata import MAX_STREAMS, feature_metadata
from urgency_dagster.defs.resources import resources
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings
from urgency_dagster.writing import read_json
from urgency_dagster_tests.attention.hostile import call, five, plain
from urgency_dagster_tests.conftest import DEMO_SAMPLES

Load = Callable[..., dg.ExecuteInProcessResult]

KEY = dg.AssetKey("attention_features")


@pytest.fixture
def load(settings: Settings) -> Any:
    """Materialises the features of what landed, with some options."""

    def run(**options: Any) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            ATTENTION_ASSETS,
            selection=[KEY],
            resources=resources(settings),
            run_config={"ops": {"attention_features": {"config": options}}} if options else None,
            raise_on_error=False,
        )

    return run


def shown(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (materialization,) = result.asset_materializations_for_node("attention_features")
    return {name: entry.value for name, entry in materialization.metadata.items()}


def failure(result: dg.ExecuteInProcessResult, kind: str = "AttentionError") -> str:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert error.cause.cls_name == kind
    return str(error.cause.message)


def test_the_page_shows_what_was_loaded_and_what_is_missing(load: Any, paths: StoragePaths) -> None:
    result = load()
    assert result.success
    page, data = shown(result), read_features(paths.attention)
    assert page["dagster/row_count"] == len(data.X) == DEMO_SAMPLES
    assert (page["features"], page["participants"]) == (data.X.shape[1], 47)
    assert "| HRT | 65 |" in page["features_by_stream"]
    assert "| AVG | 24 |" in page["features_by_statistic"]
    assert "| 21600 |" in page["features_by_window_s"]
    missing = read_json(paths.attention.summary)["missing_streams"]
    assert 0 < len(missing["CAE"]) < 47
    assert f"| CAE | {len(missing['CAE'])} of 47 |" in page["participants_without_stream"]
    assert "| PIF | 11 |" in page["features_constant_within_participant"]
    assert "P01" not in str(page)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"memory_mb": 70}, "AttentionError", "takes more than 70 MB of memory"),
        ({"max_mb": 0}, "ValidationError", "greater than or equal to 1"),
        ({"time_s": -1}, "ValidationError", "greater than or equal to 1"),
    ],
)
def test_the_limits_are_options(load: Any, paths: StoragePaths, options: dict[str, int], kind: str, said: str) -> None:
    # A bytearray of a hundred megabytes: less than the limit by default.
    paths.attention_pickle.write_bytes(five(X=b"\x96" + struct.pack("<Q", 100 * 1024**2)))
    result = load(**options)
    assert not result.success
    assert failure(result, kind).count(said) == 1
    assert not paths.attention.features_folder.exists()


def test_a_refused_file_fails_the_step_by_name_and_keeps_the_features(
    load: Any, paths: StoragePaths, tmp_path: Path
) -> None:
    assert load().success
    kept = paths.attention.summary.read_bytes()
    paths.attention_pickle.write_bytes(five(X=call("os", "system", plain(f"touch {tmp_path / 'executed'}"))))
    result = load()
    assert not result.success
    assert "the pickle names os.system" in failure(result)
    assert not (tmp_path / "executed").exists()
    assert paths.attention.summary.read_bytes() == kept


def summary(**changed: object) -> dict[str, object]:
    return {
        "rows": 3,
        "participants": 5,
        "positive_rate": 0.5,
        "features": {
            "total": 2,
            "categorical": 1,
            "outside_grammar": 1,
            "by_stream": {},
            "by_statistic": {},
            "by_window_s": {},
        },
        "missing_streams": {},
        "constant_within_participant": {},
        "warnings": [],
        **changed,
    }


class TestFeatureMetadata:
    def test_names_from_the_file_are_no_markup(self) -> None:
        hostile = "![x](http://example.org/y)<img src=z>|`"
        page = feature_metadata(summary(constant_within_participant={hostile: ["a"], "": ["b"]}))
        text = page["features_constant_within_participant"].value
        assert not set("![]()<>`/") & set(text)
        assert "| other names | 1 |" in text

    def test_a_table_of_any_length_is_cut(self) -> None:
        missing = {f"S{n}": ["P01"] for n in range(MAX_STREAMS + 40)}
        text = feature_metadata(summary(missing_streams=missing))["participants_without_stream"].value
        assert "| S0 | 1 of 5 |" in text
        assert f"S{MAX_STREAMS} " not in text
        assert "| more | 40 |" in text

    def test_warnings_are_told(self) -> None:
        assert feature_metadata(summary())["warnings"] == "none"
        assert feature_metadata(summary(warnings=["t was dropped", "b"]))["warnings"] == "t was dropped; b"

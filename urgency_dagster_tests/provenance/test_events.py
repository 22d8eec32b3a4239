"""The stored result of a step says again what was said when the artefact was made."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.events import result_of, store_events, stored_events
from urgency_dagster.provenance.manifests import Manifest
from urgency_dagster.writing import write_text

KEY = dg.AssetKey("utterances")
MADE = Manifest("utterances", "T_광주_구급", "2", {"call_recordings": "v1"}, data_version="v2")
RESULT: dg.MaterializeResult[Any] = dg.MaterializeResult(
    asset_key=KEY,
    metadata={
        "rows": 3,
        "share": 0.5,
        "path": dg.MetadataValue.path(Path("calls")),
        "page": dg.MetadataValue.md("**bold** 구급"),
        "dagster/column_schema": dg.TableSchema([dg.TableColumn("startAt", "int64", description="milliseconds")]),
        "files": dg.MetadataValue.table([dg.TableRecord({"file": "a"})], dg.TableSchema([dg.TableColumn("file")])),
    },
    data_version=dg.DataVersion("v2"),
    check_results=[
        dg.AssetCheckResult(check_name="sound", passed=True, metadata={"count": 1}),
        dg.AssetCheckResult(
            check_name="pretty", passed=False, severity=dg.AssetCheckSeverity.WARN, description="It is not."
        ),
    ],
)


@pytest.fixture
def stored(paths: StoragePaths) -> StoragePaths:
    store_events(paths, MADE, RESULT)
    return paths


def test_a_step_can_say_again_what_it_said(stored: StoragePaths) -> None:
    again = result_of(stored_events(stored, MADE))
    checks = [
        (check.check_name, check.passed, check.severity, check.description) for check in again.check_results or ()
    ]
    assert again.asset_key == KEY
    assert again.data_version == RESULT.data_version
    assert dict(again.metadata or {}) == dict(dg.AssetMaterialization(KEY, metadata=RESULT.metadata).metadata)
    assert checks == [
        ("sound", True, dg.AssetCheckSeverity.ERROR, None),
        ("pretty", False, dg.AssetCheckSeverity.WARN, "It is not."),
    ]


def test_the_events_name_the_partition_and_the_versions(stored: StoragePaths) -> None:
    made, *checks = stored_events(stored, MADE)
    assert isinstance(made, dg.AssetMaterialization)
    assert made.partition == MADE.partition
    assert made.tags == {"dagster/data_version": "v2", "dagster/code_version": "2"}
    assert [check.partition for check in checks] == [MADE.partition] * 2


@pytest.mark.parametrize("other", [{"data_version": "v3"}, {"code_version": "3"}])
def test_events_of_another_artefact_are_not_used(stored: StoragePaths, other: dict[str, object]) -> None:
    """A step that was killed between its events and its manifest leaves such events."""
    assert stored_events(stored, replace(MADE, **other)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"__class__": "Unknown"}', '[{"__class__": "Unknown"}]'])
def test_unreadable_events_are_none(stored: StoragePaths, content: str) -> None:
    write_text(stored.events("utterances", MADE.partition), content)
    assert stored_events(stored, MADE) == []


def test_an_artefact_of_version_0_1_has_none(paths: StoragePaths) -> None:
    assert stored_events(paths, MADE) == []

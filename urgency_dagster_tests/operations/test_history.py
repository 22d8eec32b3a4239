"""A run history that is new or was lost shows what is on disk."""

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.loader import LoadingContextForTest

from urgency_dagster.definitions import build_definitions
from urgency_dagster.operations.history import report_history
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.keys import CALL_ARCHIVE, CALL_ARCHIVES
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.provenance.manifests import read_manifest
from urgency_dagster.settings import Settings
from urgency_dagster_tests.defs.materialising import ARCHIVE, materialise

MADE = ["call_recordings", "utterances", "utterance_embeddings", "prosody", "processed_data"]


@pytest.fixture
def instance(made: Settings) -> Iterator[dg.DagsterInstance]:
    """An instance that knows nothing of the storage root."""
    with dg.DagsterInstance.ephemeral() as empty:
        yield empty


def materialization(instance: dg.DagsterInstance, name: str) -> dg.AssetMaterialization:
    records = dg.AssetRecordsFilter(asset_key=dg.AssetKey(name), asset_partitions=[ARCHIVE])
    event = instance.fetch_materializations(records, limit=1).records[0]
    assert event.asset_materialization is not None
    return event.asset_materialization


def test_an_empty_history_shows_every_artefact(instance: dg.DagsterInstance, paths: StoragePaths) -> None:
    assert report_history(instance, LandedContent(paths)) == len(MADE) + 1
    assert ARCHIVE in instance.get_dynamic_partitions(CALL_ARCHIVES)
    for name in MADE:
        manifest = read_manifest(paths, name, ARCHIVE)
        assert manifest is not None
        assert (materialization(instance, name).tags or {})["dagster/data_version"] == manifest.data_version
    assert materialization(instance, "call_archive").metadata["size_mb"].value > 0  # type: ignore[operator]


def test_the_pages_are_those_of_the_run(instance: dg.DagsterInstance, made: Settings, paths: StoragePaths) -> None:
    report_history(instance, LandedContent(paths))
    shown = materialization(instance, "utterances")
    assert shown.metadata["calls"].value == 10
    assert "made_at" in shown.metadata
    key = dg.AssetCheckKey(dg.AssetKey("utterances"), "few_rejects")
    (state,) = instance.event_log_storage.get_asset_check_partition_info([key])
    assert state.is_current
    assert (state.partition_key, state.latest_execution_status.value) == (ARCHIVE, "SUCCEEDED")


def test_what_is_known_is_not_reported_again(instance: dg.DagsterInstance, paths: StoragePaths) -> None:
    report_history(instance, LandedContent(paths))
    assert report_history(instance, LandedContent(paths)) == 0


def test_only_what_differs_is_reported(instance: dg.DagsterInstance, made: Settings, paths: StoragePaths) -> None:
    report_history(instance, LandedContent(paths))
    materialise(made, "prosody", options={"prosody": {"f0_max_hz": 350.0}})  # in another instance
    assert report_history(instance, LandedContent(paths)) == 1
    assert materialization(instance, "prosody").metadata["deviates_from_run_config"]
    keys = [dg.AssetCheckKey(dg.AssetKey("prosody"), name) for name in ("prosody_fits_rows", "prosody_in_range")]
    states = instance.event_log_storage.get_asset_check_partition_info(keys)
    assert [state.is_current for state in states] == [True, True]


def test_an_artefact_without_its_file_is_not_reported(instance: dg.DagsterInstance, paths: StoragePaths) -> None:
    paths.archive(ARCHIVE).prosody.unlink()
    assert report_history(instance, LandedContent(paths)) == len(MADE)
    assert instance.get_latest_materialization_event(dg.AssetKey("prosody")) is None


def test_an_artefact_of_version_0_1_has_its_versions(instance: dg.DagsterInstance, paths: StoragePaths) -> None:
    paths.events("utterances", ARCHIVE).unlink()
    report_history(instance, LandedContent(paths))
    manifest = read_manifest(paths, "utterances", ARCHIVE)
    assert manifest is not None
    assert (materialization(instance, "utterances").tags or {})["dagster/data_version"] == manifest.data_version


def test_an_input_that_was_not_hashed_is_not_read(instance: dg.DagsterInstance, paths: StoragePaths) -> None:
    paths.landing_hashes.unlink()
    assert report_history(instance, LandedContent(paths)) == len(MADE)
    assert instance.get_latest_materialization_event(CALL_ARCHIVE) is None


def test_dagster_calls_nothing_stale(instance: dg.DagsterInstance, made: Settings, paths: StoragePaths) -> None:
    """The versions of inputs and code travel with the events, so the UI shows no asset as out of sync."""
    report_history(instance, LandedContent(paths))
    graph = build_definitions(made).get_repository_def().asset_graph
    with partition_loading_context(dynamic_partitions_store=instance):
        resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        states = {name: resolver.get_status(dg.AssetKey(name), ARCHIVE).value for name in MADE}
    assert states == dict.fromkeys(MADE, "FRESH")

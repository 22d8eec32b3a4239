"""The record of a step: input versions before it, the manifest after it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from urgency_dagster.defs.resources import StorageResource
from urgency_dagster.errors import ArchiveError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.keys import ATTENTION_SOURCE, CALL_ARCHIVE
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.provenance.manifests import read_manifest
from urgency_dagster.provenance.record import CheckedEvent, Record
from urgency_dagster.writing import file_hash, write_text
from urgency_dagster_tests.calls.watching import watching
from urgency_dagster_tests.conftest import Builder


def materialise(paths: StoragePaths, *checks: dg.AssetCheckResult) -> dg.ExecuteInProcessResult:
    """One asset that writes one file and closes its record with some check results."""
    specs = [dg.AssetCheckSpec(str(check.check_name), asset="thing", blocking=True) for check in checks]

    @dg.asset(code_version="7", check_specs=specs)
    def thing(context: dg.AssetExecutionContext, storage: StorageResource) -> Iterator[CheckedEvent]:
        record = Record.open(context, storage.paths)
        file = paths.root / "thing.txt"
        write_text(file, "content")
        yield from record.close_checked([file], {"figure": 1}, checks)

    return dg.materialize([thing], resources={"storage": StorageResource(root=str(paths.root))}, raise_on_error=False)


def test_a_manifest_is_written_with_the_code_version(paths: StoragePaths) -> None:
    assert materialise(paths).success
    manifest = read_manifest(paths, "thing")
    assert manifest is not None
    assert (manifest.code_version, manifest.files) == ("7", {"thing.txt": 7})


def test_equal_bytes_made_again_have_an_equal_version(paths: StoragePaths) -> None:
    versions = []
    for _ in range(2):
        materialise(paths)
        manifest = read_manifest(paths, "thing")
        assert manifest is not None
        versions.append(manifest.data_version)
    assert versions[0] == versions[1]


@pytest.mark.parametrize(
    ("severity", "passed", "kept"),
    [
        (dg.AssetCheckSeverity.ERROR, False, False),
        (dg.AssetCheckSeverity.ERROR, True, True),
        (dg.AssetCheckSeverity.WARN, False, True),
    ],
)
def test_a_failed_blocking_check_removes_the_manifest(
    paths: StoragePaths, severity: dg.AssetCheckSeverity, passed: bool, kept: bool
) -> None:
    materialise(paths)
    materialise(paths, dg.AssetCheckResult(check_name="sound", passed=passed, severity=severity))
    assert (read_manifest(paths, "thing") is not None) == kept


def test_what_is_blocked_is_not_materialized_but_observed_with_its_cause(paths: StoragePaths) -> None:
    """Else Dagster would show as made what the plan calls missing."""
    result = materialise(paths, dg.AssetCheckResult(check_name="sound", passed=False, description="It is bad."))
    assert not result.success
    assert not result.get_asset_materialization_events()
    (observed,) = result.get_asset_observation_events()
    metadata = observed.asset_observation_data.asset_observation.metadata
    assert (metadata["blocked"].value, metadata["figure"].value) == ("It is bad.", 1)
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("sound", False)


class TestFilesThatChangeDuringReading:
    @pytest.fixture
    def paths(self, tmp_path: Path) -> StoragePaths:
        return StoragePaths(tmp_path / "empty")

    def growing(self, name: str) -> Callable[[Path], None]:
        """Another process that writes to a file each time before it is opened."""

        def grow(path: Path) -> None:
            if path.name == name:
                path.write_bytes(path.read_bytes() + b"more")

        return grow

    def test_a_pair_has_no_version(self, paths: StoragePaths, build: Builder) -> None:
        build.pair(paths.landing_calls, "T_x", *build.calls())
        landed = LandedContent(paths)
        assert list(landed.calls.pairs) == ["T_x"]
        with watching(self.growing("TL_x.zip")):
            assert landed.version(CALL_ARCHIVE, "T_x") is None
            with pytest.raises(ArchiveError, match="changed while it was read"):
                landed.content_hash(CALL_ARCHIVE, "T_x")
        assert landed.known_version(CALL_ARCHIVE, "T_x") is None

    def test_the_attention_pickle_has_no_version(self, paths: StoragePaths) -> None:
        paths.attention_pickle.parent.mkdir(parents=True)
        paths.attention_pickle.write_bytes(b"content")
        with watching(self.growing("attention.pkl")):
            assert LandedContent(paths).version(ATTENTION_SOURCE, None) is None
        assert LandedContent(paths).known_version(ATTENTION_SOURCE, None) is None
        assert LandedContent(paths).version(ATTENTION_SOURCE, None) == file_hash(paths.attention_pickle)
        assert LandedContent(paths).known_version(ATTENTION_SOURCE, None) == file_hash(paths.attention_pickle)

    @pytest.mark.parametrize("replaced", [True, False])
    def test_the_artefact_has_no_manifest(self, paths: StoragePaths, build: Builder, replaced: bool) -> None:
        pair = build.pair(paths.landing_calls, "T_x", *build.calls())

        @dg.asset(deps=[CALL_ARCHIVE], partitions_def=dg.StaticPartitionsDefinition(["T_x"]))
        def thing(context: dg.AssetExecutionContext, storage: StorageResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
            record = Record.open(context, storage.paths)
            if replaced:
                pair.labels.parts[0].write_bytes(build.zipped({"another": b""}))
            write_text(paths.root / "thing.txt", "content")
            return record.close([paths.root / "thing.txt"], {})

        given = {"storage": StorageResource(root=str(paths.root))}
        result = dg.materialize([thing], partition_key="T_x", resources=given, raise_on_error=False)
        assert result.success is not replaced
        assert (read_manifest(paths, "thing", "T_x") is None) is replaced

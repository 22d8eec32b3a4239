"""What `run_config.yaml` declared when a step ran, and what the page of the asset says about other options."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import dagster as dg
import pytest

from urgency_dagster.defs.resources import StorageResource
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.declared import DECLARED_TAG, DEVIATION
from urgency_dagster.provenance.manifests import Manifest, read_manifest
from urgency_dagster.provenance.record import Record
from urgency_dagster.writing import write_text


class ThingOptions(dg.Config):
    """Three options, one of them of the machine."""

    machine: ClassVar[frozenset[str]] = frozenset({"workers"})

    epochs: int = 5
    rate: float = 0.5
    workers: int = -1


@dg.asset
def thing(context: dg.AssetExecutionContext, config: ThingOptions, storage: StorageResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """An asset that writes its record and nothing else."""
    return Record.open(context, storage.paths, config=config).close([storage.paths.root], {})


def materialise(
    paths: StoragePaths, options: Mapping[str, Any], tags: Mapping[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    run_config = {"ops": {"thing": {"config": options}}} if options else None
    given = {"storage": StorageResource(root=str(paths.root))}
    return dg.materialize([thing], run_config=run_config, tags=tags, resources=given, raise_on_error=False)


def manifest_of(paths: StoragePaths) -> Manifest:
    manifest = read_manifest(paths, "thing")
    assert manifest is not None
    return manifest


def page(result: dg.ExecuteInProcessResult) -> str | None:
    """What the page of the asset says about other options."""
    (made,) = result.asset_materializations_for_node("thing")
    value = made.metadata.get(DEVIATION)
    return str(value.value) if value else None


class TestDeclared:
    def test_without_the_file_nothing_is_declared(self, paths: StoragePaths) -> None:
        materialise(paths, {"epochs": 8})
        assert manifest_of(paths).declared == {}

    def test_a_person_chose_another_value(self, paths: StoragePaths) -> None:
        write_text(paths.run_config, "thing: {epochs: 3, rate: 1}")
        materialise(paths, {"epochs": 8, "rate": 0.25})
        assert manifest_of(paths).config["epochs"] == 8
        assert manifest_of(paths).declared == {"epochs": 3, "rate": 1.0}

    def test_the_options_of_a_planned_run_are_those_of_its_plan(self, paths: StoragePaths) -> None:
        write_text(paths.run_config, "thing: {epochs: 9}")
        materialise(paths, {"epochs": 3}, {DECLARED_TAG: json.dumps({"thing": {"epochs": 3}})})
        assert manifest_of(paths).declared == {"epochs": 3}

    def test_an_option_that_was_not_given_has_the_value_that_the_process_read(self, paths: StoragePaths) -> None:
        """Here the process started before the file was written."""
        write_text(paths.run_config, "thing: {epochs: 9, rate: 1.0}")
        materialise(paths, {"rate": 0.25})
        assert manifest_of(paths).config["epochs"] == 5
        assert manifest_of(paths).declared == {"epochs": 5, "rate": 1.0}

    @pytest.mark.parametrize(
        ("content", "message"),
        [("thing: {epochs: many}", "thing: epochs is 'many'"), ("thing: [", "is not YAML"), ("- thing", "no mapping")],
    )
    def test_a_wrong_file_fails_the_step_with_its_fault(self, paths: StoragePaths, content: str, message: str) -> None:
        write_text(paths.run_config, content)
        (failure,) = materialise(paths, {}).get_step_failure_events()
        assert message in str(failure.step_failure_data.error)
        assert read_manifest(paths, "thing") is None


class TestPage:
    def test_it_names_each_option_with_the_used_and_the_declared_value(self, paths: StoragePaths) -> None:
        write_text(paths.run_config, "thing: {epochs: 3}")
        lines = str(page(materialise(paths, {"epochs": 8, "rate": 0.25}))).splitlines()
        assert lines[2:] == ["| epochs | `8` | `3` |", "| rate | `0.25` | `0.5` (default) |"]

    @pytest.mark.parametrize("options", [{}, {"epochs": 3}, {"epochs": 3, "workers": 4}])
    def test_it_says_nothing_when_nothing_deviates(self, paths: StoragePaths, options: Mapping[str, Any]) -> None:
        write_text(paths.run_config, "thing: {epochs: 3, workers: 2}")
        assert page(materialise(paths, {"epochs": 3, **options})) is None

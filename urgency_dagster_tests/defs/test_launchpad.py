"""The Launchpad, the Materialize button and a run without options start from what `run_config.yaml` declares."""

import logging
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.snap.job_snapshot import JobSnap
from dagster._core.snap.snap_to_yaml import default_values_yaml_from_type_snap

from urgency_dagster.definitions import build_definitions
from urgency_dagster.defs.partitions import call_archives
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.declared import DEVIATION
from urgency_dagster.provenance.manifests import read_manifest
from urgency_dagster.settings import Settings
from urgency_dagster.writing import write_text
from urgency_dagster_tests.defs.materialising import ARCHIVE

DECLARED = """
call_recordings: {workers: 1}
utterances: {workers: 1, rejected_calls_max: 0.5}
utterance_embeddings: {engine: torch, segment_max_s: 20}
urgency_model: {epochs: 8, mixed_precision: bf16}
urgency_evaluation: {cost_matrix: [[0, 1, 2], [2, 0, 1], [10, 5, 0]]}
attention_features: {memory_mb: null}
attention_cv: {n_splits: 4}
attention_audit: {models: [rf]}
"""


def definitions_of(root: Path) -> dg.Definitions:
    return build_definitions(Settings.load(root, environment={}))


def shown(root: Path, job: str | None = None) -> dict[str, dict[str, Any]]:
    """The options by op that the Launchpad of a job, or of a selection of assets, holds when it opens."""
    definitions = definitions_of(root)
    job_def = definitions.resolve_job_def(job) if job else definitions.resolve_implicit_global_asset_job_def()
    snap = JobSnap.from_job_def(job_def)
    schema, key = snap.config_schema_snapshot, snap.mode_def_snaps[0].root_config_key
    content = yaml.safe_load(default_values_yaml_from_type_snap(schema, schema.get_config_snap(str(key))))
    return {op: of_op["config"] for op, of_op in content["ops"].items()}


@pytest.mark.parametrize("job", [None, "urgency_job"])
def test_the_launchpad_opens_with_the_declared_options(tmp_path: Path, job: str | None) -> None:
    without = shown(tmp_path, job)
    write_text(StoragePaths(tmp_path).run_config, DECLARED)
    declared = shown(tmp_path, job)
    assert declared["urgency_model"] == {**without["urgency_model"], "epochs": 8, "mixed_precision": "bf16"}
    assert declared["urgency_evaluation"]["cost_matrix"] == [[0, 1, 2], [2, 0, 1], [10, 5, 0]]
    assert declared["training_set"] == without["training_set"]


def test_steps_of_several_assets_too(tmp_path: Path) -> None:
    write_text(StoragePaths(tmp_path).run_config, DECLARED)
    declared = shown(tmp_path, "attention_job")
    assert declared["attention_cv"]["n_splits"] == 4
    assert declared["attention_audit"]["models"] == ["rf"]


def test_a_run_without_options_uses_the_declared_ones(storage_root: Path) -> None:
    """As after *Materialize*, which gives no option."""
    paths = StoragePaths(storage_root)
    write_text(paths.run_config, DECLARED)
    job = definitions_of(storage_root).resolve_job_def("calls_job")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(call_archives.name), [ARCHIVE])
        chosen = [dg.AssetKey("call_recordings"), dg.AssetKey("utterances")]
        result = job.execute_in_process(partition_key=ARCHIVE, instance=instance, asset_selection=chosen)
    manifest = read_manifest(paths, "utterances", ARCHIVE)
    assert manifest is not None
    assert manifest.config == {**manifest.config, "workers": 1, "rejected_calls_max": 0.5}
    assert manifest.declared == {"workers": 1, "rejected_calls_max": 0.5}
    assert all(DEVIATION not in made.metadata for made in result.asset_materializations_for_node("utterances"))


@pytest.mark.parametrize(
    "content", ["urgency_model: {epochs: -3}", "urgency_model: 3", "urgency_model: [", "urgency_modell: {epochs: 8}"]
)
def test_the_ui_opens_with_a_wrong_file(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    without = shown(tmp_path)
    write_text(StoragePaths(tmp_path).run_config, content)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert shown(tmp_path) == without
    (warning,) = [record for record in caplog.records if record.name.startswith("urgency_dagster")]
    assert str(StoragePaths(tmp_path).run_config) in warning.getMessage()


def test_a_right_section_of_a_wrong_file_counts(tmp_path: Path) -> None:
    write_text(StoragePaths(tmp_path).run_config, "urgency_model: {epochs: 8}\nattention_cv: {n_splits: 1}")
    declared = shown(tmp_path)
    assert declared["urgency_model"]["epochs"] == 8
    assert declared["attention_cv"]["n_splits"] == 5

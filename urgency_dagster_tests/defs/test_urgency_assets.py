"""The urgency assets on archives that were really made."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import create_execution_plan, execute_run_iterator

from urgency_dagster.definitions import build_definitions
from urgency_dagster.defs.call_assets import CALL_ASSETS
from urgency_dagster.defs.resources import resources
from urgency_dagster.defs.urgency_assets import ON_DEMAND_ASSETS, URGENCY_ASSETS
from urgency_dagster.operations.groups import EVALUATION_JOB
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.keys import name_of
from urgency_dagster.provenance.manifests import read_manifest
from urgency_dagster.settings import Settings
from urgency_dagster.urgency import Predictor, load_model
from urgency_dagster_tests.defs.materialising import ARCHIVE, materialise
from urgency_dagster_tests.operations.test_planning import planner_of

AGAIN = "T_서울_구급"


def make_urgency(settings: Settings, *names: str) -> dg.ExecuteInProcessResult:
    """Materialises some assets over all archives; what depends on a failed check is not made."""
    return dg.materialize(
        [*CALL_ASSETS, *URGENCY_ASSETS, *ON_DEMAND_ASSETS],
        selection=[dg.AssetKey(name) for name in names],
        resources=resources(settings),
        raise_on_error=False,
    )


def land_again(paths: StoragePaths) -> None:
    """Copies an archive pair under the name of another region, as a mistaken download would be."""
    for kind in ("TS", "TL"):
        source = next(paths.landing_calls.rglob(f"{kind}_광주_구급.zip"))
        shutil.copy(source, source.with_name(f"{kind}_서울_구급.zip"))


def test_a_call_in_two_archives_stops_the_training_and_is_counted(made: Settings, paths: StoragePaths) -> None:
    land_again(paths)
    assert materialise(made, archive=AGAIN).success
    result = make_urgency(made, "training_set", "urgency_model")
    assert not result.success
    check = next(check for check in result.get_asset_check_evaluations() if check.check_name == "calls_in_one_archive")
    counts: dict[str, Any] = {
        name: check.metadata[name].value for name in ("ids_in_two_archives", "recordings_in_two_archives")
    }
    assert not check.passed
    assert counts["ids_in_two_archives"] == counts["recordings_in_two_archives"] > 0
    assert check.metadata["archives"].value == f"{ARCHIVE}, {AGAIN}"
    assert result.get_asset_materialization_events() == []
    assert read_manifest(paths, "training_set") is None


def test_the_page_of_the_training_set_shows_the_funnel_of_all_archives(made: Settings, paths: StoragePaths) -> None:
    assert materialise(made, archive="V_광주_구급").success
    result = make_urgency(made, "training_set")
    assert result.success
    (event,) = result.get_asset_materialization_events()
    page = event.step_materialization_data.materialization.metadata
    assert "| archives | 2 |" in str(page["funnel"].value)
    assert str(page["picture"].value).startswith("![funnel](data:image/png;base64,")
    assert Path(str(page["path"].value)).is_file()


def test_a_run_with_other_assets_leaves_out_those_on_demand(made: Settings, paths: StoragePaths) -> None:
    result = make_urgency(made, "training_set", "urgency_leak_gap", "urgency_export", "full_table")
    assert result.success
    assert [name_of(event.asset_key) for event in result.get_asset_materialization_events() if event.asset_key] == [
        "training_set"
    ]
    assert not paths.urgency.leak_gap.exists()
    assert not paths.urgency.export.exists()
    assert not paths.urgency.full_table.exists()


def test_the_full_table_alone_is_made(made: Settings, paths: StoragePaths) -> None:
    result = make_urgency(made, "full_table")
    assert result.success
    (event,) = result.get_asset_materialization_events()
    assert event.step_materialization_data.materialization.metadata["archives"].value == 1
    assert sorted(path.name for path in paths.urgency.full_table.iterdir()) == [
        *("full_final.csv", "full_final.parquet", "wav2vec2_embeddings_full.npy")
    ]
    assert read_manifest(paths, "full_table") is not None


def test_the_leak_gap_alone_is_not_left_out(made: Settings) -> None:
    """Here it fails, because there is no model yet."""
    (failure,) = make_urgency(made, "urgency_leak_gap").get_step_failure_events()
    assert failure.step_key == "urgency_leak_gap"


@pytest.mark.parametrize(
    ("job", "steps"),
    [("__ASSET_JOB", ["urgency_leak_gap"]), (EVALUATION_JOB, ["urgency_leak_gap", "attention_leaderboard"])],
)
def test_a_step_alone_and_a_job_with_it_make_the_leak_gap(made: Settings, job: str, steps: list[str]) -> None:
    definition = build_definitions(made).get_repository_def().get_job(job).with_executor_def(dg.in_process_executor)
    with dg.DagsterInstance.ephemeral() as instance:
        plan = create_execution_plan(definition, step_keys_to_execute=steps)
        run = instance.create_run_for_job(definition, plan)
        events = list(execute_run_iterator(InMemoryJob(definition), run, instance))
    assert "urgency_leak_gap" in {event.step_key for event in events if event.is_step_failure}


@pytest.mark.slow
def test_the_leak_gap_is_measured_on_demand_and_by_no_run(finished_root: Path) -> None:
    paths, settings = StoragePaths(finished_root), Settings.load(finished_root, environment={})
    assert not paths.urgency.leak_gap.exists(), "the run has not made it"
    result = make_urgency(settings, "urgency_leak_gap")
    assert result.success
    gap = json.loads(paths.urgency.leak_gap.read_text())
    (event,) = result.get_asset_materialization_events()
    page = event.step_materialization_data.materialization.metadata
    assert f"| inflation | {gap['inflation']['urgency']:.4f} |" in str(page["urgency_f1_macro"].value)
    planner = planner_of(settings)
    assert planner.planned_run("urgency") is None
    paths.urgency.leak_gap.unlink()
    assert planner_of(settings).planned_run("urgency") is None


@pytest.mark.slow
def test_the_exported_model_answers_every_validation_call_as_the_evaluation_did(
    finished_root: Path,
) -> None:
    paths, settings = StoragePaths(finished_root), Settings.load(finished_root, environment={})
    assert not paths.urgency.export.exists(), "the run has not made it"
    result = make_urgency(settings, "urgency_export")
    assert result.success
    (event,) = result.get_asset_materialization_events()
    page = event.step_materialization_data.materialization.metadata
    assert 0 <= float(str(page["max_difference"].value)) < 1e-5
    model = load_model(paths.urgency.export, engine="openvino")
    stored = pq.read_table(paths.urgency.evaluation / "predictions.parquet")
    archives = list(dict.fromkeys(stored["archive"].to_pylist()))
    answered = [logits_of(model, paths, archive) for archive in archives]
    for task in ("urgency", "sentiment"):
        expected = np.array(stored[f"{task}_logits"].to_pylist())
        found = np.concatenate([getattr(logits, task) for logits in answered])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
        assert np.abs(found - expected).max() < 1e-5, "the measured bound"
    assert planner_of(settings).planned_run("urgency") is None


def logits_of(model: Predictor, paths: StoragePaths, archive: str) -> Any:
    """The logits of all utterances of an archive, in the order of its table."""
    texts = pq.read_table(paths.archive(archive).utterances, columns=["text"])["text"].to_pylist()
    return model.logits(texts, np.load(paths.archive(archive).vectors))

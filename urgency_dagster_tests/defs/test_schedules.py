"""The weekly evaluation: off by default, and only of models that exist."""

from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock

from urgency_dagster.definitions import build_definitions
from urgency_dagster.defs.schedules import weekly_evaluation
from urgency_dagster.operations.activity import Activity
from urgency_dagster.operations.groups import EVALUATION_JOB
from urgency_dagster.provenance.manifests import Manifest, write_manifest
from urgency_dagster.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(tmp_path / "root", environment={})


def requested(settings: Settings, home: Path) -> dg.RunRequest | dg.SkipReason:
    """What the schedule asks for on a storage root."""
    home.mkdir(parents=True, exist_ok=True)
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        context = dg.build_schedule_context(instance=instance, resources=build_definitions(settings).resources)
        asked = weekly_evaluation(context)
    assert isinstance(asked, dg.RunRequest | dg.SkipReason)
    return asked


def made(settings: Settings, asset: str) -> None:
    """Writes the manifest of an asset without files."""
    from urgency_dagster.paths import StoragePaths

    manifest = Manifest(asset=asset, partition=None, code_version="1", inputs={}, config={}, declared={})
    write_manifest(StoragePaths(settings.storage), manifest)


def test_it_is_off_until_a_person_switches_it_on(settings: Settings) -> None:
    (schedule,) = build_definitions(settings).get_repository_def().schedule_defs
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert schedule.job_name == EVALUATION_JOB


def test_it_evaluates_only_models_that_exist(settings: Settings, tmp_path: Path) -> None:
    assert isinstance(requested(settings, tmp_path / "home"), dg.SkipReason)
    made(settings, "urgency_model")
    asked = requested(settings, tmp_path / "home")
    assert isinstance(asked, dg.RunRequest)
    names = {key.to_user_string() for key in asked.asset_selection or ()}
    assert names == {"urgency_evaluation", "urgency_leak_gap", "label_free_gap"}
    made(settings, "attention_features")
    asked = requested(settings, tmp_path / "home")
    assert isinstance(asked, dg.RunRequest)
    assert {"attention_cv/xgb", "attention_audit"} < {key.to_user_string() for key in asked.asset_selection or ()}


def test_it_waits_for_the_run_command(settings: Settings, tmp_path: Path) -> None:
    made(settings, "urgency_model")
    (tmp_path / "home").mkdir()
    with FileLock(tmp_path / "home" / "run.lock"):
        asked = requested(settings, tmp_path / "home")
    assert isinstance(asked, dg.SkipReason)


def test_the_sensor_sees_its_runs(settings: Settings) -> None:
    groups = {group: frozenset([dg.AssetKey(group)]) for group in ("calls", "urgency", "attention")}
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(settings).resolve_job_def(EVALUATION_JOB)
        instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        activity = Activity(instance, groups)
    assert [group for group in groups if activity.in_work(group)] == ["urgency", "attention"]

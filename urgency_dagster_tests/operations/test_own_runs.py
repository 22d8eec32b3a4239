"""Runs of this process that the UI shows with those of the code location."""

from pathlib import Path

import dagster as dg
import pytest

from urgency_dagster.operations.own_runs import execute_own_run
from urgency_dagster.operations.planning import PlannedRun


@dg.asset
def kept() -> None:
    """An asset that is not selected."""
    raise AssertionError


@dg.asset
def made() -> None:
    """An asset that is selected."""


@dg.asset_check(asset=made)
def left_out() -> dg.AssetCheckResult:
    """A check that is not selected."""
    raise AssertionError


def job() -> dg.JobDefinition:
    """The job of all, in this process."""
    defined = dg.define_asset_job("both_job", executor_def=dg.in_process_executor)
    return dg.Definitions(assets=[kept, made], asset_checks=[left_out], jobs=[defined]).resolve_job_def("both_job")


@pytest.mark.slow
def test_a_run_has_the_origin_and_the_tags_of_the_code_location(tmp_path: Path) -> None:
    planned = PlannedRun("calls", None, {made.key: "new"}, "", {})
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert execute_own_run(instance, planned, job, {}, {"own": "tag"})
        (run,) = instance.get_runs()
        executed = [entry.step_key for entry in instance.all_logs(run.run_id, dg.DagsterEventType.STEP_START)]
    assert run.remote_job_origin is not None
    assert (run.remote_job_origin.location_name, run.remote_job_origin.job_name) == ("urgency_dagster", "both_job")
    assert run.tags[".dagster/repository"] == "__repository__@urgency_dagster"
    assert (run.tags["dagster/code_location"], run.tags["own"]) == ("urgency_dagster", "tag")
    assert run.tags["dagster/max_retries"] == "0"
    assert (executed, run.asset_selection, run.asset_check_selection) == (["made"], {made.key}, set())

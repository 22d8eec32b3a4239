"""The lines that the `run` command prints during a run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from urgency_dagster.operations.console import PRINTED_EVENTS, SESSION_TAG, printed_events


@dg.asset(check_specs=[dg.AssetCheckSpec("sound", asset="table"), dg.AssetCheckSpec("small", asset="table")])
def table() -> dg.MaterializeResult:  # type: ignore[type-arg]
    """An asset with metadata, a passed check and a check that warns."""
    figures: dict[str, Any] = {
        "dagster/row_count": 3,
        "score": 0.123456,
        "note": "text",
        **{f"n{i}": i for i in range(6)},
    }
    warning = dg.AssetCheckResult(
        check_name="small",
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description="3 of 4 rows\nare rejected.",
        metadata={"path": dg.MetadataValue.path("/storage/rejects.parquet")},
    )
    return dg.MaterializeResult(
        metadata=figures, check_results=[dg.AssetCheckResult(check_name="sound", passed=True), warning]
    )


@dg.asset(deps=[table], retry_policy=dg.RetryPolicy(max_retries=1))
def broken(context: dg.AssetExecutionContext) -> None:
    """An asset whose step loses a connection, then fails."""
    if context.retry_number == 0:
        raise ConnectionResetError("the node\nis gone")
    raise dg.Failure("received three\nlines; expected one", allow_retries=False)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def run_printed(instance: dg.DagsterInstance) -> list[str]:
    """Runs both assets and returns the printed lines."""
    lines: list[str] = []
    with printed_events(instance, "a", lines.append):
        dg.materialize([table, broken], instance=instance, tags={SESSION_TAG: "a"}, raise_on_error=False)
    return lines


@pytest.mark.slow
def test_assets_failed_checks_and_failed_steps_have_a_line(instance: dg.DagsterInstance) -> None:
    lines = {line.split()[0]: line for line in run_printed(instance)}
    assert sorted(lines) == ["AGAIN", "FAILED", "WARN", "done"]
    assert lines["done"].split()[1] == "table"
    assert lines["done"].endswith(" s  row_count=3 score=0.1235 n0=0 n1=1 n2=2")
    assert lines["WARN"] == ("  WARN    check small of table: 3 of 4 rows are rejected. See /storage/rejects.parquet")
    assert lines["AGAIN"] == f"  AGAIN   {'broken':28} in 0 s, because of ConnectionResetError: the node is gone"
    assert lines["FAILED"] == f"  FAILED  {'broken':28} received three lines; expected one"


@pytest.mark.slow
def test_lines_to_copy_stay_lines(instance: dg.DagsterInstance) -> None:
    """Pressed into one line, YAML is no YAML."""
    description = "A column\ntells the label. The ways on:\nattention_audit:\n  accept: [a]"

    @dg.asset(check_specs=[dg.AssetCheckSpec("honest", asset="told")])
    def told() -> dg.MaterializeResult:  # type: ignore[type-arg]
        result = dg.AssetCheckResult(check_name="honest", passed=False, description=description)
        return dg.MaterializeResult(check_results=[result])

    @dg.asset(deps=[told])
    def stopped() -> None:
        raise dg.Failure(description, allow_retries=False)

    lines: list[str] = []
    with printed_events(instance, "a", lines.append):
        dg.materialize([told, stopped], instance=instance, tags={SESSION_TAG: "a"}, raise_on_error=False)
    sentence = "A column tells the label. The ways on:"
    assert f"  ERROR   check honest of told: {sentence}\nattention_audit:\n  accept: [a]" in lines
    assert f"  FAILED  {'stopped':28} {sentence}" in lines


@pytest.mark.slow
def test_another_session_has_no_line(instance: dg.DagsterInstance) -> None:
    lines: list[str] = []
    with printed_events(instance, "another", lines.append):
        dg.materialize([table], instance=instance, tags={SESSION_TAG: "a"})
    assert lines == []


def test_each_event_is_read_once(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long run has many events, so every poll reads only the new ones."""
    read: list[int] = []
    fetch = instance.get_records_for_run

    def counted(*args: Any, **kwargs: Any) -> Any:
        connection = fetch(*args, **kwargs)
        read.extend(record.storage_id for record in connection.records)
        return connection

    monkeypatch.setattr("urgency_dagster.operations.console.POLL_S", 0.001)
    monkeypatch.setattr(instance, "get_records_for_run", counted)
    run_printed(instance)
    run = instance.get_runs()[0]
    events = fetch(run.run_id, of_type=PRINTED_EVENTS).records
    assert read == [event.storage_id for event in events]

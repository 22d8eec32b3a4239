"""The lines that the `run` command prints while a run is in progress."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from urgency_dagster.paths import shown
from urgency_dagster.provenance.keys import name_of

Echo = Callable[[str], None]

SESSION_TAG = "urgency/session"
"""Run tag: identifies a run before Dagster has given it an id."""

WAITING = "waiting for Ray: "
"""How the message of a step begins that has no place on the Ray cluster."""

PRINTED_EVENTS = {
    dg.DagsterEventType.ENGINE_EVENT,
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_UP_FOR_RETRY,
    dg.DagsterEventType.RUN_FAILURE,
}
"""The events that are read. A step start prints no line; it gives the start time. Engine events print `WAITING`."""

KILLED_STEP = "its process was killed, for example for lack of memory"
"""What the line of a step says whose process ended without a result. Dagster has no message for it."""

POLL_S = 0.3
TO_COPY = ":\n"
"""What precedes lines in a description that a person copies into a file. They need their line breaks."""

MAX_FIGURES = 5
"""Maximum figures in the line of an asset."""


@contextmanager
def printed_events(instance: dg.DagsterInstance, session: str, echo: Echo) -> Iterator[None]:
    """Prints a line for each asset, failed check, and failed or repeated step of a run during the block.

    Args:
        instance: the Dagster instance.
        session: the value of SESSION_TAG of the run.
        echo: prints one line.
    """
    ended = threading.Event()
    printer = threading.Thread(target=_print_events, args=(instance, session, echo, ended), daemon=True)
    printer.start()
    try:
        yield
    finally:
        ended.set()
        printer.join()


def _print_events(instance: dg.DagsterInstance, session: str, echo: Echo, ended: threading.Event) -> None:
    step_starts: dict[str | None, float] = {}
    cursor: str | None = None
    while True:
        is_last_poll = ended.is_set()
        run_id = _run_id(instance, session)
        if run_id:
            events = instance.get_records_for_run(run_id, cursor=cursor, of_type=PRINTED_EVENTS)
            cursor = events.cursor
            for line in filter(None, (_line(record.event_log_entry, step_starts) for record in events.records)):
                echo(line)
        if is_last_poll:
            return
        time.sleep(POLL_S)


def _run_id(instance: dg.DagsterInstance, session: str) -> str | None:
    runs = instance.get_runs(dg.RunsFilter(tags={SESSION_TAG: session}), limit=1)
    return runs[0].run_id if runs else None


def _line(entry: dg.EventLogEntry, step_starts: dict[str | None, float]) -> str | None:
    """The line of an event, or None: a started step, a passed check, a run that failed because of a step."""
    event = entry.get_dagster_event()
    if event.event_type == dg.DagsterEventType.STEP_START:
        step_starts[event.step_key] = entry.timestamp
        return None
    if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
        seconds = entry.timestamp - step_starts.get(event.step_key, entry.timestamp)
        asset = event.step_materialization_data.materialization
        return f"  done    {name_of(asset.asset_key):28} {seconds:6.1f} s  {_figures(asset.metadata)}"
    if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        return None if check.passed else _failed_check(check)
    if event.event_type == dg.DagsterEventType.ENGINE_EVENT:
        return f"  {event.message}" if (event.message or "").startswith(WAITING) else None
    if event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY:
        retry = event.step_retry_data
        return (
            f"  AGAIN   {event.step_key:28} in {retry.seconds_to_wait or 0:.0f} s, because of {_message(retry.error)}"
        )
    error = _error(event)
    return f"  FAILED  {event.step_key or entry.job_name:28} {_cause(event) or _message(error)}" if error else None


def _failed_check(check: dg.AssetCheckEvaluation) -> str:
    """The line of a failed check: its sentence, with shares and cause, the file to look at, and lines to copy."""
    line = f"  {check.severity.value:7} check {check.check_name} of {name_of(check.asset_key)}"
    sentence, lines = _parts(check.description or "")
    path = check.metadata.get("path")
    see = f" See {shown(Path(str(path.value)))}" if path else ""
    return "\n".join([line + (f": {sentence}" if sentence else "") + see, *lines])


def _parts(description: str) -> tuple[str, list[str]]:
    """A description on one line, and the lines after TO_COPY as they are."""
    sentence, colon, lines = description.partition(TO_COPY)
    return " ".join(f"{sentence}{colon}".split()), lines.splitlines()


def _cause(event: dg.DagsterEvent) -> str | None:
    """The sentence of a step that says why it failed, on one line, or None. Lines to copy are those of its check."""
    if event.event_type != dg.DagsterEventType.STEP_FAILURE:
        return None
    failure = event.step_failure_data.user_failure_data
    return _parts(failure.description)[0] if failure and failure.description else None


def _error(event: dg.DagsterEvent) -> Any:
    """The error of a failed step or run, or None when the run failed because of a step."""
    if event.event_type == dg.DagsterEventType.STEP_FAILURE:
        return event.step_failure_data.error
    failure = event.job_failure_data
    return None if failure.first_step_failure_event else failure.error


def _figures(metadata: Mapping[str, Any]) -> str:
    """The first numbers of an asset's metadata."""
    numbers = {name: item.value for name, item in metadata.items() if isinstance(item.value, int | float)}
    formatted = [
        f"{name.removeprefix('dagster/')}={value:.4g}"
        if isinstance(value, float)
        else f"{name.removeprefix('dagster/')}={value}"
        for name, value in numbers.items()
    ]
    return " ".join(formatted[:MAX_FIGURES])


def _message(error: Any) -> str:
    """The message of the exception that the step raised, on one line and without its traceback."""
    cause = error.cause or error
    return KILLED_STEP if cause.cls_name == "ChildProcessCrashException" else " ".join(cause.message.split())

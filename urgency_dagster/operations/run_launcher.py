"""The run launcher of a storage root: Dagster's own one, which also knows whether a run's process lives."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress

import dagster as dg
import psutil
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus

from urgency_dagster.operations.processes import is_alive, local_process, process_of, process_tags

START_TIMEOUT_S = 180
"""Maximum seconds from the launch of a run until its process has said who it is."""

NAMED_WITHIN_S = 5.0
"""Maximum seconds that a launch waits for the process to exist."""

KILLED = "Its process no longer exists: it was killed, for example for lack of memory, or the machine was restarted."
"""Why a run without a process is marked as failed."""


class UrgencyRunLauncher(DefaultRunLauncher):
    """Starts runs in the code server. A run whose process is gone is unhealthy."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Dagster's run monitoring may ask for the health of a run."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run lives. A process that has not said who it is has `START_TIMEOUT_S`."""
        identity = process_of(run)
        alive = is_alive(identity) if identity else self._age(run) < START_TIMEOUT_S
        return CheckRunHealthResult(WorkerStatus.RUNNING if alive else WorkerStatus.FAILED, None if alive else KILLED)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Starts a run, and writes down its process at once. The process itself does so when it has its definitions."""
        super().launch_run(context)
        deadline = time.monotonic() + NAMED_WITHIN_S
        while (pid := self._launched_pid(context.dagster_run.run_id)) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if pid is not None:
            with suppress(psutil.NoSuchProcess):
                run_id = context.dagster_run.run_id
                self._instance.add_run_tags(run_id, process_tags(run_id, psutil.Process(pid)))

    def terminate(self, run_id: str) -> bool:
        """Cancels a run. A run that an earlier code server started is interrupted by a signal."""
        terminate: Callable[[str], bool] = super().terminate
        accepted = False
        with suppress(DagsterUserCodeUnreachableError):
            accepted = terminate(run_id)
        run = self._instance.get_run_by_id(run_id)
        identity = process_of(run) if run else None
        process = local_process(identity) if identity else None
        if accepted or process is None:
            return accepted
        process.send_signal(signal.SIGINT)
        return True

    def _launched_pid(self, run_id: str) -> int | None:
        """The process that the code server has started for a run, which Dagster notes as an event."""
        for entry in self._instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            event = entry.get_dagster_event()
            if str(event.message).startswith("Started process for run"):
                return int(str(event.engine_event_data.metadata["pid"].value))
        return None

    def _age(self, run: dg.DagsterRun) -> float:
        record = self._instance.get_run_record_by_id(run.run_id)
        return time.time() - (record.start_time or time.time()) if record else 0.0

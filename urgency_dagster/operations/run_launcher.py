"""The run launcher of a storage root: Dagster's own one, which also knows whether a run's process lives."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

from urgency_dagster.operations.processes import is_alive, local_process, process_of

START_TIMEOUT_S = 180
"""Maximum seconds from the launch of a run until its process has said who it is."""

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

    def _age(self, run: dg.DagsterRun) -> float:
        record = self._instance.get_run_record_by_id(run.run_id)
        return time.time() - (record.start_time or time.time()) if record else 0.0

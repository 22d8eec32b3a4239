"""A real `dev` whose steps are held in the middle of their work, and whose processes are killed one at a time."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from dagster._core.storage.tags import PARENT_RUN_ID_TAG

from urgency_dagster.operations.processes import local_process, process_of
from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.child_process import PATIENCE_S
from urgency_dagster_tests.defs.conftest import instance_of
from urgency_dagster_tests.defs.test_dev import processes
from urgency_dagster_tests.defs.test_server import Server

AFTER_RAY = 5
"""Fits after the kill of a process of Ray until the step counts as going on. Fits that were under way may still end."""

SERVICES = ("code server", "web server", "daemon")
LOADED = "{repositoriesOrError{... on RepositoryConnection{nodes{name}}}}"
HEARTBEATS = "{instance{daemonHealth{allDaemonStatuses{daemonType lastHeartbeatTime}}}}"
LAUNCH = """mutation($assets: [AssetKeyInput!]!, $tags: [ExecutionTag!]!) {launchPipelineExecution(executionParams: {
  selector: {repositoryName: "__repository__", repositoryLocationName: "urgency_dagster", jobName: "__ASSET_JOB",
             assetSelection: $assets}
  mode: "default", runConfigData: {}, executionMetadata: {tags: $tags}
}) {__typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}
    ... on InvalidSubsetError {message} ... on RunConfigValidationInvalid {errors {message}}}}"""


Parts = dict[Path, int]


@dataclass(frozen=True)
class Stage:
    """A step in whose middle processes are killed.

    Attributes:
        name: how the table calls it.
        step: the key of the step.
        parts: the files of the parts that are done, with their times of change in nanoseconds.
        done: the number of these parts. A training has one file, written again after each epoch.
    """

    name: str
    step: str
    parts: Callable[[StoragePaths], Parts]
    done: Callable[[StoragePaths], int]


@dataclass(frozen=True)
class Held:
    """A step process that is stopped by SIGSTOP in the middle of its work, with its Ray workers."""

    stage: Stage
    run: dg.DagsterRun
    process: psutil.Process
    parts: Parts
    done: int
    suspended: tuple[psutil.Process, ...] = ()

    def family(self, *names: str) -> list[psutil.Process]:
        """The descendants whose first word begins with one of some names; without names all."""
        with suppress(psutil.NoSuchProcess):
            return [child for child in self.process.children(recursive=True) if _word(child).startswith(names or "")]
        return []

    def suspend(self) -> tuple[psutil.Process, ...]:
        """Stops the process and its Ray workers, which would compute on without it; returns them."""
        suspended = (self.process, *self.family("ray::"))
        for process in suspended:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        return suspended

    def resume(self) -> None:
        """Lets what is left of it go on, also workers that have lost their parents: a stopped one would never end."""
        for process in reversed(self.suspended):
            with suppress(psutil.NoSuchProcess):
                process.resume()


@dataclass(frozen=True)
class Row:
    """What a kill did."""

    process: str
    step: str
    outcome: str
    seconds: float

    def __str__(self) -> str:
        """The row of a Markdown table."""
        return f"| {self.process} | {self.step} | {self.outcome} | {self.seconds:.1f} |"


class Matrix:
    """A `dev` on a storage root, and what happened to it."""

    def __init__(self, root: Path, **variables: str) -> None:
        self.paths, self.rows = StoragePaths(root), list[Row]()
        self.server = Server(root, **variables)
        self.server.wait_for(LOADED, lambda data: data["repositoriesOrError"].get("nodes"), PATIENCE_S)
        self.instance = instance_of(root)

    def launch(self, *assets: str, partition: str = "") -> str:
        """Materialises some assets, as a person does in the UI; returns the id of the run."""
        variables = {
            "assets": [{"path": asset.split("/")} for asset in assets],
            "tags": [{"key": "dagster/partition", "value": partition}] if partition else [],
        }
        launched = self.server.ask(LAUNCH, **variables)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def hold(self, stage: Stage, since: Parts | None = None, parts: int = 1) -> Held:
        """Stops a step when it has made some parts that are not in `since`, or not there now."""
        before = stage.parts(self.paths) if since is None else since
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for held in self._working(stage):
                while _works(held.process):
                    if len(stage.parts(self.paths).items() - before.items()) >= parts:
                        held = replace(held, suspended=held.suspend())
                        return replace(held, parts=stage.parts(self.paths), done=stage.done(self.paths))
                    time.sleep(0.003)
            time.sleep(0.2)
        raise AssertionError(f"{stage.step} does not go on\n" + self.server.log.read_text()[-4000:])

    def _working(self, stage: Stage) -> Iterator[Held]:
        """The living processes of a step."""
        for run in self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            for entry in self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_WORKER_STARTED):
                event: Any = entry.get_dagster_event()
                if event.step_key == stage.step:
                    with suppress(psutil.NoSuchProcess):
                        process = psutil.Process(int(event.engine_event_data.metadata["pid"].value))
                        yield Held(stage, run, process, {}, 0)

    def kill_services(self, *held: Held) -> None:
        """Kills code server, web server and daemon, one after another, while steps are held."""
        for number, service in enumerate(SERVICES):
            start, killed = time.monotonic(), time.time()
            before = processes(self.paths.root)[number]
            before.kill()
            while len(present := processes(self.paths.root)) < len(SERVICES) or present[number] == before:
                assert time.monotonic() < start + PATIENCE_S
                time.sleep(0.2)
            self.server.wait_for(LOADED, lambda data: data["repositoriesOrError"].get("nodes"))
            if service == "daemon":
                self.server.wait_for(HEARTBEATS, lambda data, killed=killed: _beats(data, killed))
            for one in held:
                run = self.instance.get_run_by_id(one.run.run_id)
                assert run is not None
                assert run.status == dg.DagsterRunStatus.STARTED, f"the run of the {one.stage.name}"
                self._note(service, one.stage, "starts again; the run goes on", start)

    def kill_step(self, held: Held) -> Held:
        """Kills the process of the step, which is repeated in its run."""
        start = time.monotonic()
        held.process.kill()
        return self._following("step process", held, start)

    def kill_ray(self, held: Held, what: str, *words: str) -> Held:
        """Kills a process of the step's Ray."""
        start = time.monotonic()
        next(iter(held.family(*words))).kill()
        return self._following(what, held, start, AFTER_RAY)

    def kill_worker(self, held: Held) -> Held:
        """Kills the process of the run. Its step ends, and the daemon repeats the run."""
        start = time.monotonic()
        run = self.instance.get_run_by_id(held.run.run_id)
        assert run is not None
        identity = process_of(run)
        worker = local_process(identity) if identity else None
        assert worker is not None
        family = {*held.suspended, *held.family()}
        worker.kill()
        held.resume()
        while alive := [process for process in family if _works(process)]:
            assert time.monotonic() < start + PATIENCE_S, alive
            time.sleep(0.02)
        return self._following(f"run worker (its step ended after {time.monotonic() - start:.1f} s)", held, start)

    def _following(self, what: str, held: Held, start: float, parts: int = 1) -> Held:
        """The step when it has gone on after a kill, held again."""
        held.resume()
        following = self.hold(held.stage, held.parts, parts)
        assert following.done > held.done, f"{held.stage.name}: {held.done} parts were done, then {following.done}"
        if following.run.run_id != held.run.run_id:
            outcome = "the run is repeated and continues"
            assert following.run.parent_run_id == held.run.run_id
        else:
            same = following.process == held.process
            outcome = "the step goes on" if same else "the step is repeated in its run and continues"
        self._note(what, held.stage, outcome, start)
        return following

    def _note(self, process: str, stage: Stage, outcome: str, start: float) -> None:
        self.rows.append(Row(process, stage.name, outcome, time.monotonic() - start))
        print(self.rows[-1], flush=True)

    def wait_for_end(self, launched: Iterable[str]) -> None:
        """Waits until the repetition of every launched run has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while not all(self._repetition_ended(run_id) for run_id in launched):
            assert time.monotonic() < deadline
            time.sleep(0.5)

    def wait_for_silence(self) -> None:
        """Waits until no process works on the storage root.

        What has lost its Ray ends by itself, but not at once: Ray's agents first try for a minute to report it.
        """
        deadline = time.monotonic() + PATIENCE_S
        while alive := of_root(self.paths.root):
            assert time.monotonic() < deadline, [(process.status(), _word(process)) for process in alive]
            time.sleep(0.2)

    def _repetition_ended(self, run_id: str) -> bool:
        repetitions = self.instance.get_runs(dg.RunsFilter(tags={PARENT_RUN_ID_TAG: run_id}))
        return bool(repetitions) and all(run.is_finished for run in repetitions)


def of_root(root: Path) -> list[psutil.Process]:
    """Every process that works on a storage root.

    The kernel's block is read: psutil sees no environment of Ray's agents, whose titles lie over its beginning.
    """
    found = []
    for process in psutil.process_iter():
        with suppress(OSError):
            block = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            if f"URGENCY_STORAGE={root}".encode() in block and _works(process):
                found.append(process)
    return found


def _works(process: psutil.Process) -> bool:
    """Whether a process lives. One that its parent has not yet waited for (zombie) does not."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _word(process: psutil.Process) -> str:
    """The name of the program, or the title that Ray gives to a worker."""
    with suppress(psutil.Error, IndexError):
        word = process.cmdline()[0]
        return word if word.startswith("ray::") else Path(word).name
    return ""


def _beats(data: Any, since: float) -> bool:
    statuses = data["instance"]["daemonHealth"]["allDaemonStatuses"]
    needed = [status for status in statuses if status["daemonType"] in ("SENSOR", "MONITORING")]
    return all((status["lastHeartbeatTime"] or 0) > since for status in needed)

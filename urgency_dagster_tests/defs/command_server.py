"""Commands forked from a process that has imported the libraries: each starts at once instead of after seconds.

`python -m urgency_dagster_tests.defs.command_server` reads one JSON request a line and answers with one JSON line.
A forked command has its own session, environment and output files, and forks its step processes likewise.
"""

import atexit
import importlib
import json
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import util
from pathlib import Path
from typing import Any, NoReturn

PRELOADED = (
    "dagster",
    "urgency_dagster.defs.attention_assets",
    "urgency_dagster.defs.call_assets",
    "urgency_dagster.defs.sensors",
    "urgency_dagster.defs.urgency_assets",
    "urgency_dagster.operations.run_command",
    "urgency_dagster.operations.summary",
    "pyarrow.parquet",
    "soundfile",
    "torch",
    "transformers.models.electra.modeling_electra",
    "transformers.models.wav2vec2.modeling_wav2vec2",
)
"""Everything a command imports except `urgency_dagster.definitions`, which reads the environment."""

POLL_S = 0.005


class Command:
    """A forked command. `pid` is also its process group."""

    def __init__(self, server: "CommandServer", pid: int, output: Path) -> None:
        self.pid, self.output = pid, output
        self._server = server
        self._returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code (negative: the signal that killed it), or None while it runs."""
        if self._returncode is None:
            self._returncode = self._server.ask({"poll": self.pid})
        return self._returncode

    def wait(self, timeout_s: float) -> int:
        """Waits for the end and returns the exit code."""
        deadline = time.monotonic() + timeout_s
        while (code := self.poll()) is None:
            assert time.monotonic() < deadline, f"the command still runs after {timeout_s} s"
            time.sleep(POLL_S)
        return code

    def kill(self) -> None:
        """Kills its process group and waits until the command is gone."""
        with suppress(ProcessLookupError):  # the group has ended
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(60)


class CommandServer:
    """The client of one server process."""

    def __init__(self, environment: Callable[..., dict[str, str]], scratch: Path) -> None:
        self._environment, self._scratch = environment, scratch
        command = [sys.executable, "-m", __name__]
        self._process = subprocess.Popen(
            command, env=environment(scratch), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, request: dict[str, Any]) -> Any:
        """Sends a request and returns the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, root: Path, *arguments: str, **more: str) -> Command:
        """Starts `urgency-dagster` with some arguments on a storage root."""
        output = Path(tempfile.mkdtemp(dir=self._scratch))
        request = {"arguments": arguments, "environment": self._environment(root, **more), "output": str(output)}
        return Command(self, self.ask(request), output)

    def run(self, root: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """`urgency-dagster run` on a storage root, to its end."""
        command = self.start(root, "run", *arguments, **more)
        try:
            returncode = command.wait(560)
        finally:
            command.kill()
        texts = [(command.output / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess("run", returncode, *texts)

    @contextmanager
    def running(self, root: Path, group: str = "calls") -> Iterator[Command]:
        """A `run` command for one group; its processes are killed at the end of the block."""
        command = self.start(root, "run", "--only", group)
        try:
            yield command
        finally:
            command.kill()

    def close(self) -> None:
        """Ends the server process."""
        self._process.communicate(timeout=60)


def _fork_instead_of_spawn(path: bytes, args: Sequence[str], passfds: Sequence[int]) -> int:
    """Takes the place of `multiprocessing.util.spawnv_passfds`: the fork server starts with the libraries imported."""
    pid = os.fork()
    if pid:
        return pid
    try:
        # An executed program would have none of these files open.
        for number in [int(link.name) for link in Path("/proc/self/fd").iterdir()]:
            if number not in (0, 1, 2, *passfds):
                with suppress(OSError):
                    os.close(number)
        _renew_lock(multiprocessing.forkserver._forkserver, threading.Lock())
        _renew_lock(multiprocessing.resource_tracker._resource_tracker, threading.RLock())
        exec(args[-1], {})
    finally:
        os._exit(0)


def _renew_lock(server: object, lock: object) -> None:
    """Replaces a lock that was held during the fork."""
    vars(server)["_lock"] = lock


def _become_command(request: dict[str, Any]) -> NoReturn:
    """Turns this forked process into a command: session, output, environment, fork server, and the program itself."""
    code = 1
    try:
        os.setsid()
        for number, name in enumerate(("stdout", "stderr"), start=1):
            os.dup2(os.open(Path(request["output"], name), os.O_WRONLY | os.O_CREAT), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(request["environment"])
        _start_fork_server()
        from urgency_dagster.cli import main

        main(request["arguments"], prog_name="urgency-dagster")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - this process ends here
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _start_fork_server() -> None:
    """Starts the process that steps are forked from. It must come first: later this process has threads."""
    functions = vars(util)
    spawn, functions["spawnv_passfds"] = functions["spawnv_passfds"], _fork_instead_of_spawn
    multiprocessing.forkserver.set_forkserver_preload(["urgency_dagster.definitions"])
    multiprocessing.forkserver.ensure_running()
    functions["spawnv_passfds"] = spawn


def _poll(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _answer(request: dict[str, Any]) -> int | None:
    if "poll" in request:
        return _poll(request["poll"])
    pid = os.fork()
    if pid == 0:
        _become_command(request)
    return pid


def serve() -> None:
    """Imports the libraries, then answers requests until the input ends."""
    from urgency_dagster.operations.environment import prepare_process

    prepare_process()
    for name in PRELOADED:
        importlib.import_module(name)
    if threading.active_count() > 1:
        raise RuntimeError(f"{threading.enumerate()} run; expected one thread, because threads do not survive a fork")
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()

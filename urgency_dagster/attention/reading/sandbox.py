"""An attention pickle is read by a process of its own, with little memory and time. What it may say is in `pickles`.

The process leaves Parquet and JSON, or a refusal as JSON; nothing that it says is unpickled. Whatever happens to it,
the stored features are complete or what they were before. Linux enforces the memory limit; on other systems there is
none, and the summary says so.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from urgency_dagster.attention.reading.features import write_features
from urgency_dagster.attention.reading.pickles import MAX_BYTES, load_attention_pickle
from urgency_dagster.configuration import Configuration
from urgency_dagster.errors import AttentionError, UrgencyError
from urgency_dagster.paths import AttentionPaths, StoragePaths
from urgency_dagster.writing import read_json, replacing_folder, write_json

MB = 1024**2

LEAST_MEMORY_MB = 384
"""What a small file may take on top of the libraries."""

MEMORY_PER_BYTE = 6
"""The file, X in one piece, its copy in Arrow and what Parquet makes of it, with a reserve.

Source: measured; 2,619 rows and 3,356 columns need 2.4 to 2.7 on Linux.
"""

REFUSED = 3
"""The exit code of a process that has written down why it refused the file."""

LONGEST_ANSWER = 16 * MB
"""Bytes of a summary or refusal that are read. Half a megabyte tells of ten thousand columns."""

LONGEST_PART = 300
"""Letters of each part of a refusal: a pickle can ask for a name of any length."""

_REFUSAL = "refused.json"

_LITTLE_ADDRESS_SPACE = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Threads, the heaps of threads and Arrow's own allocator reserve address space that they do not use."""


class LoadingLimits(Configuration):
    """The limits of reading a landed pickle in its sandbox process."""

    max_mb: int = Field(MAX_BYTES // MB, ge=1)
    """Maximum size of the file, and of the table X in memory, in megabytes. A larger file is refused unread."""

    memory_mb: int | None = Field(None, ge=1)
    """Memory that reading may use beyond the imported libraries, in megabytes (Linux only). By default it is derived from
    the size of the file."""

    time_s: int = Field(600, ge=1)
    """Maximum time of reading, in seconds."""

    def memory_for(self, size: int) -> int:
        """The memory limit for a file of `size` bytes, in megabytes."""
        return self.memory_mb or LEAST_MEMORY_MB + MEMORY_PER_BYTE * size // MB


def import_pickle(pickle: Path, paths: AttentionPaths, limits: LoadingLimits = LoadingLimits()) -> dict[str, Any]:
    """Stores the features and samples of a pickle, and returns their summary.

    Args:
        pickle: the landed file. It is opened by another process only.
        paths: where the features go. They are replaced when all are there, and else stay as they were.
        limits: what reading may cost.

    Raises:
        AttentionError: the file is missing or refused (see `pickles.load_attention_pickle`), or reading it took too
            much memory or time, or crashed.
    """
    with replacing_folder(paths.features_folder) as folder:
        request = {"pickle": str(pickle.absolute()), "folder": str(folder.absolute()), "limits": limits.model_dump()}
        _check(_code_of_reader(request, limits.time_s), folder, limits)
        staged = replace(paths, features_folder=folder)
        return _answer(staged.summary)


def _code_of_reader(request: dict[str, Any], time_s: int) -> int:
    """The exit code of the process that did as the request says.

    Raises:
        AttentionError: it took too long.
    """
    # What this process can import, the other can: Ray and pytest extend the path at run time.
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    command = [sys.executable, "-P", "-m", "urgency_dagster.attention.reading.sandbox"]
    environment = {**os.environ, **_LITTLE_ADDRESS_SPACE, "PYTHONPATH": path}
    try:
        done = subprocess.run(  # noqa: S603 - this module itself
            command, input=json.dumps(request), text=True, env=environment, timeout=time_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        expected, remedy = f"at most {time_s} s", "raise time_s if you trust the file"
        raise AttentionError("reading the pickle takes too long", expected, remedy) from error
    return done.returncode


def _check(code: int, folder: Path, limits: LoadingLimits) -> None:
    """Nothing if the process did its work.

    Raises:
        AttentionError: the process refused the file, or did not come to an end of its own.
    """
    if code == 0:
        return
    if code == REFUSED:
        raise AttentionError(*_answer(folder / _REFUSAL))
    received = f"the process that read the pickle was ended by {_signal_name(code)}"
    if code > 0:
        received = f"the process that read the pickle ended with code {code}, as its last lines on stderr say"
    # Libraries written in C++ meet the end of memory in ways of their own.
    memory = f"{limits.memory_mb} MB" if limits.memory_mb else "the memory that the size of the file explains"
    remedy = "write the pickle again; if you trust it, raise memory_mb"
    raise AttentionError(received, f"an end of its own, within {memory}", remedy)


def _signal_name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _answer(file: Path) -> Any:
    """What the process wrote."""
    if not file.is_file() or file.stat().st_size > LONGEST_ANSWER:
        raise AttentionError(f"the process that read the pickle left no usable {file.name}", "one", "try again")
    return read_json(file)


def main() -> None:
    """Does what the request on stdin says, in this process, and exits."""
    request = json.load(sys.stdin)
    folder, limits = Path(request["folder"]), LoadingLimits(**request["limits"])
    try:
        _store(Path(request["pickle"]), folder, limits)
    except UrgencyError as error:
        write_json(folder / _REFUSAL, [_shown(str(part)) for part in error.args])
        sys.exit(REFUSED)


def _store(pickle: Path, folder: Path, limits: LoadingLimits) -> None:
    # Before the limit, which counts what comes on top of the libraries.
    import pyarrow.parquet  # noqa: F401

    memory_mb = limits.memory_for(pickle.stat().st_size if pickle.is_file() else 0)
    limited = _limit(memory_mb, limits.time_s)
    try:
        data = load_attention_pickle(pickle, max_bytes=limits.max_mb * MB)
        if not limited:
            data = replace(data, warnings=(*data.warnings, "this system could not limit the memory of reading"))
        write_features(data, replace(StoragePaths(folder).attention, features_folder=folder))
    except MemoryError as error:
        received = f"reading the pickle takes more than {memory_mb} MB of memory"
        raise AttentionError(received, "no more than its size explains", "raise memory_mb if you trust it") from error


def _limit(memory_mb: int, time_s: int) -> bool:
    """Limits this process for good; whether its memory could be limited.

    The time is that of the processor, and a little more than its parent waits: it counts when the parent was killed.
    """
    if sys.platform != "linux":
        return False
    import resource

    import psutil

    most = psutil.Process().memory_info().vms + memory_mb * MB
    for kind, limit in (
        (resource.RLIMIT_AS, most),
        (resource.RLIMIT_CPU, time_s + 1),
        # A crash is not to leave the participants' data in a core file.
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lower, lower))
    return True


def _shown(text: str) -> str:
    """A part of a refusal that fits a log: names in a pickle may hold anything."""
    cut = text if len(text) <= LONGEST_PART else f"{text[:LONGEST_PART]}..."
    return "".join(letter if letter.isprintable() else "?" for letter in cut)


if __name__ == "__main__":
    main()

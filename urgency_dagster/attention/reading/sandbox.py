"""Reads an attention pickle in a sandbox: a child process with limited memory and time.

The child process writes Parquet and JSON, or the reason of a refusal as JSON. This process unpickles nothing. If the
child process fails, the features that were stored before stay unchanged. The memory limit works on Linux only; on other
systems the summary holds a warning.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from urgency_dagster.attention.reading.containers import content_size
from urgency_dagster.attention.reading.features import write_features
from urgency_dagster.attention.reading.first_rows import first_of_each_prompt
from urgency_dagster.attention.reading.pickles import MAX_BYTES, load_attention_pickle
from urgency_dagster.attention.reading.row_draw import drawn_by_the_original
from urgency_dagster.configuration import Configuration
from urgency_dagster.errors import AttentionError, UrgencyError
from urgency_dagster.paths import AttentionPaths, StoragePaths, labels_beside
from urgency_dagster.writing import read_json, replacing_folder, write_json

MB = 1024**2

MIN_MEMORY_MB = 384
"""Memory limit of a small file beyond the imported libraries, in megabytes."""

MEMORY_PER_BYTE = 6
"""Bytes of memory for each byte of the file: the file, X, its Arrow copy and the Parquet buffers, with a reserve.

Source: measured; 2,619 rows and 3,356 columns need 2.4 to 2.7 on Linux.
"""

REFUSED = 3
"""Exit code of a child process that refused the file and wrote the reason."""

MAX_RESPONSE_BYTES = 16 * MB
"""Maximum size of the child's JSON files. A summary of ten thousand columns takes half a megabyte."""

MAX_MESSAGE_LENGTH = 300
"""Maximum length of each part of a refusal, in characters: a pickle can contain names of any length."""

_REFUSAL = "refused.json"

_LITTLE_ADDRESS_SPACE = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Environment of the child process. Threads and Arrow's own allocator would reserve address space without using it."""


class LoadingLimits(Configuration):
    """The limits of reading a landed pickle in its sandbox process."""

    machine: ClassVar[frozenset[str]] = frozenset({"max_mb", "memory_mb", "time_s"})

    max_mb: int = Field(MAX_BYTES // MB, ge=1)
    """Maximum size of the file, and of the table X in memory, in megabytes. A larger file is refused unread."""

    memory_mb: int | None = Field(None, ge=1)
    """Maximum memory of reading beyond the imported libraries, in megabytes (Linux only). By default it is derived
    from the size of the file."""

    time_s: int = Field(600, ge=1)
    """Maximum time of reading, in seconds."""

    def memory_for(self, size: int) -> int:
        """The memory limit for a file of `size` bytes, in megabytes."""
        return self.memory_mb or MIN_MEMORY_MB + MEMORY_PER_BYTE * size // MB


class FeatureConfig(LoadingLimits):
    """The choice of columns and rows of a landed pickle, and the limits of reading it in its sandbox process."""

    drop_columns: tuple[str, ...] = ()
    """Columns that are left out: names, or patterns such as `ESM#LIK#*`. A pattern must match a column."""

    column_names: tuple[str, ...] = ()
    """The names of the columns in their order, if X is an array without names. Empty: the names in the file."""

    protocol: Literal["honest", "original"] = "honest"
    """`honest`: every row. `original`: the nine tenths that the original notebook draws at random and cross-validates,
    in its order. Do not use it for its file `attention_train_val.pkl`, which has these rows alone."""

    replicates: Literal["all", "first"] = "all"
    """The rows of a prompt that is replicated at several times. `all`: every row. `first`: the earliest row of each
    prompt, which knows nothing of the time after the answer."""


def import_pickle(pickle: Path, paths: AttentionPaths, limits: FeatureConfig | None = None) -> dict[str, Any]:
    """Stores the features and samples of a pickle; returns their summary (see `inventory.feature_summary`).

    Args:
        pickle: the landed file. Only the child process opens it.
        paths: where the features go. Stored features are replaced only if everything succeeds.
        limits: the choice of columns and rows, and the limits of reading; the defaults of FeatureConfig if None.

    Raises:
        AttentionError: the file is missing or refused (see `pickles.load_attention_pickle`); reading exceeds a limit
            or crashes.
    """
    limits = limits or FeatureConfig()
    with replacing_folder(paths.features_folder) as folder:
        request = {"pickle": str(pickle.absolute()), "folder": str(folder.absolute()), "limits": limits.model_dump()}
        _check_exit(_run_child(request, limits.time_s), folder, limits)
        staged = replace(paths, features_folder=folder)
        summary: dict[str, Any] = _response(staged.summary)
        return summary


def _run_child(request: dict[str, Any], time_s: int) -> int:
    """Runs the child process; returns its exit code.

    Raises:
        AttentionError: reading takes longer than `time_s`.
    """
    # The child process needs the same import path, which Ray and pytest extend at run time.
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    command = [sys.executable, "-P", "-m", "urgency_dagster.attention.reading.sandbox"]
    environment = {**os.environ, **_LITTLE_ADDRESS_SPACE, "PYTHONPATH": path}
    try:
        completed = subprocess.run(  # noqa: S603 - runs this module
            command, input=json.dumps(request), text=True, env=environment, timeout=time_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        expected, remedy = f"at most {time_s} s", "raise time_s if you trust the file"
        raise AttentionError("reading the pickle takes too long", expected, remedy) from error
    return completed.returncode


def _check_exit(code: int, folder: Path, limits: LoadingLimits) -> None:
    """Checks the exit code of the child process.

    Raises:
        AttentionError: the child process refused the file, crashed, or was killed.
    """
    if code == 0:
        return
    if code == REFUSED:
        raise AttentionError(*_response(folder / _REFUSAL))
    received = f"the process that read the pickle was killed by {_signal_name(code)}"
    if code > 0:
        received = f"the process that read the pickle failed with exit code {code}; its last lines on stderr say why"
    # C++ libraries crash in different ways when the memory is not enough.
    memory = f"{limits.memory_mb} MB" if limits.memory_mb else "the memory limit that follows from the file size"
    remedy = "write the pickle again; if you trust it, raise memory_mb"
    raise AttentionError(received, f"exit code 0 within {memory}", remedy)


def _signal_name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _response(file: Path) -> Any:
    """The JSON that the child process wrote."""
    if not file.is_file() or file.stat().st_size > MAX_RESPONSE_BYTES:
        expected = f"a JSON file of at most {MAX_RESPONSE_BYTES // MB} MB"
        raise AttentionError(f"the process that read the pickle left no usable {file.name}", expected, "try again")
    return read_json(file)


def main() -> None:
    """Runs in the child process: reads the request from stdin, stores the features, and exits."""
    request = json.load(sys.stdin)
    folder, limits = Path(request["folder"]), FeatureConfig(**request["limits"])
    try:
        _store(Path(request["pickle"]), folder, limits)
    except UrgencyError as error:
        write_json(folder / _REFUSAL, [_printable(str(part)) for part in error.args])
        sys.exit(REFUSED)


def _store(pickle: Path, folder: Path, limits: FeatureConfig) -> None:
    # Imported before the limit is set: the limit counts memory beyond the libraries.

    if limits.protocol == "original":
        import sklearn.model_selection  # noqa: F401

    labels = labels_beside(pickle)
    memory_mb = limits.memory_for(min(content_size(pickle) + content_size(labels), limits.max_mb * MB))
    limited = _set_limits(memory_mb, limits.time_s)
    try:
        data = load_attention_pickle(
            pickle,
            max_bytes=limits.max_mb * MB,
            drop_columns=limits.drop_columns,
            column_names=limits.column_names,
            labels=labels,
        )
        if limits.protocol == "original":
            data = drawn_by_the_original(data)
        if limits.replicates == "first":
            data = first_of_each_prompt(data)
        if not limited:
            data = replace(data, warnings=(*data.warnings, "this system could not limit the memory of reading"))
        write_features(data, replace(StoragePaths(folder).attention, features_folder=folder))
    except MemoryError as error:
        received = f"reading the pickle takes more than {memory_mb} MB of memory"
        raise AttentionError(received, "at most this memory limit", "raise memory_mb if you trust the file") from error


def _set_limits(memory_mb: int, time_s: int) -> bool:
    """Limits memory and processor time of this process; returns whether the system supports the memory limit.

    The processor time is one second longer than the parent waits. It ends the child process if the parent was killed.
    """
    if sys.platform != "linux":
        return False
    import resource

    import psutil

    max_address_space = psutil.Process().memory_info().vms + memory_mb * MB
    for kind, limit in (
        (resource.RLIMIT_AS, max_address_space),
        (resource.RLIMIT_CPU, time_s + 1),
        # A core file would hold data of the participants.
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lower, lower))
    return True


def _printable(text: str) -> str:
    """A shortened text of printable characters: names in a pickle can hold any character."""
    short = text if len(text) <= MAX_MESSAGE_LENGTH else f"{text[:MAX_MESSAGE_LENGTH]}..."
    return "".join(character if character.isprintable() else "?" for character in short)


if __name__ == "__main__":
    main()

"""The environment variables and the umask of every process of the project, and what earlier versions left open."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from urgency_dagster.paths import StoragePaths

STEP_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "LRU_CACHE_CAPACITY": "16",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_task_oom_retries": "3",
    "TOKENIZERS_PARALLELISM": "false",
}
"""No library reports usage. Ray, which listens on all interfaces, requires a token. CUDA is reproducible.

Torch asks the driver for GPUs through NVML, because a forked process cannot use CUDA that its parent initialised.
Without `RAY_task_oom_retries`, Ray repeats a task for ever that needs too much memory.

On the CPU, torch keeps 1,024 operations of every kind, and oneDNN as many in all, one for each shape. A turn has a
length of its own, so these two caches grow and are hardly used again: with these capacities the memory of scoring is
flat. Source: `lru_cache.hpp` of ideep for the first variable, the developer guide of oneDNN for the second. Arrow's own
allocator keeps what it once held, that of the system gives it back.
"""


DEFAULT_UMASKS = (0o022, 0o002)
"""The umasks that Linux distributions set. Nobody chose them for this data."""

PRIVATE_UMASK = 0o077
"""Files and folders of the owner only."""

DEFAULT_MODES = frozenset(0o777 & ~umask for umask in DEFAULT_UMASKS)
"""The modes of folders that nobody chose."""


def prepare_process() -> None:
    """Sets the variables of `STEP_ENVIRONMENT` that the user has not set, and a private umask. Children inherit both.

    The umask stays if it is none of DEFAULT_UMASKS: with 027, for example, the group can read.
    """
    for name, value in STEP_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _use_arrow_pool()
    inherited = os.umask(PRIVATE_UMASK)
    if inherited not in DEFAULT_UMASKS:
        os.umask(inherited)


def _use_arrow_pool() -> None:
    """Follows Arrow's variable here too. Arrow read it when it was imported, which was before."""
    import pyarrow as pa

    if os.environ["ARROW_DEFAULT_MEMORY_POOL"] == "system":
        pa.set_memory_pool(pa.system_memory_pool())


def close_former(paths: StoragePaths) -> list[str]:
    """Closes to others what an earlier version left open: the folders of artefacts, and Ray's token.

    A closed folder protects everything below it. The storage root and `landing/` are the user's: they stay as they are,
    and so does a folder whose mode somebody chose. Nothing is closed under a umask that is not private.

    Returns:
        The names of the folders that were closed.
    """
    if _umask() != PRIVATE_UMASK:
        return []
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    with suppress(OSError):  # Ray needs no token here, or it belongs to another user
        token.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return [paths.relative(folder) for folder in paths.made_folders if _close(folder)]


def _close(folder: Path) -> bool:
    """Closes a folder that has a default mode; says whether it did."""
    with suppress(OSError):  # it does not exist, or it belongs to another user
        if stat.S_IMODE(folder.stat().st_mode) in DEFAULT_MODES:
            folder.chmod(stat.S_IRWXU)
            return True
    return False


def _umask() -> int:
    present = os.umask(PRIVATE_UMASK)
    os.umask(present)
    return present

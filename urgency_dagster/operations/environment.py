"""The environment variables and the umask of every process of the project."""

import os

STEP_ENVIRONMENT = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_task_oom_retries": "3",
    "TOKENIZERS_PARALLELISM": "false",
}
"""No library reports usage. Ray, which listens on all interfaces, requires a token. CUDA is reproducible.

Torch asks the driver for GPUs through NVML, because a forked process cannot use CUDA that its parent initialised.
Without `RAY_task_oom_retries`, Ray repeats a task for ever that needs too much memory.
"""


DEFAULT_UMASKS = (0o022, 0o002)
"""The umasks that Linux distributions set. Nobody chose them for this data."""

PRIVATE_UMASK = 0o077
"""Files and folders of the owner only."""


def prepare_process() -> None:
    """Sets the variables of `STEP_ENVIRONMENT` that the user has not set, and a private umask. Children inherit both.

    The umask stays if it is none of DEFAULT_UMASKS: with 027, for example, the group can read.
    """
    for name, value in STEP_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    inherited = os.umask(PRIVATE_UMASK)
    if inherited not in DEFAULT_UMASKS:
        os.umask(inherited)

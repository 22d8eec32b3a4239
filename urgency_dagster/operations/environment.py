"""The environment variables that every process of the project runs with."""

import os

STEP_ENVIRONMENT = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_task_oom_retries": "3",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Nothing reports usage to anybody; Ray, which listens on all interfaces, asks for its token; CUDA is reproducible.

Without `RAY_task_oom_retries` Ray repeats a task that needs too much memory for ever.
"""


def prepare_process() -> None:
    """Sets `STEP_ENVIRONMENT` in this process and its children, wherever the user has not decided otherwise."""
    for name, value in STEP_ENVIRONMENT.items():
        os.environ.setdefault(name, value)

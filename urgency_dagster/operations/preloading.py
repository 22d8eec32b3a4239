"""The process that steps are forked from imports the heavy libraries once, instead of each step.

Importing torch and transformers takes longer than most steps of a small archive. Only libraries that start no thread
and initialise no GPU when they are imported may be listed: a fork keeps neither. Ray and OpenVINO are not listed.
"""

from collections.abc import Iterable, Sequence
from multiprocessing import forkserver

import dagster as dg

from urgency_dagster.operations.processes import name_run_process

EVERY_STEP = (
    "dagster._core.executor.multiprocess",
    "dagster._core.instance.factory",
    "dagster._core.storage.base_storage",
    "dagster._core.storage.root",
    "upath.implementations.local",
    "watchdog.observers.polling",
    "urgency_dagster.cli",
    "urgency_dagster.definitions",
)
"""What every step imports: the definitions, and what Dagster imports when it opens the run history."""

HEAVY_LIBRARIES = {
    "calls": (
        "scipy.stats",
        "soundfile",
        "torch",
        "transformers.models.wav2vec2.modeling_wav2vec2",
        "transformers.models.wav2vec2.feature_extraction_wav2vec2",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
        "pyarrow.dataset",
        "scipy.fft",
        "soxr",
    ),
    "urgency": (
        "scipy.stats",
        "torch",
        "transformers.models.electra.modeling_electra",
        "sklearn.metrics",
        "sklearn.feature_extraction.text",
        "sklearn.linear_model",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
    ),
    "scoring": (
        "soundfile",
        "torch",
        "transformers.models.wav2vec2.modeling_wav2vec2",
        "transformers.models.wav2vec2.feature_extraction_wav2vec2",
        "transformers.models.electra.modeling_electra",
    ),
    "attention": (
        "scipy.stats",
        "sklearn.ensemble",
        "sklearn.linear_model",
        "xgboost",
        "lightgbm",
        "imblearn.over_sampling",
        "skops.io",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
    ),
}
"""The libraries that several steps of a group import. One that is not installed is skipped."""


HEAVY_STEPS = frozenset(
    {
        "utterance_embeddings",
        "urgency_model",
        "urgency_evaluation",
        "attention_cv",
        "attention_audit",
        "attention_models",
        "scored_utterances",
    }
)
"""The assets, by the first part of their keys, whose steps import most of these libraries."""


def has_heavy_step(assets: Iterable[dg.AssetKey]) -> bool:
    """Whether a run of some assets gains by the libraries. Without such a step, their import would only delay it."""
    return any(key.path[0] in HEAVY_STEPS for key in assets)


def start_step_server(groups: Sequence[str]) -> None:
    """Starts the process that the steps of all later runs of this process are forked from.

    Python has one such process for each process, and ignores later lists of modules.

    Args:
        groups: the groups whose libraries it imports, in the background.
    """
    name_run_process()  # steps have the environment that this process has now
    heavy = dict.fromkeys(library for group in groups for library in HEAVY_LIBRARIES[group])
    forkserver.set_forkserver_preload([*EVERY_STEP, *heavy])
    forkserver.ensure_running()

"""The urgency subject: rows and vectors of all archives become a trained and evaluated model that predicts.

This is the public door of the subject. Names are imported on first use, so that importing the door is cheap.
Rooms from top to bottom: `evaluation`, `training`, `package`, `network`, `data`. They are private.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from urgency_dagster.urgency.configuration import EvaluationConfig, SplitConfig, TrainingConfig
    from urgency_dagster.urgency.data.dataset import TrainingSetSummary, build_training_set
    from urgency_dagster.urgency.data.duplicates import SharedCalls, find_shared_calls
    from urgency_dagster.urgency.data.tables import TRAINING_ROWS
    from urgency_dagster.urgency.evaluation.evaluation import evaluate, read_metrics
    from urgency_dagster.urgency.evaluation.leak_gap import LeakGap, measure_leak_gap
    from urgency_dagster.urgency.evaluation.report import draw_history
    from urgency_dagster.urgency.prediction import Prediction
    from urgency_dagster.urgency.predictor import Predictor, load_model, load_original_checkpoint
    from urgency_dagster.urgency.training.fit import EpochScores, TrainingSummary, train
    from urgency_dagster.urgency.versions import CODE_VERSIONS

__all__ = [
    "CODE_VERSIONS",
    "TRAINING_ROWS",
    "EpochScores",
    "EvaluationConfig",
    "LeakGap",
    "Prediction",
    "Predictor",
    "SharedCalls",
    "SplitConfig",
    "TrainingConfig",
    "TrainingSetSummary",
    "TrainingSummary",
    "build_training_set",
    "draw_history",
    "evaluate",
    "find_shared_calls",
    "load_model",
    "load_original_checkpoint",
    "measure_leak_gap",
    "read_metrics",
    "train",
]

_MODULES = {
    "CODE_VERSIONS": "versions",
    "TRAINING_ROWS": "data.tables",
    "EpochScores": "training.fit",
    "EvaluationConfig": "configuration",
    "LeakGap": "evaluation.leak_gap",
    "Prediction": "prediction",
    "Predictor": "predictor",
    "SharedCalls": "data.duplicates",
    "SplitConfig": "configuration",
    "TrainingConfig": "configuration",
    "TrainingSetSummary": "data.dataset",
    "TrainingSummary": "training.fit",
    "build_training_set": "data.dataset",
    "draw_history": "evaluation.report",
    "evaluate": "evaluation.evaluation",
    "find_shared_calls": "data.duplicates",
    "load_model": "predictor",
    "load_original_checkpoint": "predictor",
    "measure_leak_gap": "evaluation.leak_gap",
    "read_metrics": "evaluation.evaluation",
    "train": "training.fit",
}
"""The module of each public name, below this package."""


def __getattr__(name: str) -> Any:
    """Imports a public name on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)

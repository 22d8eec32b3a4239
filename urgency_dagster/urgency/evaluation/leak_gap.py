"""How much a split by utterance inflates the scores: the same model, trained and judged on the original's split.

About thirty utterances of a call share its label, its voices and its channel. With some of them on either side, a model
is asked for what it was told.
"""

import shutil
from dataclasses import asdict, dataclass
from typing import Any

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.progress import Progress, silent
from urgency_dagster.urgency.configuration import EvaluationConfig, SplitConfig, TrainingConfig
from urgency_dagster.urgency.data.dataset import build_training_set, read_training_set
from urgency_dagster.urgency.data.splits import UTTERANCE
from urgency_dagster.urgency.evaluation.evaluation import evaluate, read_metrics
from urgency_dagster.urgency.package.model_folder import read_card
from urgency_dagster.urgency.training.fit import train
from urgency_dagster.writing import write_json

TASKS = ("urgency", "sentiment")


@dataclass(frozen=True)
class LeakGap:
    """Macro-F1 by utterance of the same model on both splits, by task.

    Attributes:
        by_call: on the split of the training set, as evaluated.
        by_utterance: on the original's split.
        inflation: how much higher that is.
    """

    by_call: dict[str, float]
    by_utterance: dict[str, float]
    inflation: dict[str, float]


def measure_leak_gap(
    paths: StoragePaths, text_model: PretrainedModel, config: EvaluationConfig, progress: Progress = silent
) -> LeakGap:
    """The gap, after writing it to `leak_gap.json`. The model and the training set that are there stay as they are.

    Args:
        paths: the storage root, with its training set, its model and their evaluation.
        text_model: the text model that the model was trained from.
        config: how to judge.
        progress: told the steps of the training.

    Raises:
        ArtefactError: the model or its evaluation is missing, or they are of another training set, or the model itself
            was trained on a split by utterance.
        TrainingDataError: the split by utterance leaves a side empty.
    """
    training_set, card, metrics = read_training_set(paths), read_card(paths.urgency.model), read_metrics(paths)
    summary = training_set.summary
    hashes = {summary.data_sha256, card["data_sha256"], (metrics or {}).get("data_sha256")}
    if metrics is None or len(hashes) > 1 or summary.mode_used == UTTERANCE:
        raise ArtefactError(
            "no evaluation of the stored model on a split by call",
            "training set, model and evaluation that belong together",
            "materialise urgency_evaluation with the split mode `official` or `call`",
        )
    other = _scratch(paths)
    build_training_set(other, summary.archives, SplitConfig(mode=UTTERANCE))
    train(other, text_model, TrainingConfig.from_stored(card["config"]), progress)
    gap = _gap(metrics, evaluate(other, config))
    write_json(paths.urgency.leak_gap, asdict(gap))
    shutil.rmtree(other.root)
    return gap


def _scratch(paths: StoragePaths) -> StoragePaths:
    """A storage root of its own that has the same calls; one that was left by a killed run is used again."""
    other = StoragePaths(paths.urgency.folder / ".leak_gap")
    other.root.mkdir(exist_ok=True)
    calls = paths.archive("any").folder.parent
    link = other.archive("any").folder.parent
    if not link.is_symlink():
        link.symlink_to(calls.resolve(), target_is_directory=True)
    return other


def _gap(by_call: dict[str, Any], by_utterance: dict[str, Any]) -> LeakGap:
    honest, inflated = (
        {task: metrics["utterance"][task]["f1_macro"] for task in TASKS} for metrics in (by_call, by_utterance)
    )
    return LeakGap(honest, inflated, {task: inflated[task] - honest[task] for task in TASKS})

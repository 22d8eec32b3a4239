"""The leak gap: how much a split by utterance inflates the scores of the same model.

About thirty utterances of a call share its label, voices and channel. A split by utterance puts the same call in
training and validation: the model has seen the answer.
"""

import shutil
from dataclasses import asdict, dataclass
from typing import Any

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.urgency.configuration import EvaluationConfig, SplitConfig, TrainingConfig
from urgency_dagster.urgency.data.dataset import build_training_set, read_training_set
from urgency_dagster.urgency.data.labels import TASKS
from urgency_dagster.urgency.data.splits import UTTERANCE
from urgency_dagster.urgency.evaluation.evaluation import evaluate, read_metrics
from urgency_dagster.urgency.package.model_folder import read_card
from urgency_dagster.urgency.training.fit import train
from urgency_dagster.writing import write_json


@dataclass(frozen=True)
class LeakGap:
    """Macro-F1 by utterance of the same model on both splits, by task. A task that is left out is absent.

    Attributes:
        by_call: scores on the split by call of the stored training set.
        by_utterance: scores on the original's split by utterance.
        inflation: `by_utterance` minus `by_call`.
    """

    by_call: dict[str, float]
    by_utterance: dict[str, float]
    inflation: dict[str, float]


def measure_leak_gap(
    paths: StoragePaths, text_model: PretrainedModel, config: EvaluationConfig, progress: Progress = no_progress
) -> LeakGap:
    """Trains and evaluates on a split by utterance, writes `leak_gap.json`, and returns the gap.

    The stored training set, model and evaluation are not changed.

    Args:
        paths: the storage root, with its training set, its model and their evaluation.
        text_model: the text model that the model was trained from.
        config: the options of the evaluation.
        progress: called with the number of training steps done.

    Raises:
        ArtefactError: the model or its evaluation is missing, they belong to different training sets, or the model was
            trained on a split by utterance.
        TrainingDataError: a side of the split by utterance is empty.
    """
    training_set, card, metrics = read_training_set(paths), read_card(paths.urgency.model), read_metrics(paths)
    summary = training_set.summary
    hashes = {summary.data_sha256, card["data_sha256"], (metrics or {}).get("data_sha256")}
    if metrics is None or len(hashes) > 1 or summary.mode_used == UTTERANCE:
        raise ArtefactError(
            "no evaluation of the stored model on a split by call",
            "training set, model and evaluation that belong together",
            "materialize urgency_evaluation with the split mode `official` or `call`",
        )
    other = _scratch(paths)
    split = SplitConfig(mode=UTTERANCE, selection=summary.selection, development_share=summary.development_share)
    build_training_set(other, summary.archives, split)
    train(other, text_model, TrainingConfig.from_stored(card["config"]), progress)
    gap = _gap(metrics, evaluate(other, config))
    write_json(paths.urgency.leak_gap, asdict(gap))
    shutil.rmtree(other.root)
    return gap


def _scratch(paths: StoragePaths) -> StoragePaths:
    """A scratch storage root with a link to the same calls. One of a killed run is used again."""
    other = StoragePaths(paths.urgency.folder / ".leak_gap")
    other.root.mkdir(exist_ok=True)
    calls = paths.archive("any").folder.parent
    link = other.archive("any").folder.parent
    if not link.is_symlink():
        link.symlink_to(calls.resolve(), target_is_directory=True)
    return other


def _gap(by_call: dict[str, Any], by_utterance: dict[str, Any]) -> LeakGap:
    of_call, of_utterance = (
        {task: scores["f1_macro"] for task in TASKS if (scores := metrics["utterance"][task])}
        for metrics in (by_call, by_utterance)
    )
    both = [task for task in of_call if task in of_utterance]
    return LeakGap(of_call, of_utterance, {task: of_utterance[task] - of_call[task] for task in both})

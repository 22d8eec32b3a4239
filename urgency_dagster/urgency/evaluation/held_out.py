"""Labelled calls that a model was not trained on: its development side, and its validation side."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.configuration import TrainingConfig
from urgency_dagster.urgency.data.dataset import TrainingSet, read_training_set
from urgency_dagster.urgency.data.labels import Labels
from urgency_dagster.urgency.data.splits import UTTERANCE
from urgency_dagster.urgency.data.tables import DEVELOPMENT, TRAIN, URGENCY_PREDICTIONS, VALIDATION
from urgency_dagster.urgency.evaluation.evaluation import PREDICTIONS, read_metrics
from urgency_dagster.urgency.package.cards import check_same_data
from urgency_dagster.urgency.package.model_folder import read_card

ROW_KEY = ("archive", "_id", "utterance_id")

LOGITS = ("urgency_logits", "sentiment_logits")


@dataclass(frozen=True)
class HeldOutCalls:
    """The utterances of held-out calls, in the order of the training set: those of a call are consecutive.

    Attributes:
        labels: the class names of both tasks.
        config: the hyper-parameters of the training.
        development: rows of the development side, schema `tables.TRAINING_ROWS`; none with `selection: validation`.
        validation: rows of the validation side with their logits, the columns LOGITS of `predictions.parquet`.
    """

    labels: Labels
    config: TrainingConfig
    development: pa.Table
    validation: pa.Table


def read_held_out_calls(paths: StoragePaths) -> HeldOutCalls:
    """The calls that the stored model was not trained on.

    Args:
        paths: the storage root, with its training set, its model and their evaluation.

    Raises:
        ArtefactError: the training set, the model or its evaluation is missing, or they do not belong together; the
            split is by utterance; or a call is on two sides.
    """
    training_set, card = read_training_set(paths), read_card(paths.urgency.model)
    check_same_data(card, training_set.summary)
    if training_set.summary.mode_used == UTTERANCE:
        raise ArtefactError("a split by utterance", "a split by call", "set the split mode `official` or `call`")
    config = TrainingConfig.from_stored(card["config"])
    development, validation = (training_set.side(side) for side in (DEVELOPMENT, VALIDATION))
    _check_apart(development, training_set.side(TRAIN, ["_id"]), validation)
    return HeldOutCalls(training_set.labels, config, development, _with_logits(paths, training_set, validation))


def _with_logits(paths: StoragePaths, training_set: TrainingSet, rows: pa.Table) -> pa.Table:
    source = paths.urgency.evaluation / PREDICTIONS
    metrics = read_metrics(paths) or {}
    if metrics.get("data_sha256") == training_set.summary.data_sha256 and source.is_file():
        predictions = pq.read_table(source, schema=URGENCY_PREDICTIONS)
        if predictions.select(ROW_KEY).equals(rows.select(ROW_KEY)):
            for name in LOGITS:
                rows = rows.append_column(name, predictions[name])
            return rows
    raise ArtefactError(
        "no evaluation of the stored model", "predictions.parquet of it", "materialize urgency_evaluation"
    )


def _check_apart(development: pa.Table, *others: pa.Table) -> None:
    """Checks that no call of the development side is on another side."""
    held_out = pc.unique(development["_id"])
    for other in others:
        if shared := pc.sum(pc.is_in(held_out, pc.unique(other["_id"]))).as_py():
            raise ArtefactError(
                f"{shared} calls of the development side are also on another side",
                "calls that are on one of them",
                "materialize training_set and urgency_model again",
            )

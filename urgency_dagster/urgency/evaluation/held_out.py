"""Labelled calls that a model was not trained on: its calibration set, and the validation side."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.configuration import TrainingConfig
from urgency_dagster.urgency.data.dataset import TrainingSet, read_training_set
from urgency_dagster.urgency.data.labels import Labels
from urgency_dagster.urgency.data.splits import UTTERANCE, calibration_calls
from urgency_dagster.urgency.data.tables import TRAIN, URGENCY_PREDICTIONS, VALIDATION
from urgency_dagster.urgency.evaluation.evaluation import PREDICTIONS, read_metrics
from urgency_dagster.urgency.package.cards import check_same_data
from urgency_dagster.urgency.package.model_folder import read_card

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

ROW_KEY = ("archive", "_id", "utterance_id")

LOGITS = ("urgency_logits", "sentiment_logits")


@dataclass(frozen=True)
class HeldOutCalls:
    """The utterances of held-out calls, in the order of the training set: those of a call are consecutive.

    Attributes:
        labels: the class names of both tasks.
        config: the hyper-parameters of the training.
        calibration: rows of the calibration set, schema `tables.TRAINING_ROWS`.
        validation: rows of the validation side with their logits, the columns LOGITS of `predictions.parquet`.
    """

    labels: Labels
    config: TrainingConfig
    calibration: pa.Table
    validation: pa.Table


def read_held_out_calls(paths: StoragePaths) -> HeldOutCalls:
    """The calls that the stored model was not trained on.

    Args:
        paths: the storage root, with its training set, its model and their evaluation.

    Raises:
        ArtefactError: the training set, the model or its evaluation is missing, or they do not belong together; the
            split is by utterance; or a call is in more than one of both sets and the training.
    """
    training_set, card = read_training_set(paths), read_card(paths.urgency.model)
    check_same_data(card, training_set.summary)
    if training_set.summary.mode_used == UTTERANCE:
        raise ArtefactError("a split by utterance", "a split by call", "set the split mode `official` or `call`")
    config = TrainingConfig.from_stored(card["config"])
    training = training_set.side(TRAIN)
    drawn = pa.array(calibration_calls(training, config.calibration_share, config.seed))
    calibration, fitted = training.filter(drawn), training.filter(pc.invert(drawn))
    validation = training_set.side(VALIDATION)
    _check_apart(calibration, fitted, validation, card)
    return HeldOutCalls(training_set.labels, config, calibration, _with_logits(paths, training_set, validation))


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


def _check_apart(calibration: pa.Table, fitted: pa.Table, validation: pa.Table, card: "Mapping[str, Any]") -> None:
    """Checks that no call of one set is in another, and that the calibration set is that of the training."""
    held_out = pc.unique(calibration["_id"])
    for others in (fitted, validation):
        if shared := pc.sum(pc.is_in(held_out, pc.unique(others["_id"]))).as_py():
            raise ArtefactError(
                f"{shared} calls of the calibration set are also in the training or on the validation side",
                "calls that are in one of them",
                "materialize training_set and urgency_model again",
            )
    counts = {"calls": len(held_out), "utterances": calibration.num_rows}
    if counts != card["held_out"]:
        raise ArtefactError(
            f"a calibration set of {counts['calls']} calls with {counts['utterances']} utterances",
            f"that of the training, with {card['held_out']['calls']} and {card['held_out']['utterances']}",
            "train the model again",
        )

"""The fit of the speaker model on the vectors of the training set, and its scores on calls that the fit did not see."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from urgency_dagster.listening import SpeakerModel
from urgency_dagster.paths import StoragePaths
from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.statistics.confusion import SCORES, recall_of, scores_with_intervals
from urgency_dagster.tables import ROLES
from urgency_dagster.urgency.configuration import SplitConfig
from urgency_dagster.urgency.data.batches import read_vectors
from urgency_dagster.urgency.data.dataset import TrainingSet, call_codes
from urgency_dagster.urgency.data.splits import CALL, UTTERANCE, split_rows
from urgency_dagster.urgency.data.tables import TRAIN, VALIDATION

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_FIT_ROWS = 10_000
"""Maximum number of utterances of the fit. The model has about a thousand weights."""

CHUNK = 10_000
"""Utterances whose vectors are in memory at a time."""

COLUMNS = ("archive", "row", "_id", "audio_sha256", "urgency_id", "speaker", "side")
"""The columns of the training set that the fit reads."""


def fit_speaker_model(paths: StoragePaths, training_set: TrainingSet, seed: int) -> SpeakerModel | None:
    """The speaker model of a training set; None if its training side does not have both values of `speaker`.

    Args:
        paths: the storage root, for the archives' vectors.
        training_set: the rows and their sides. The model is fitted on the training side and measured on the side on
            which the best epoch is chosen. If both share calls, whole calls are drawn for the measurement instead.
        seed: seed of the draws and of the bootstrap.

    Raises:
        ArtefactError: the vectors of an archive cannot be read.
    """
    training, measured = _sides(training_set, seed)
    if len(pc.unique(training["speaker"])) < len(ROLES):
        return None
    weights, bias = _fitted(paths, _drawn(training, seed))
    fitted = SpeakerModel(weights, bias, {})
    scores = {"training": _size(training), "measured": _size(measured)}
    return SpeakerModel(weights, bias, scores | _scores(paths, fitted, measured, seed))


def _sides(training_set: TrainingSet, seed: int) -> tuple[pa.Table, pa.Table]:
    """The rows with a known speaker to fit on and to measure on. No call is in both."""
    summary = training_set.summary
    rows = pa.concat_tables([training_set.side(side, COLUMNS) for side in (TRAIN, summary.selection)])
    sides = rows["side"]
    if (summary.mode_used, summary.selection) == (UTTERANCE, VALIDATION):
        sides = pa.array(split_rows(rows, SplitConfig(mode=CALL, selection=VALIDATION, seed=seed)).sides)
    known, to_fit = pc.is_in(rows["speaker"], pa.array(list(ROLES))), pc.equal(sides, TRAIN)
    return rows.filter(pc.and_(known, to_fit)), rows.filter(pc.and_not(known, to_fit))


def _drawn(rows: pa.Table, seed: int) -> pa.Table:
    if rows.num_rows <= MAX_FIT_ROWS:
        return rows
    drawn = np.random.default_rng(seed).choice(rows.num_rows, MAX_FIT_ROWS, replace=False)
    return rows.take(np.sort(drawn))


def _fitted(paths: StoragePaths, rows: pa.Table) -> "tuple[NDArray[np.float64], float]":
    """Weights and bias of a logistic regression on vectors that are standardised for the fit.

    One thread, because the order of a sum depends on the number of threads.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    vectors, scaler = read_vectors(paths, rows).mean(axis=1), StandardScaler()
    with threadpool_limits(1):
        fit = LogisticRegression(max_iter=1000).fit(scaler.fit_transform(vectors), rows["speaker"].to_numpy())
    weights = fit.coef_[0] / scaler.scale_
    return weights, float(fit.intercept_[0] - scaler.mean_ @ weights)


def _scores(paths: StoragePaths, model: SpeakerModel, rows: pa.Table, seed: int) -> dict[str, Any]:
    """Accuracy, macro-F1 and recalls with intervals over calls, and the accuracy of the more frequent speaker."""
    if not rows.num_rows:
        return {}
    true, predicted = rows["speaker"].to_numpy(), np.concatenate(list(_roles(paths, model, rows)))
    scores = {**SCORES, **{f"recall_{name}": recall_of(role) for role, name in ROLES.items()}}
    bootstrap = BootstrapConfig(seed=seed)
    return {
        "majority": float(np.bincount(true).max() / len(true)),
        **scores_with_intervals(true, predicted, call_codes(rows), len(ROLES), scores, bootstrap),
    }


def _roles(paths: StoragePaths, model: SpeakerModel, rows: pa.Table) -> "Iterator[NDArray[np.int64]]":
    for start in range(0, rows.num_rows, CHUNK):
        yield model.roles(read_vectors(paths, rows.slice(start, CHUNK)))


def _size(rows: pa.Table) -> dict[str, int]:
    return {"calls": len(pc.unique(rows["_id"])), "utterances": rows.num_rows}

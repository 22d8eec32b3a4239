"""Linear baselines of the text alone and of the audio alone, evaluated on the same rows as the network.

They are fitted in chunks, so memory does not grow with the number of rows. They are not stored.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.data.batches import read_vectors
from urgency_dagster.urgency.data.labels import TASKS
from urgency_dagster.urgency.network.inference import TaskLogits
from urgency_dagster.urgency.training.learner import class_weights

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

CHUNK = 10_000
"""Rows of a chunk."""

MAX_PASSES, MIN_ROWS_SEEN = 10, 1_000_000
"""Passes over the training rows: enough to see a million rows, but at most ten. The averaged weights converge."""

NGRAMS = (1, 3)
"""Lengths of the character n-grams. Korean words carry endings, so parts of words are more frequent than words."""

Features = Callable[["pa.Table"], Any]
"""A function from some rows to their features, a matrix of shape (rows, features)."""


def baseline_logits(
    paths: StoragePaths, training: "pa.Table", validation: "pa.Table", classes: dict[str, int], seed: int
) -> dict[str, TaskLogits]:
    """The logits of the baselines `text_only` and `audio_only` for every validation row, in their order.

    Args:
        paths: the storage root, for the vectors.
        training: the rows to fit on.
        validation: the rows to evaluate on.
        classes: the number of classes of each task. A task that is absent has one logit of 0.
        seed: seed of the order of the training rows.
    """
    baselines = {"text_only": _text_features(), "audio_only": _audio_features(paths, training)}
    return {name: _fitted_logits(features, training, validation, classes, seed) for name, features in baselines.items()}


def _text_features() -> Features:
    """Hashed counts of character n-grams; no vocabulary is stored."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(analyzer="char_wb", ngram_range=NGRAMS, n_features=2**18, lowercase=False)
    return lambda rows: vectorizer.transform(rows["text"].to_pylist())


def _audio_features(paths: StoragePaths, training: "pa.Table") -> Features:
    """The concatenated audio vectors of an utterance, each element standardised on the training rows."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for rows in _chunks(training):
        scaler.partial_fit(_vectors(paths, rows))
    return lambda rows: scaler.transform(_vectors(paths, rows))


def _vectors(paths: StoragePaths, rows: "pa.Table") -> "NDArray[np.float32]":
    """The concatenated audio vectors of each row, float32, (rows, T * D)."""
    return read_vectors(paths, rows).reshape(rows.num_rows, -1)


def _fitted_logits(
    features: Features, training: "pa.Table", validation: "pa.Table", classes: dict[str, int], seed: int
) -> TaskLogits:
    """The validation logits of logistic regressions for both tasks, with the network's class weights."""
    tasks = {
        task: _LogisticRegression(training[f"{task}_id"].to_numpy(), count, seed) for task, count in classes.items()
    }
    shuffled = training.take(np.random.default_rng(seed).permutation(training.num_rows))
    for _ in range(min(MAX_PASSES, -(-MIN_ROWS_SEEN // training.num_rows))):
        for rows in _chunks(shuffled):
            matrix = features(rows)
            for task, model in tasks.items():
                model.partial_fit(matrix, rows[f"{task}_id"].to_numpy())
    scores = [
        {task: model.logits(matrix) for task, model in tasks.items()} for matrix in map(features, _chunks(validation))
    ]
    fitted = {task: np.concatenate([chunk[task] for chunk in scores]) for task in tasks}
    absent = {task: np.zeros((validation.num_rows, 1), np.float32) for task in TASKS if task not in tasks}
    return TaskLogits(**fitted, **absent)


class _LogisticRegression:
    """Logistic regression of one task by stochastic gradient descent.

    Args:
        ids: class ids of all training rows, (N,).
        classes: number of classes.
        seed: seed of scikit-learn's shuffling.
    """

    def __init__(self, ids: "NDArray[np.int64]", classes: int, seed: int) -> None:
        from sklearn.linear_model import SGDClassifier

        self._model = SGDClassifier(loss="log_loss", alpha=1e-4, average=True, random_state=seed)
        self._weights = class_weights(ids, classes)

    def partial_fit(self, matrix: Any, ids: "NDArray[np.int64]") -> None:
        """One pass over some rows."""
        self._model.partial_fit(matrix, ids, classes=np.arange(len(self._weights)), sample_weight=self._weights[ids])

    def logits(self, matrix: Any) -> "NDArray[np.float32]":
        """The logits of some rows, float32, (B, K)."""
        scores: NDArray[np.float32] = self._model.decision_function(matrix).astype(np.float32)
        return scores if scores.ndim > 1 else np.stack([-scores, scores], axis=1)  # two classes have one score


def _chunks(rows: "pa.Table") -> "Iterator[pa.Table]":
    for start in range(0, rows.num_rows, CHUNK):
        yield rows.slice(start, CHUNK)

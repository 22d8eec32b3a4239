"""What the words alone and the audio alone are good for: linear models on the rows that the network is judged on.

They are fitted in chunks, so that millions of rows need no more memory than thousands. Nothing is stored.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.data.dataset import open_vectors
from urgency_dagster.urgency.network.inference import TaskLogits
from urgency_dagster.urgency.training.learner import class_weights

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

CHUNK = 10_000
"""Rows that are held at once."""

PASSES_MAX, ROWS_SEEN = 10, 1_000_000
"""Passes over the training rows: as many as it takes to see a million rows, ten at most; averaged gradients settle."""

NGRAMS = (1, 3)
"""Lengths of the character n-grams. Korean words carry endings, so that parts of words say more than words."""

Features = Callable[["pa.Table"], Any]
"""What a model sees of some rows: a matrix of shape (rows, features)."""


def baseline_logits(
    paths: StoragePaths, training: "pa.Table", validation: "pa.Table", classes: dict[str, int], seed: int
) -> dict[str, TaskLogits]:
    """The logits of `text_only` and `audio_only` for every validation row, in their order.

    Args:
        paths: the storage root, for the vectors.
        training: the rows to fit.
        validation: the rows to judge.
        classes: the number of classes of each task.
        seed: of the order of the gradients.
    """
    seen = {"text_only": _text_features(), "audio_only": _audio_features(paths, training)}
    return {name: _fitted_logits(features, training, validation, classes, seed) for name, features in seen.items()}


def _text_features() -> Features:
    """Counts of character n-grams, hashed: nothing of a text is remembered."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(analyzer="char_wb", ngram_range=NGRAMS, n_features=2**18, lowercase=False)
    return lambda rows: vectorizer.transform(rows["text"].to_pylist())


def _audio_features(paths: StoragePaths, training: "pa.Table") -> Features:
    """The audio vectors of an utterance side by side, each element scaled to the training rows."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for rows in _chunks(training):
        scaler.partial_fit(_vectors(paths, rows))
    return lambda rows: scaler.transform(_vectors(paths, rows))


def _vectors(paths: StoragePaths, rows: "pa.Table") -> "NDArray[np.float32]":
    """The audio vectors of each row side by side, float32, (rows, T * D)."""
    archives, at = np.array(rows["archive"].to_pylist()), rows["row"].to_numpy()
    names = np.unique(archives)
    _, *shape = open_vectors(paths, str(names[0])).shape
    found = np.empty((rows.num_rows, *shape), np.float32)
    for name in names:
        here = archives == name
        found[here] = open_vectors(paths, str(name))[at[here]]
    return found.reshape(rows.num_rows, -1)


def _fitted_logits(
    features: Features, training: "pa.Table", validation: "pa.Table", classes: dict[str, int], seed: int
) -> TaskLogits:
    """Logistic regression by stochastic gradients, with the class weights of the network, for both tasks at once."""
    tasks = {task: _Linear(training[f"{task}_id"].to_numpy(), count, seed) for task, count in classes.items()}
    shuffled = training.take(np.random.default_rng(seed).permutation(training.num_rows))
    for _ in range(min(PASSES_MAX, -(-ROWS_SEEN // training.num_rows))):
        for rows in _chunks(shuffled):
            seen = features(rows)
            for task, model in tasks.items():
                model.learn(seen, rows[f"{task}_id"].to_numpy())
    scores = [
        {task: model.logits(seen) for task, model in tasks.items()} for seen in map(features, _chunks(validation))
    ]
    return TaskLogits(**{task: np.concatenate([of_chunk[task] for of_chunk in scores]) for task in tasks})


class _Linear:
    """The linear model of one task.

    Args:
        ids: class ids of all training rows, (N,).
        classes: number of classes.
        seed: of the order of the gradients.
    """

    def __init__(self, ids: "NDArray[np.int64]", classes: int, seed: int) -> None:
        from sklearn.linear_model import SGDClassifier

        self._model = SGDClassifier(loss="log_loss", alpha=1e-4, average=True, random_state=seed)
        self._weights = class_weights(ids, classes)

    def learn(self, seen: Any, ids: "NDArray[np.int64]") -> None:
        """Goes on with some rows."""
        self._model.partial_fit(seen, ids, classes=np.arange(len(self._weights)), sample_weight=self._weights[ids])

    def logits(self, seen: Any) -> "NDArray[np.float32]":
        """The logits of some rows, float32, (B, K)."""
        found = self._model.decision_function(seen).astype(np.float32)
        return found if found.ndim > 1 else np.stack([-found, found], axis=1)  # of two classes there is one score


def _chunks(rows: "pa.Table") -> "Iterator[pa.Table]":
    for start in range(0, rows.num_rows, CHUNK):
        yield rows.slice(start, CHUNK)

"""Drift: how well a classifier tells the vectors of later calls from those of the training calls.

Source: Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests (2017), with a permutation threshold.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from urgency_dagster.statistics.bootstrap import BootstrapConfig, group_weights
from urgency_dagster.statistics.intervals import percentile_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_CALLS = 20
"""Calls of each side without which nothing is measured. With fewer, a fold tests at most three calls of a side."""

MAX_CALLS = 200
"""Calls of each side that are compared. With 200, an AUROC of about 0.6 is told from chance."""

COMPONENTS = 32
"""Principal components of the vectors that the classifier reads."""

CALLS_PER_COMPONENT = 4
"""Calls of both sides together for each component, so that few calls are not separated by chance."""

FOLDS = 5

ERROR_RATE = 0.01
"""Probability of a warning about calls of the same distribution."""

PERMUTATIONS = 99
"""Permutations of the sides. With 99, the largest AUROC of them is exceeded by chance with probability 0.01."""

SEED = 42


@dataclass(frozen=True)
class Drift:
    """What a classifier tells of later calls and training calls.

    Attributes:
        auroc: AUROC of calls that it was not fitted on; 0.5 is chance, 1 tells all apart.
        interval: its 95 % interval over calls; None if it is undefined.
        threshold: the AUROC that exchanged calls exceed with a probability of ERROR_RATE.
        calls: later calls that were compared.
        training_calls: training calls that were compared.
    """

    auroc: float
    interval: tuple[float, float] | None
    threshold: float
    calls: int
    training_calls: int

    @property
    def drifted(self) -> bool:
        """Whether the AUROC is above the threshold."""
        return self.auroc > self.threshold


def measure_drift(training: "NDArray[np.float32]", later: "NDArray[np.float32]", seed: int = SEED) -> Drift:
    """Compares the vectors of calls. A call is one row, so no call is in two folds or on two sides.

    Args:
        training: one vector per training call, (A, W), with A at least MIN_CALLS.
        later: one vector per later call, (B, W), with B at least MIN_CALLS.
        seed: seed of folds, permutations and bootstrap samples.
    """
    features = principal_components(np.concatenate([training, later]))
    is_later = np.arange(len(features)) >= len(training)
    scores = out_of_fold_scores(features, is_later, seed)
    rng = np.random.default_rng(seed)
    permuted = [rng.permutation(is_later) for _ in range(PERMUTATIONS)]
    by_chance = [auroc(out_of_fold_scores(features, sides, seed), sides) for sides in permuted]
    return Drift(
        auroc=auroc(scores, is_later),
        interval=_interval(scores, is_later, seed),
        threshold=permutation_threshold(np.array(by_chance), ERROR_RATE),
        calls=len(later),
        training_calls=len(training),
    )


def principal_components(vectors: "NDArray[np.float32]") -> "NDArray[np.float64]":
    """The first components of all calls, each of variance 1 or 0, float64, (N, K).

    They do not depend on the sides, so that the permutations stay exchangeable.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    left, strength, _ = np.linalg.svd(centred / np.where(spread > 0, spread, 1), full_matrices=False)
    count = min(COMPONENTS, len(vectors) // CALLS_PER_COMPONENT, int((strength > 1e-6 * strength.max()).sum()))
    components: NDArray[np.float64] = left[:, :count] * math.sqrt(len(vectors))
    return components


def out_of_fold_scores(
    features: "NDArray[np.float64]", is_later: "NDArray[np.bool_]", seed: int
) -> "NDArray[np.float64]":
    """The score of each call from a logistic regression that was not fitted on it, float64, (N,)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    scores = np.zeros(len(features))
    if not features.shape[1]:
        return scores
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for fitted, tested in folds.split(features, is_later):
        model = LogisticRegression(class_weight="balanced").fit(features[fitted], is_later[fitted])
        scores[tested] = model.decision_function(features[tested])
    return scores


def auroc(scores: "NDArray[np.float64]", is_later: "NDArray[np.bool_]") -> float:
    """The probability that a later call has a higher score than a training call; ties count half."""
    return float(_wins(scores, is_later).mean())


def permutation_threshold(by_chance: "NDArray[np.float64]", error_rate: float) -> float:
    """The smallest of the permuted values that another one exceeds with at most the given probability.

    Source: Phipson and Smyth, Permutation P-values Should Never Be Zero (2010): the value itself counts as a
    permutation.
    """
    return float(np.sort(by_chance)[math.ceil((1 - error_rate) * (len(by_chance) + 1) - 1e-9) - 1])


def _wins(scores: "NDArray[np.float64]", is_later: "NDArray[np.bool_]") -> "NDArray[np.float64]":
    """For each pair of a later and a training call 1, 0.5 or 0, (B, A)."""
    difference = scores[is_later][:, None] - scores[~is_later]
    return np.where(difference == 0, 0.5, difference > 0)


def _interval(scores: "NDArray[np.float64]", is_later: "NDArray[np.bool_]", seed: int) -> tuple[float, float] | None:
    """The 95 % interval of the AUROC over calls. The classifier stays the same."""
    wins = _wins(scores, is_later)
    values: list[float | None] = []
    for weights in group_weights(len(scores), BootstrapConfig(seed=seed)):
        later, training = weights[is_later], weights[~is_later]
        pairs = later.sum() * training.sum()
        values.append(float(later @ wins @ training / pairs) if pairs else None)
    return percentile_interval(values)

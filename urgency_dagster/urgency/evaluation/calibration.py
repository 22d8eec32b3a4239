"""How sure the model may say it is: temperatures, how far its confidence is from being right, and when it should ask.

Temperatures are fitted on calls of the training side that the network was not fitted to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.pictures import BLUE, GREY, ORANGE, picture
from urgency_dagster.urgency.evaluation.metrics import accuracy, scores_with_intervals

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BINS = 15
"""Stretches of confidence. Source: Guo et al., On Calibration of Modern Neural Networks (2017)."""

LOG_TEMPERATURE_MAX = 3.0
"""Temperatures lie between 1/20 and 20; a fit that wants more has nothing to go by."""

SHARES_TO_PEOPLE = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of the calls that a person decides, the least sure ones first."""


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, by stretches of confidence that hold any answer.

    Attributes:
        confidence: the mean of each stretch, (bins,).
        accuracy: the share that is right, (bins,).
        counts: the answers of each, (bins,).
    """

    confidence: "NDArray[np.float64]"
    accuracy: "NDArray[np.float64]"
    counts: "NDArray[np.int64]"

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of confidence and accuracy, over all answers."""
        return float((np.abs(self.confidence - self.accuracy) * self.counts).sum() / self.counts.sum())


def probabilities(logits: "NDArray[np.float32]", temperature: float = 1.0) -> "NDArray[np.float64]":
    """The softmax of logits divided by a temperature, (N, K)."""
    scaled = logits.astype(np.float64) / temperature
    exact = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return exact / exact.sum(axis=1, keepdims=True)


def fit_temperature(logits: "NDArray[np.float32]", true: "NDArray[np.int64]") -> float:
    """The temperature at which the true classes are the most likely; 1 without any row.

    Args:
        logits: (N, K).
        true: class ids, (N,).

    Source: Guo et al. (2017), temperature scaling; one number, so no answer changes.
    """
    from scipy.optimize import minimize_scalar

    if not len(true):
        return 1.0

    def loss(log_temperature: float) -> float:
        likelihood = probabilities(logits, np.exp(log_temperature))[np.arange(len(true)), true]
        return float(-np.log(np.maximum(likelihood, 1e-300)).mean())

    fitted = minimize_scalar(loss, bounds=(-LOG_TEMPERATURE_MAX, LOG_TEMPERATURE_MAX), method="bounded")
    return float(np.exp(fitted.x))


def reliability(of_classes: "NDArray[np.float64]", true: "NDArray[np.int64]", bins: int = BINS) -> Reliability:
    """Confidence against accuracy of the likeliest class.

    Args:
        of_classes: probabilities, (N, K).
        true: class ids, (N,).
        bins: stretches of equal width.
    """
    confidence, right = of_classes.max(axis=1), of_classes.argmax(axis=1) == true
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    used = counts > 0
    sums = [np.bincount(places, weights=values, minlength=bins)[used] for values in (confidence, right)]
    return Reliability(sums[0] / counts[used], sums[1] / counts[used], counts[used])


def abstention(
    of_classes: "NDArray[np.float64]",
    true: "NDArray[np.int64]",
    *,
    resamples: int,
    seed: int,
    shares: Sequence[float] = SHARES_TO_PEOPLE,
) -> list[dict[str, Any]]:
    """How right the model is on what is left when the least sure answers go to a person.

    Args:
        of_classes: probabilities of each call, (C, K).
        true: class ids, (C,).
        resamples: bootstrap samples of the calls that are left, for each interval.
        seed: seed of the bootstrap.
        shares: of the answers that go to a person, below 1.

    Returns:
        For each share: `to_person` (the share that really goes), `accuracy` of the rest with its 95 % interval over
        calls (`accuracy_interval`), and the `confidence` from which on the model answers.
    """
    confidence, answers = of_classes.max(axis=1), of_classes.argmax(axis=1)
    surest = np.argsort(-confidence, kind="stable")
    found = []
    for share in shares:
        kept = surest[: max(1, len(true) - round(share * len(true)))]
        of_kept = true[kept], answers[kept], np.arange(len(kept)), of_classes.shape[1]
        scores = scores_with_intervals(*of_kept, {"accuracy": accuracy}, resamples=resamples, seed=seed)
        found.append({"to_person": 1 - len(kept) / len(true), **scores, "confidence": float(confidence[kept[-1]])})
    return found


def draw_reliability(target: "Path", before: Reliability, after: Reliability) -> None:
    """Accuracy against confidence, before and after the temperature; on the diagonal the two are equal."""
    with picture(target, width_in=4.4, height_in=3.8) as axes:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        for curve, title, color in ((before, "as it is", ORANGE), (after, "with temperature", BLUE)):
            label = f"{title}: error {curve.error:.3f}"
            axes.plot(curve.confidence, curve.accuracy, marker="o", markersize=3, color=color, label=label)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("confidence")
        axes.set_ylabel("accuracy")
        axes.set_title("Urgency by utterance", fontsize=10)
        axes.legend(frameon=False, fontsize=8, loc="upper left")

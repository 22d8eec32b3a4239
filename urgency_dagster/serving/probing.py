"""Synthetic questions that a model must answer before it is taken up, and while it is ready."""

from typing import TYPE_CHECKING

import numpy as np

from urgency_dagster import attention
from urgency_dagster.calls import SAMPLE_RATE
from urgency_dagster.errors import ArtefactError
from urgency_dagster.listening import Turn
from urgency_dagster.urgency import Predictor, TaskLogits

if TYPE_CHECKING:
    from numpy.typing import NDArray

TURN_MS = 1_000
"""Length of the turn of noise."""


def hear_noise(predictor: Predictor) -> None:
    """Has an urgency model hear noise and score it. It loads what the first recording would load.

    Raises:
        ArtefactError: a score is not finite.
        UrgencyError: see `urgency.Predictor.predict`.
    """
    noise = np.random.default_rng(0).normal(0, 0.1, TURN_MS * SAMPLE_RATE // 1000).astype(np.float32)
    predictor.listen((noise, SAMPLE_RATE))  # finds turns, perhaps none
    heard = predictor.listen((noise, SAMPLE_RATE), [Turn(0, TURN_MS, "")])
    check_finite(predictor.logits([""], heard.vectors))


def blank_vectors(predictor: Predictor) -> "NDArray[np.float32]":
    """The vectors of one utterance for `Predictor.logits`, all 0: float32, (1, T, D)."""
    return np.zeros((1, predictor.provenance.audio_tokens, predictor.provenance.audio_width), np.float32)


def check_finite(logits: TaskLogits) -> None:
    """Checks the scores of a model.

    Raises:
        ArtefactError: one is not finite.
    """
    if not (np.isfinite(logits.urgency).all() and np.isfinite(logits.sentiment).all()):
        raise ArtefactError("the model answers with numbers that are not finite", "finite scores", "train it again")


def ask_zeros(predictor: attention.Predictor) -> None:
    """Has an attention model predict a row of zeros.

    Raises:
        ArtefactError: the probability is not finite.
        AttentionError: see `attention.Predictor.predict`.
    """
    (row,) = predictor.predict(dict.fromkeys(predictor.used_columns, 0)).rows
    if not np.isfinite(row.probability):
        raise ArtefactError("the model answers with a number that is not finite", "a probability", "export it again")

"""Who speaks: a linear model tells the caller from the call-taker by the vectors of a turn.

The training of an urgency model fits it. The two sides of a call differ by their line, so it can tell the line instead
of the voice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.errors import ArtefactError, InputError
from urgency_dagster.tables import CALL_TAKER, CALLER, ROLES
from urgency_dagster.writing import read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class SpeakerModel:
    """A linear model of the mean of a turn's vectors.

    Attributes:
        weights: float64 of shape (D,).
        bias: added to the product; a sum above 0 is the caller.
        scores: what it was fitted on, and its scores on other calls.
    """

    weights: "NDArray[np.float64]"
    bias: float
    scores: Mapping[str, Any]

    def roles(self, vectors: "NDArray[np.float32]") -> "NDArray[np.int64]":
        """The values of `speaker` of N turns, int64, (N,).

        Args:
            vectors: audio vectors, float32, (N, T, D).

        Raises:
            InputError: the vectors have another shape.
        """
        if vectors.ndim != 3 or vectors.shape[2] != len(self.weights):
            raise InputError(
                f"vectors of shape {vectors.shape}",
                f"(turns, vectors, {len(self.weights)})",
                "listen with the speech model of the training",
            )
        is_caller = vectors.mean(axis=1, dtype=np.float64) @ self.weights + self.bias > 0
        return np.where(is_caller, CALLER, CALL_TAKER)

    def speakers(self, vectors: "NDArray[np.float32]") -> list[str]:
        """The name of each turn's speaker, `call_taker` or `caller`. Arguments and errors are those of `roles`."""
        return [ROLES[role] for role in self.roles(vectors).tolist()]

    def to_json(self) -> dict[str, Any]:
        """The model as plain JSON values."""
        return {"weights": self.weights.tolist(), "bias": self.bias, "scores": dict(self.scores)}


def load_speaker_model(source: Path) -> SpeakerModel | None:
    """The stored speaker model; None if the file does not exist, because the training calls did not name two speakers.

    Raises:
        ArtefactError: the file is damaged.
    """
    if not source.is_file():
        return None
    try:
        stored = read_json(source)
        weights = np.asarray(stored["weights"], np.float64)
        return SpeakerModel(weights.reshape(len(weights)), float(stored["bias"]), stored["scores"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"the speaker model {source} cannot be read ({type(error).__name__})",
            "the file as the training wrote it",
            "train the model again",
        ) from error

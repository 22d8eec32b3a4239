"""Verification that batching, conversion and precision changed nothing: some vectors against one segment at a time.

The reference is torch in float32, a segment a batch. What is embedded is not decided here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from urgency_dagster.calls.embedding.encoder import FLOAT32

if TYPE_CHECKING:
    import numpy as np

MAX_DIFFERENCE = 1e-4
"""How far a float32 vector may be from the reference in any element."""

MIN_COSINE = 0.995
"""The least cosine of a vector of reduced precision and its reference, both less the mean vector of the sample.

Without the subtraction it would verify nothing: vectors of any two utterances already have a cosine of about 0.98.
"""

MIN_UTTERANCES_FOR_COSINE = 8
"""Utterances below which the mean vector of a sample says too little; so small an archive is embedded in float32."""


@dataclass(frozen=True)
class Verification:
    """How a sample of the vectors compares with the reference.

    Attributes:
        utterances: how many were embedded again.
        precision: that of the vectors.
        largest_difference: of any two elements; None when a vector is not finite.
        least_cosine: of any utterance, after subtracting each side's mean vector; None where it has no meaning.
        passed: whether the bound of the precision holds.
    """

    utterances: int
    precision: str
    largest_difference: float | None
    least_cosine: float | None
    passed: bool

    @property
    def bound(self) -> str:
        """What must hold, in words."""
        if self.precision == FLOAT32:
            return f"largest_difference at most {MAX_DIFFERENCE:g}"
        return f"least_cosine at least {MIN_COSINE:g}"


def verify(vectors: "np.ndarray", reference: "np.ndarray", precision: str) -> Verification:
    """Compares vectors with the same utterances embedded one at a time in float32.

    Args:
        vectors: float32 of shape (N, D), made in `precision`.
        reference: the same shape.
        precision: one of `encoders.PRECISIONS` but `auto`.
    """
    import numpy as np

    if not np.isfinite(vectors).all():
        return Verification(len(vectors), precision, None, None, passed=False)
    difference = float(np.abs(vectors - reference).max()) if len(vectors) else 0.0
    cosine = _least_cosine(vectors, reference)
    passed = difference <= MAX_DIFFERENCE if precision == FLOAT32 else cosine is not None and cosine >= MIN_COSINE
    return Verification(len(vectors), precision, difference, cosine, passed)


def _least_cosine(vectors: "np.ndarray", reference: "np.ndarray") -> float | None:
    """The least cosine of two rows after centring, or None for a sample too small or with a row without direction."""
    import numpy as np

    if len(vectors) < MIN_UTTERANCES_FOR_COSINE:
        return None
    ours, theirs = (side.astype(np.float64) - side.mean(axis=0, dtype=np.float64) for side in (vectors, reference))
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float((np.sum(ours * theirs, axis=1) / norms).min()) if norms.all() else None


def sample_rows(rows: int, size: int, seed: int) -> Sequence[int]:
    """Some rows at random, ascending; all of them when there are no more than `size`."""
    import numpy as np

    drawn = np.random.default_rng(seed).choice(rows, min(size, rows), replace=False)
    return [int(row) for row in np.sort(drawn)]

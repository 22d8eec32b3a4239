"""Verification of the vectors: a sample of them against the reference, torch in float32 with one segment per batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from urgency_dagster.calls.embedding.encoder import FLOAT32

if TYPE_CHECKING:
    import numpy as np

MAX_DIFFERENCE = 1e-4
"""Maximum absolute difference of any element of a float32 vector from the reference."""

MIN_COSINE = 0.995
"""Minimum cosine similarity of a reduced-precision vector and its reference.

The mean vector of the sample is subtracted from both first: without it, the vectors of any two utterances already have
a cosine of about 0.98.
"""

MIN_UTTERANCES_FOR_COSINE = 8
"""Minimum sample size for a meaningful mean vector. Smaller archives are embedded in float32."""


@dataclass(frozen=True)
class Verification:
    """The comparison of a sample of the vectors with the reference.

    Attributes:
        utterances: the sample size.
        precision: the precision of the vectors.
        max_difference: maximum absolute difference of any element; None when a vector is not finite.
        min_cosine: minimum cosine similarity after centring; None for a sample that is too small, and when a centred
            vector is zero.
        passed: whether the bound of the precision holds.
    """

    utterances: int
    precision: str
    max_difference: float | None
    min_cosine: float | None
    passed: bool

    @property
    def bound(self) -> str:
        """The bound of the precision, in words."""
        if self.precision == FLOAT32:
            return f"max_difference at most {MAX_DIFFERENCE:g}"
        return f"min_cosine at least {MIN_COSINE:g}"


def verify(vectors: "np.ndarray", reference: "np.ndarray", precision: str) -> Verification:
    """Compares vectors with the reference vectors of the same utterances.

    Args:
        vectors: float32 of shape (N, D), computed in `precision`.
        reference: float32 of shape (N, D).
        precision: `float32`, `bfloat16` or `float16`.
    """
    import numpy as np

    if not np.isfinite(vectors).all():
        return Verification(len(vectors), precision, None, None, passed=False)
    difference = float(np.abs(vectors - reference).max()) if len(vectors) else 0.0
    cosine = _min_cosine(vectors, reference)
    passed = difference <= MAX_DIFFERENCE if precision == FLOAT32 else cosine is not None and cosine >= MIN_COSINE
    return Verification(len(vectors), precision, difference, cosine, passed)


def _min_cosine(vectors: "np.ndarray", reference: "np.ndarray") -> float | None:
    """The minimum cosine of two corresponding rows after centring; None if it is undefined."""
    import numpy as np

    if len(vectors) < MIN_UTTERANCES_FOR_COSINE:
        return None
    ours, theirs = (side.astype(np.float64) - side.mean(axis=0, dtype=np.float64) for side in (vectors, reference))
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float((np.sum(ours * theirs, axis=1) / norms).min()) if norms.all() else None


def sample_rows(rows: int, size: int, seed: int) -> Sequence[int]:
    """At most `size` random row numbers below `rows`, without repetition, ascending."""
    import numpy as np

    drawn = np.random.default_rng(seed).choice(rows, min(size, rows), replace=False)
    return [int(row) for row in np.sort(drawn)]

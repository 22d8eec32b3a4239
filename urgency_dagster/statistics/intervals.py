"""Intervals: the percentile interval of a score from bootstrap samples, and the exact interval of a share."""

import math
from collections.abc import Iterable

import numpy as np

PERCENTILES_95 = (2.5, 97.5)
"""Percentiles of a 95 % interval."""

MAX_UNDEFINED = 0.01
"""Maximum share of bootstrap samples in which a score may be undefined.

Of a class with fewer than five calls, more than one sample in a hundred holds none.
"""


def percentile_interval(
    values: Iterable[float | None],
    *,
    percentiles: tuple[float, float] = PERCENTILES_95,
    max_undefined: float = MAX_UNDEFINED,
) -> tuple[float, float] | None:
    """The bootstrap interval of a score; None if the score is undefined in too many samples.

    Args:
        values: the score in each bootstrap sample; None or NaN where it is undefined.
        percentiles: lower and upper percentile.
        max_undefined: maximum share of undefined values; with 1, one defined value is enough.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3 (percentile interval).
    """
    samples = list(values)
    defined = [value for value in samples if value is not None and not math.isnan(value)]
    if len(defined) <= (1 - max_undefined) * len(samples):
        return None
    low, high = np.percentile(defined, percentiles)
    return float(low), float(high)


def share_interval(part: int, whole: int, confidence: float) -> tuple[float, float]:
    """The exact interval of a share of independent units. It also holds for a share of 0 or 1, and for one unit.

    Args:
        part: units that are counted.
        whole: all units, at least 1.
        confidence: minimum probability that the interval contains the true share.

    Source: Clopper and Pearson, The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial
    (1934).
    """
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, part, whole - part + 1)) if part else 0.0
    high = float(beta.ppf(1 - tail, part + 1, whole - part)) if part < whole else 1.0
    return low, high

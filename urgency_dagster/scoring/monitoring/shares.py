"""Shares of calls in a scored archive, compared with those of the validation side of the training set.

Two shares differ when their intervals are apart. With K shares, each of the 2 K intervals is exact and misses the true
share with a probability of at most ERROR_RATE / 2 K. Intervals of equal true shares are apart only if one of them
misses it. So the probability that any share of an unchanged archive warns is at most ERROR_RATE.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from urgency_dagster.statistics.intervals import share_interval
from urgency_dagster.urgency import CallCount

ERROR_RATE = 0.01
"""Maximum probability that one of the shares warns although none has changed."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class ShareComparison:
    """A share of the calls of an archive beside that of the validation calls.

    Attributes:
        name: what is counted.
        archive: the calls of the archive.
        archive_interval: interval of the share of the archive.
        validation: the validation calls.
        validation_interval: interval of the share of the validation side.
    """

    name: str
    archive: CallCount
    archive_interval: Interval
    validation: CallCount
    validation_interval: Interval

    @property
    def apart(self) -> bool:
        """Whether the intervals have no point in common."""
        (low, high), (other_low, other_high) = self.archive_interval, self.validation_interval
        return low > other_high or other_low > high


def compare_shares(
    archive: Mapping[str, CallCount], validation: Mapping[str, CallCount]
) -> tuple[ShareComparison, ...]:
    """The comparisons of all shares that both sides have calls for, in the order of `archive`."""
    names = [name for name, count in archive.items() if count.of and name in validation and validation[name].of]
    return tuple(
        ShareComparison(
            name,
            archive[name],
            _interval(archive[name], len(names)),
            validation[name],
            _interval(validation[name], len(names)),
        )
        for name in names
    )


def _interval(count: CallCount, shares: int) -> Interval:
    return share_interval(count.calls, count.of, 1 - ERROR_RATE / (2 * shares))

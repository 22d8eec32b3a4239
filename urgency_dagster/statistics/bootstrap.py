"""The bootstrap over groups: whole calls or participants are drawn with replacement.

Rows of one group resemble each other. Drawing single rows would make intervals too narrow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
"""Default number of bootstrap samples. 25 samples lie beyond each end of a 95 % interval."""


@dataclass(frozen=True)
class BootstrapConfig:
    """How bootstrap samples are drawn.

    Attributes:
        resamples: number of bootstrap samples; 0 for none.
        seed: seed of the random numbers.
    """

    resamples: int = RESAMPLES
    seed: int = 42


def group_weights(groups: int, config: BootstrapConfig) -> "Iterator[NDArray[np.int64]]":
    """Yields how often each group occurs in each bootstrap sample, int64, (groups,).

    The same number of groups and the same seed give the same samples, so two models can be compared on them.

    Args:
        groups: number of groups.
        config: number of samples and seed.
    """
    rng = np.random.default_rng(config.seed)
    for _ in range(config.resamples):
        yield np.bincount(rng.integers(groups, size=groups), minlength=groups)

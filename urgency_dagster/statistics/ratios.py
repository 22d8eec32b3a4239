"""A ratio of two sums over groups, such as errors by characters, and its bootstrap interval."""

from typing import TYPE_CHECKING, Any

from urgency_dagster.statistics.bootstrap import BootstrapConfig, group_weights
from urgency_dagster.statistics.confusion import with_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def ratio_with_interval(
    name: str, parts: "NDArray[np.int64]", wholes: "NDArray[np.int64]", config: BootstrapConfig
) -> dict[str, Any]:
    """The ratio by its name, and its 95 % interval over groups as `<name>_interval`. None for an empty whole.

    Args:
        name: the name of the ratio.
        parts: the part of each group, int64, (G,).
        wholes: the whole of each group, int64, (G,).
        config: number of bootstrap samples and seed.
    """
    weights = group_weights(len(parts), config)
    samples = [_ratio(int(sample @ parts), int(sample @ wholes)) for sample in weights]
    return with_interval(name, _ratio(int(parts.sum()), int(wholes.sum())), samples)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None

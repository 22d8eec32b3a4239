"""Keeps one row of each prompt that is replicated at several times."""

import numpy as np

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.reading.replicates import numbers_of_prompts
from urgency_dagster.errors import AttentionError


def first_of_each_prompt(data: AttentionData) -> AttentionData:
    """The earliest row of each prompt, in the order of the rows. Without times it is the first in the file.

    A later row may know what came after the answer. A warning says if the file is not in the order of time.

    Raises:
        AttentionError: the times are unknown, and no replicated prompt is found without them.
    """
    numbers = numbers_of_prompts(data)
    t_s = np.arange(len(numbers), dtype=np.float64) if data.t_s is None else data.t_s
    if data.t_s is None and len(np.unique(numbers)) == len(numbers):
        received = "replicates is first, but the times of the rows are unknown"
        raise AttentionError(received, "t in seconds, one per row", "write t into the file, or use replicates: all")
    order = np.lexsort((t_s, numbers))
    first = np.sort(order[np.unique(numbers[order], return_index=True)[1]])
    dropped = len(numbers) - len(first)
    warnings = [f"{dropped} of {len(numbers)} rows are replicates of another row's prompt and were dropped"]
    if data.t_s is None and (np.diff(numbers) < 0).any():
        warnings.append("the rows have no times and were shuffled: a kept row need not be the earliest of its prompt")
    return data.taken(first, *(warnings if dropped else []))

"""Keeps one row of each prompt that is replicated at several times."""

from dataclasses import replace

import numpy as np

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.reading.replicates import prompt_numbers
from urgency_dagster.errors import AttentionError


def first_of_each_prompt(data: AttentionData) -> AttentionData:
    """The earliest row of each prompt, in the order of the rows. A later row may know what came after the answer.

    Raises:
        AttentionError: the times are unknown, so that it is unknown which rows belong to a prompt.
    """
    if data.t_s is None:
        received = "replicates is first, but the times of the rows are unknown"
        raise AttentionError(received, "t in seconds, one per row", "write t into the file, or use replicates: all")
    numbers = prompt_numbers(data, data.t_s)
    order = np.lexsort((data.t_s, numbers))
    first = np.sort(order[np.unique(numbers[order], return_index=True)[1]])
    dropped = len(numbers) - len(first)
    warning = f"{dropped} of {len(numbers)} rows are replicates of another row's prompt and were dropped"
    return replace(
        data,
        X=data.X.iloc[first].reset_index(drop=True),
        y=data.y[first],
        groups=data.groups[first],
        t_s=data.t_s[first],
        warnings=(*data.warnings, *([warning] if dropped else [])),
    )

"""Finds replicated prompts: some data sets hold each prompt many times, a minute apart, with the same label.

Source: derivatives of K-EmoPhone that replicate every prompt up to 10 minutes before and after it.
"""

import numpy as np
import pandas as pd

from urgency_dagster.attention.reading.blocks import block_numbers
from urgency_dagster.attention.reading.pickles import AttentionData

REPLICA_GAP_S = 600.0
"""Rows of one participant within this time and with the same label may be replicates. Prompts are 40 minutes apart."""

REPLICATED_SHARE = 0.5
"""From this share of possible replicates on, the data set counts as replicated: replication covers every prompt."""


def replicated_share(data: AttentionData, t_s: np.ndarray) -> float:
    """The share of rows that may be a replicate of the previous row.

    Args:
        data: the samples.
        t_s: (N,) float64, seconds.
    """
    return float(_follows(data, t_s, _order(data, t_s)).mean())


def prompt_numbers(data: AttentionData, t_s: np.ndarray) -> np.ndarray:
    """(N,) int64, the prompt number of each row. Without replication each row has its own number.

    Args:
        data: the samples.
        t_s: (N,) float64, seconds.
    """
    order = _order(data, t_s)
    follows = _follows(data, t_s, order)
    numbers = np.empty(len(t_s), dtype=np.int64)
    numbers[order] = np.cumsum(~follows) if follows.mean() >= REPLICATED_SHARE else np.arange(len(t_s))
    return numbers


def numbers_of_prompts(data: AttentionData) -> np.ndarray:
    """(N,) int64, the prompt number of each row, by the times or, without them, by values that hold still."""
    if data.t_s is not None:
        return prompt_numbers(data, data.t_s)
    numbers = block_numbers(data.X, data.y, data.groups)
    return np.arange(len(data.y)) if numbers is None else numbers


def unit_numbers(data: AttentionData) -> np.ndarray:
    """(N,) int64, the number of the independent unit of each row: a prompt, or rows that are equal in everything.

    Copies of a prompt or of a row say nothing new about a column.
    """
    numbers = numbers_of_prompts(data)
    rows = pd.DataFrame({"X": pd.util.hash_pandas_object(data.X, index=False), "y": data.y, "group": data.groups})
    units: np.ndarray = (
        pd.Series(numbers).groupby(rows.groupby(["X", "y", "group"]).ngroup()).transform("min").to_numpy()
    )
    return units


def _order(data: AttentionData, t_s: np.ndarray) -> np.ndarray:
    """Row numbers sorted by participant and time."""
    return np.lexsort((t_s, data.groups))


def _follows(data: AttentionData, t_s: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(N,) bool in that order: whether a row may be a replicate of the previous row."""
    groups, y, times = data.groups[order], data.y[order], t_s[order]
    near = (groups[1:] == groups[:-1]) & (y[1:] == y[:-1]) & (np.diff(times) < REPLICA_GAP_S)
    return np.concatenate([[False], near])

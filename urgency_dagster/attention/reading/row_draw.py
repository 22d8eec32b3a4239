"""Draws the rows that the original notebook cross-validates: nine tenths of them, whoever their participants are."""

import numpy as np

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.errors import AttentionError

SET_ASIDE, SEED = 0.1, 42
"""Share of the rows that are set aside, and the seed of the draw. Source: cell 52 of `ml_model.ipynb`."""


def drawn_by_the_original(data: AttentionData) -> AttentionData:
    """Nine tenths of the rows, in the order of the draw.

    They are the rows of the original's `attention_train_val.pkl`. Their times are kept; that file has those of all.

    Source: cell 52 of `ml_model.ipynb` draws them, and cell 72 cross-validates them.

    Raises:
        AttentionError: one label has too few rows for a stratified draw.
    """
    from sklearn.model_selection import train_test_split

    try:
        kept, _ = train_test_split(np.arange(len(data.y)), test_size=SET_ASIDE, random_state=SEED, stratify=data.y)
    except ValueError as error:
        received = f"{np.bincount(data.y).tolist()} rows of the labels 0 and 1"
        raise AttentionError(received, "enough of both to draw a tenth of them", "use protocol: honest") from error
    warning = f"{len(data.y) - len(kept)} of {len(data.y)} rows were set aside at random, as in the original"
    return data.taken(kept, warning)

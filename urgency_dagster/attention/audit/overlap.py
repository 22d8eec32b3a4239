"""Finds overlap between folds (participants, copies of rows) and replicated prompts."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level
from urgency_dagster.attention.reading.column_names import parse_feature_name
from urgency_dagster.attention.reading.inventory import extremes
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.reading.replicates import (
    REPLICA_GAP_S,
    REPLICATED_SHARE,
    numbers_of_prompts,
    prompt_numbers,
    replicated_share,
)

REPLICATED_SUSPICION = 0.05
"""From this share of possible replicates on, a person must check the data."""

MIN_NONZERO_VALUES = 8
"""Minimum number of non-zero numbers, in columns that change, in a row before an equal row counts as its copy.

Without a wristband and with an idle phone, a participant has rows of zeros. Such rows are equal, but not copies.
"""


def overlap_findings(data: AttentionData, predictions: Mapping[str, pd.DataFrame]) -> list[Finding]:
    """Findings about participants or copies in several folds, and about replicated prompts.

    Args:
        data: the samples.
        predictions: by model, one out-of-fold row per sample in the order of X, with `fold` and `participant`.
    """
    folds = {model: table["fold"].to_numpy() for model, table in predictions.items()}
    return [*_participants(predictions), *_copies(data, folds), *_replicated(data)]


def _participants(predictions: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    overlapping: set[str] = set()
    for table in predictions.values():
        folds = table.groupby("participant")["fold"].nunique()
        overlapping |= set(folds.index[folds > 1].astype(str))
    if overlapping:
        message = "Participants are in several folds: models were fitted and tested on the same people."
        yield Finding.of_names(Level.CERTAIN, FindingKind.PARTICIPANT_IN_TWO_FOLDS, message, sorted(overlapping))


def _copies(data: AttentionData, folds: Mapping[str, np.ndarray]) -> Iterator[Finding]:
    copies = copied_rows(data)
    if copies.empty:
        return
    overlaps = {
        model: int((copies.assign(fold=fold[copies.index]).groupby("copy")["fold"].nunique() > 1).sum())
        for model, fold in folds.items()
    }
    figures = {"distinct_rows": int(copies["copy"].nunique()), "crossing": max(overlaps.values(), default=0)}
    if figures["crossing"]:
        message = "Rows with equal features and label are in several folds: models were fitted on their test rows."
        yield Finding(Level.CERTAIN, FindingKind.COPY_IN_TWO_FOLDS, message, len(copies), figures=figures)
    else:
        message = "Rows with equal features and label occur more than once and are counted more than once."
        yield Finding(Level.SUSPICION, FindingKind.COPIES, message, len(copies), figures=figures)


def copied_rows(data: AttentionData) -> pd.DataFrame:
    """The rows that occur more than once, by row number; equal rows have the same value of `copy`.

    Features and label must be equal. Time and label history (`ESM#...`) may differ: copies at other times differ there.
    """
    columns = [name for name in data.X.columns if (parts := parse_feature_name(name)) is None or parts.stream != "ESM"]
    X = data.X[columns]
    numbers = X.select_dtypes("float32").to_numpy()
    lowest, highest = extremes(numbers, data.groups)
    # A column that never changes for a participant does not make a row of this participant distinctive.
    changes = (lowest != highest)[np.unique(data.groups, return_inverse=True)[1]]
    nonzero_enough = ((numbers != 0) & changes).sum(axis=1) >= MIN_NONZERO_VALUES
    rows = pd.DataFrame({"features": pd.util.hash_pandas_object(X, index=False), "y": data.y})
    repeated = rows[rows.duplicated(keep=False) & nonzero_enough]
    return pd.DataFrame({"copy": repeated.groupby(["features", "y"]).ngroup()})


def _replicated(data: AttentionData) -> Iterator[Finding]:
    if data.t_s is None:
        yield from _replicated_blocks(data)
        return
    share = replicated_share(data, data.t_s)
    if share >= REPLICATED_SUSPICION:
        message = (
            f"Rows of one participant with the same label are less than {REPLICA_GAP_S / 60:.0f} minutes apart: "
            "replicated prompts are counted several times, and replicates after the answer contain later information."
        )
        figures = {"share": share}
        if share >= REPLICATED_SHARE:
            figures["prompts"] = len(np.unique(prompt_numbers(data, data.t_s)))
        rows = round(share * len(data.y))
        yield Finding(Level.SUSPICION, FindingKind.REPLICATED_PROMPTS, message, rows, figures=figures)


def _replicated_blocks(data: AttentionData) -> Iterator[Finding]:
    """The finding about replicated prompts without times."""
    prompts, rows = len(np.unique(numbers_of_prompts(data))), len(data.y)
    if prompts < rows:
        message = (
            "Rows of one participant have the same label and values that are equal or interpolated: "
            "replicated prompts are counted several times, and replicates after the answer contain later information."
        )
        figures = {"share": 1 - prompts / rows, "prompts": prompts}
        yield Finding(Level.SUSPICION, FindingKind.REPLICATED_PROMPTS, message, rows - prompts, figures=figures)

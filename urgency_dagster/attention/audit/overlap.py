"""What stands on both sides of a fold, or more often than it was answered: participants, prompts and copies of rows."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from urgency_dagster.attention.audit.findings import Finding, Kind, Level
from urgency_dagster.attention.audit.replicates import (
    REPLICA_GAP_S,
    REPLICATED_SHARE,
    prompt_numbers,
    replicated_share,
)
from urgency_dagster.attention.reading.column_names import parse_feature_name
from urgency_dagster.attention.reading.pickles import AttentionData

REPLICATED_SUSPICION = 0.05
"""From this share of rows that may be copies on, somebody has to look."""

DISTINCTIVE_VALUES = 8
"""Numbers other than 0 that a row must hold before an equal row counts as its copy.

A participant without a band and with a silent phone has rows of zeros, which are alike without being copies.
"""


def crossing_findings(data: AttentionData, predictions: Mapping[str, pd.DataFrame]) -> list[Finding]:
    """What the stored folds have on both sides, and what inflates their number of rows.

    Args:
        data: the samples.
        predictions: by model, one out-of-fold row per sample in the order of X, with `fold` and `participant`.
    """
    folds = {model: table["fold"].to_numpy() for model, table in predictions.items()}
    return [*_participants(predictions), *_copies(data, folds), *_replicated(data)]


def _participants(predictions: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    crossing: set[str] = set()
    for table in predictions.values():
        folds = table.groupby("participant")["fold"].nunique()
        crossing |= set(folds.index[folds > 1].astype(str))
    if crossing:
        message = "Participants are judged in several folds: models were fitted on the people they are judged on."
        yield Finding.of_names(Level.CERTAIN, Kind.PARTICIPANT_IN_TWO_FOLDS, message, sorted(crossing))


def _copies(data: AttentionData, folds: Mapping[str, np.ndarray]) -> Iterator[Finding]:
    copies = copied_rows(data)
    if copies.empty:
        return
    crossing = {
        model: int((copies.assign(fold=fold[copies.index]).groupby("copy")["fold"].nunique() > 1).sum())
        for model, fold in folds.items()
    }
    figures = {"distinct_rows": int(copies["copy"].nunique()), "crossing": max(crossing.values(), default=0)}
    if figures["crossing"]:
        message = "Rows with equal features and label are in several folds: models were fitted on what they are asked."
        yield Finding(Level.CERTAIN, Kind.COPY_IN_TWO_FOLDS, message, len(copies), figures=figures)
    else:
        message = "Rows with equal features and label occur more than once and count as often."
        yield Finding(Level.SUSPICION, Kind.COPIES, message, len(copies), figures=figures)


def copied_rows(data: AttentionData) -> pd.DataFrame:
    """The rows that have an equal one with the same label, by row number; those with one value of `copy` are equal.

    Time and label history (`ESM#...`) may differ, as copies of a prompt at other times have other ones.
    """
    columns = [name for name in data.X.columns if (parts := parse_feature_name(name)) is None or parts.stream != "ESM"]
    X = data.X[columns]
    numbers = X.select_dtypes("float32")
    distinctive = (numbers.to_numpy() != 0).sum(axis=1) >= DISTINCTIVE_VALUES
    rows = pd.DataFrame({"features": pd.util.hash_pandas_object(X, index=False), "y": data.y})
    repeated = rows[rows.duplicated(keep=False) & distinctive]
    return pd.DataFrame({"copy": repeated.groupby(["features", "y"]).ngroup()})


def _replicated(data: AttentionData) -> Iterator[Finding]:
    if data.t_s is None:
        return
    share = replicated_share(data, data.t_s)
    if share >= REPLICATED_SUSPICION:
        message = (
            f"Rows of one participant with one label are less than {REPLICA_GAP_S / 60:.0f} minutes apart: replicated "
            "prompts count several times, and those after the answer know what came after it."
        )
        figures = {"share": share}
        if share >= REPLICATED_SHARE:
            figures["prompts"] = len(np.unique(prompt_numbers(data, data.t_s)))
        rows = round(share * len(data.y))
        yield Finding(Level.SUSPICION, Kind.REPLICATED_PROMPTS, message, rows, figures=figures)

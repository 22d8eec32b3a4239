"""What must be true of an artefact before anything is built on it, and what deserves a warning.

The checks run in the step that wrote the artefact, on the files as they were written: a blocking one that fails stops
everything downstream. Their names are declared here once, for the assets that carry them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.attention.protocol import LEAKAGE_SUSPICION
from urgency_dagster.storage import StoragePaths
from urgency_dagster.tables import EMBEDDING

COUNTS_ADD_UP = dg.AssetCheckSpec(
    "counts_add_up",
    asset="utterances",
    blocking=True,
    description="Labelled utterances = kept + rejected; nothing disappears.",
)
VECTORS_FIT = dg.AssetCheckSpec(
    "vectors_fit_rows",
    asset="utterance_embeddings",
    blocking=True,
    description="One finite vector per row of the utterance table, in its order.",
)
SPLIT_BY_CALL = dg.AssetCheckSpec(
    "split_by_call",
    asset="training_set",
    blocking=True,
    description="No call is on both sides of the split (not asked of the mode `utterance`).",
)
BEATS_MAJORITY = dg.AssetCheckSpec(
    "beats_majority",
    asset="urgency_evaluation",
    description="Urgency macro-F1 of the validation utterances is above that of the majority class.",
)
PLAUSIBLE_SCORES = dg.AssetCheckSpec(
    "plausible_scores",
    asset="attention_leaderboard",
    description="No model scores above 0.70 macro-F1 across participants: more is leakage until shown otherwise.",
)


def counts_add_up(paths: StoragePaths, archive: str, labelled: int) -> dg.AssetCheckResult:
    """Compares the stored tables with the number of utterances that the labels hold."""
    files = paths.archive(archive)
    kept = pq.read_metadata(files.utterances).num_rows
    ids = pq.read_table(files.rejects, columns=["utterance_id"])["utterance_id"]
    rejected = len(ids) - ids.null_count
    return dg.AssetCheckResult(
        check_name=COUNTS_ADD_UP.name,
        passed=labelled == kept + rejected,
        metadata={"labelled": labelled, "kept": kept, "rejected": rejected},
    )


def vectors_fit_rows(paths: StoragePaths, archive: str) -> dg.AssetCheckResult:
    """Compares the keys of the vectors with those of the utterance table and looks for NaN and infinity."""
    files = paths.archive(archive)
    key = ["_id", "utterance_id"]
    same_rows = pq.read_table(files.utterances, columns=key).equals(pq.read_table(files.embeddings, columns=key))
    finite = all(
        pc.all(pc.is_finite(batch.column(0).flatten())).as_py() is not False
        for batch in pq.ParquetFile(files.embeddings).iter_batches(batch_size=4096, columns=[EMBEDDING])
    )
    return dg.AssetCheckResult(
        check_name=VECTORS_FIT.name, passed=same_rows and finite, metadata={"same_rows": same_rows, "finite": finite}
    )


def split_by_call(rows: Path, mode: str) -> dg.AssetCheckResult:
    """Counts the calls that are on both sides of the stored split."""
    sides = pq.read_table(rows, columns=["_id", "side"]).group_by("_id").aggregate([("side", "count_distinct")])
    shared_calls = pc.sum(pc.greater(sides["side_count_distinct"], 1)).as_py() or 0
    return dg.AssetCheckResult(
        check_name=SPLIT_BY_CALL.name,
        passed=shared_calls == 0 or mode == "utterance",
        metadata={"calls_on_both_sides": shared_calls, "mode": mode},
    )


def beats_majority(metrics: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Compares the model with the majority class on the same rows."""
    model, majority = (metrics[name]["urgency"]["f1_macro"] for name in ("utterance", "majority"))
    return dg.AssetCheckResult(
        check_name=BEATS_MAJORITY.name,
        passed=model > majority,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"model": model, "majority": majority},
    )


def plausible_scores(f1_macro: Mapping[str, float], limit: float = LEAKAGE_SUSPICION) -> dg.AssetCheckResult:
    """Names the models that score above what honest cross-participant models reach."""
    suspicious = sorted(model for model, score in f1_macro.items() if score > limit)
    return dg.AssetCheckResult(
        check_name=PLAUSIBLE_SCORES.name,
        passed=not suspicious,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"above_limit": ", ".join(suspicious) or "none", "limit": limit},
    )

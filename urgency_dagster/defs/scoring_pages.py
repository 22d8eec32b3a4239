"""The pages and the checks of the scoring assets: counts, and never a text, the name of a file, or a recording."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from urgency_dagster.defs.checks import check_of_each
from urgency_dagster.defs.figures import duration, figure_table, share
from urgency_dagster.defs.partitions import scoring_archives
from urgency_dagster.defs.rejects import scoring_remedy
from urgency_dagster.scoring import ScoringConfig, ScoringCounts

ALL_SCORED = check_of_each(
    scoring_archives,
    "counts_add_up",
    asset="scored_utterances",
    description="Recordings = scored + rejected. Utterances of labels = scored + rejected.",
)
FEW_UNSCORED = check_of_each(
    scoring_archives,
    "few_rejects",
    asset="scored_utterances",
    description="The archive has scored calls, and the rejected shares are within their limits.",
    blocking=False,
)


def recordings_metadata(recordings: Path) -> dict[str, Any]:
    """The recordings of an archive, those with a label, and the rejects by reason."""
    table = pq.read_table(recordings, columns=["turns", "reason"])
    reasons = Counter(reason for reason in table["reason"].to_pylist() if reason is not None)
    used = table.num_rows - reasons.total()
    labelled = sum(turns is not None for turns in table["turns"].to_pylist())
    return {
        "dagster/row_count": table.num_rows,
        "recordings": used,
        "with_label": share(labelled, used, "recordings"),
        "rejects": _counted(reasons),
    }


def utterance_metadata(counts: ScoringCounts, asked: int) -> dict[str, Any]:
    """The funnel of an archive: recordings, calls, utterances, and the rejects by level and reason.

    Args:
        counts: the counts of the archive.
        asked: the recordings that were asked now; the others kept their rows.
    """
    rejects = {f"{level}: {reason}": n for level, of_level in counts.rejected.items() for reason, n in of_level.items()}
    funnel = {name: getattr(counts, name) for name in ("recordings", "calls", "utterances")}
    return {
        "dagster/row_count": counts.utterances,
        "funnel": figure_table(funnel),
        "rejects": figure_table(rejects),
        "asked_now": share(asked, counts.recordings, "recordings"),
        "listening": _counted(counts.listening),
        "audio": duration(counts.audio_s),
    }


def call_metadata(counts: ScoringCounts) -> dict[str, Any]:
    """The calls by class, the abstained and the alarmed ones."""
    return {
        "dagster/row_count": counts.calls,
        "urgency": _counted(counts.urgency),
        "sentiment": _counted(counts.sentiment),
        "abstained": share(counts.abstained, counts.calls, "calls"),
        "alarmed": share(counts.alarmed, counts.calls, "calls"),
        "without_threshold": share(counts.without_threshold, counts.calls, "calls"),
        "listening": _counted(counts.listening),
    }


def all_scored(counts: ScoringCounts) -> dg.AssetCheckResult:
    """Fails when a recording or an utterance of a label has neither an answer nor a reason."""
    lost = {"recordings": counts.lost_recordings, "utterances": counts.lost_utterances}
    passed = not any(lost.values())
    words = " and ".join(f"{n} {noun}" for noun, n in lost.items() if n)
    return dg.AssetCheckResult(
        check_name=ALL_SCORED.name,
        passed=passed,
        description=None
        if passed
        else f"{words} have neither a row nor a reason. Remedy: materialize scoring_recordings again.",
        metadata={**{f"lost_{noun}": n for noun, n in lost.items()}, "recordings": counts.recordings},
    )


def few_unscored(counts: ScoringCounts, limits: ScoringConfig, rejects: Path) -> dg.AssetCheckResult:
    """Warns about an archive without calls, or with too many rejects. What is scored stays.

    Args:
        counts: the counts of the archive.
        limits: the maximum shares.
        rejects: the reject table, which the page names.
    """
    levels = {
        "recordings": (counts.recordings, limits.rejected_recordings_max),
        "utterances": (counts.all_utterances, limits.rejected_utterances_max),
    }
    rejected = {level: counts.rejected[level].total() for level in levels}
    over = [level for level, (count, limit) in levels.items() if count and rejected[level] / count > limit]
    passed = counts.calls > 0 and not over
    words = " ".join(
        f"{share(rejected[level], count, level)} are rejected; the limit is {100 * limit:.4g} %."
        for level, (count, limit) in levels.items()
        if count
    )
    return dg.AssetCheckResult(
        check_name=FEW_UNSCORED.name,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=words if passed else f"{words} Remedy: {scoring_remedy(counts)}.",
        metadata={
            **{f"rejected_{level}": rejected[level] for level in levels},
            "why": _counted(counts.rejected["recordings"]),
            "path": dg.MetadataValue.path(str(rejects)),
        },
    )


def _counted(counts: Mapping[str, int]) -> dg.MarkdownMetadataValue:
    return figure_table(dict(sorted(counts.items())))

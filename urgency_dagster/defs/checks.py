"""The asset checks. A blocking check that fails stops every downstream asset; the others warn.

Each check runs on the written files, in the step that wrote them.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.attention import LEAKAGE_SUSPICION, Finding, Level, ways_on
from urgency_dagster.calls import Funnel, ProsodyVerification, Verification
from urgency_dagster.defs.figures import DIGITS, figure, figure_table, share
from urgency_dagster.defs.partitions import call_archives
from urgency_dagster.defs.rejects import main_reason, reject_reasons
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import EMBEDDING
from urgency_dagster.urgency import SharedCalls


def check_of_each(
    archives: dg.PartitionsDefinition[str], name: str, asset: str, description: str, *, blocking: bool = True
) -> dg.AssetCheckSpec:
    """A check with a result of its own for each archive, so that a blocked archive stays red.

    Partitions of a check are a preview in Dagster 1.13, and warn. The warning is meant for this line alone.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(name, asset=asset, description=description, blocking=blocking, partitions_def=archives)


COUNTS_ADD_UP = check_of_each(
    call_archives,
    "counts_add_up",
    asset="utterances",
    description="Members = unpacked + rejected. Labelled calls and utterances = kept + rejected.",
)
FEW_REJECTS = check_of_each(
    call_archives,
    "few_rejects",
    asset="utterances",
    description="The archive has calls. The rejected shares of calls and utterances are within their limits.",
)
VECTORS_FIT = check_of_each(
    call_archives,
    "vectors_fit_rows",
    asset="utterance_embeddings",
    description="Each row of the utterance table has one finite vector, in the same order.",
)
SAME_AS_ONE_BY_ONE = check_of_each(
    call_archives,
    "same_as_one_by_one",
    asset="utterance_embeddings",
    description="A random sample is embedded again, one utterance at a time, by torch in float32. In float32 the "
    "vectors differ by at most 1e-4. In a reduced precision their cosine, after subtracting the sample mean, is at "
    "least 0.995.",
)
PROSODY_FITS = check_of_each(
    call_archives,
    "prosody_fits_rows",
    asset="prosody",
    description="Each row of the utterance table has one row with the same key, in the same order.",
)
PROSODY_POSSIBLE = check_of_each(
    call_archives,
    "prosody_in_range",
    asset="prosody",
    description="Every value is finite and in the range of its column. f0 is null exactly where no frame is voiced.",
)
CALLS_IN_ONE_ARCHIVE = dg.AssetCheckSpec(
    "calls_in_one_archive",
    asset="training_set",
    blocking=True,
    description="No call id and no recording occurs in two archives.",
)
SPLIT_BY_CALL = dg.AssetCheckSpec(
    "split_by_call",
    asset="training_set",
    blocking=True,
    description="No call is on two sides of the split; in the mode `utterance`, only the validation side is exempt. In "
    "the mode `call`, no recording is on two sides under two ids.",
)
NO_LEAK = dg.AssetCheckSpec(
    "no_leak",
    asset="attention_audit",
    blocking=True,
    description="No participant and no copy of a row is in two folds. No column reveals the label. No label history "
    "includes the label of its own row.",
)
NO_SUSPICION = dg.AssetCheckSpec(
    "no_suspicion",
    asset="attention_audit",
    description="No single column scores too well, and none identifies participants. No prompt is replicated. On "
    "shuffled labels every model is at chance. The scores do not depend on label history.",
)
PLAUSIBLE_SCORES = dg.AssetCheckSpec(
    "plausible_scores",
    asset="attention_leaderboard",
    description=f"No model scores above {LEAKAGE_SUSPICION:.2f} macro-F1 across participants. A higher score suggests "
    "leakage.",
)


def counts_add_up(funnel: Funnel, counted: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Compares the stored tables with the counts from reading members and labels.

    Args:
        funnel: the figures of the tables.
        counted: the counts `members`, `extracted`, `calls` and `labelled` of the input.
    """
    figures = {
        "members": counted["members"],
        "unpacked_or_rejected_members": counted["extracted"] + funnel.rejects("members"),
        "calls": counted["calls"],
        "kept_or_rejected_calls": funnel.calls,
        "labelled_utterances": counted["labelled"],
        "kept_or_rejected_utterances": funnel.utterances,
    }
    unequal = [
        f"{one} is {figures[one]}, but {other} is {figures[other]}"
        for one, other in zip(list(figures)[::2], list(figures)[1::2], strict=True)
        if figures[one] != figures[other]
    ]
    return dg.AssetCheckResult(
        check_name=COUNTS_ADD_UP.name,
        passed=not unequal,
        description=f"{'; '.join(unequal)}. Remedy: materialize call_recordings again." if unequal else None,
        metadata=dict(figures),
    )


def few_rejects(
    funnel: Funnel, calls_max: float, utterances_max: float, rejects: Path | None = None
) -> dg.AssetCheckResult:
    """Compares the rejected shares with their limits. An archive without calls fails too.

    Args:
        funnel: the counts of an archive.
        calls_max: the maximum rejected share of calls.
        utterances_max: the maximum rejected share of utterances.
        rejects: the reject table, which the page and the line of `run` name.
    """
    calls, utterances = funnel.share_rejected("calls"), funnel.share_rejected("utterances")
    passed = funnel.calls > 0 and calls <= calls_max and utterances <= utterances_max
    reasons = reject_reasons(funnel)
    cause = main_reason(funnel, calls=not funnel.calls or calls > calls_max)
    shares = f"{_share(funnel, 'calls', calls_max)} {_share(funnel, 'utterances', utterances_max)}"
    causes = " ".join(dict.fromkeys([*(reason.sentence for reason in reasons[:MAX_REASONS]), cause.sentence]))
    return dg.AssetCheckResult(
        check_name=FEW_REJECTS.name,
        passed=passed,
        description=shares if passed else f"{causes} {shares} Remedy: {cause.remedy}.",
        metadata={
            "calls": funnel.calls,
            "rejected_calls_share": round(calls, DIGITS),
            "rejected_calls_max": calls_max,
            "rejected_utterances_share": round(utterances, DIGITS),
            "rejected_utterances_max": utterances_max,
            "why": figure_table({f"{reason.level}: {reason.reason}": reason.count for reason in reasons}),
            "remedy": cause.remedy,
            **({"path": dg.MetadataValue.path(str(rejects))} if rejects else {}),
        },
    )


ROWS_DIFFER = "The rows are not those of the utterance table. Remedy: materialize it and `utterances` again."
VECTORS_DIFFER = "The vectors are not those of the utterance table. Remedy: materialize them and `utterances` again."
VECTORS_NOT_FINITE = "Some vectors are NaN or infinite. Remedy: materialize them with `precision: float32`."

MAX_REASONS = 4
"""Maximum reasons in the description of `few_rejects`. Its table has all."""


def _share(funnel: Funnel, level: str, limit: float) -> str:
    """A rejected share in words: `7 of 45 calls (15.6 %) are rejected; the limit is 20 %`."""
    rejected, count = funnel.rejects(level), getattr(funnel, level)
    if not count:
        return f"The archive has no {level}."
    return f"{share(rejected, count, level)} are rejected; the limit is {100 * limit:.4g} %."


def vectors_fit_rows(paths: StoragePaths, archive: str) -> dg.AssetCheckResult:
    """Compares the keys of the vectors with those of the utterance table, and searches for NaN and infinity."""
    files = paths.archive(archive)
    key = ["_id", "utterance_id"]
    same_rows = pq.read_table(files.utterances, columns=key).equals(pq.read_table(files.embeddings, columns=key))
    finite = all(
        pc.all(pc.is_finite(batch.column(0).flatten())).as_py() is not False
        for batch in pq.ParquetFile(files.embeddings).iter_batches(batch_size=4096, columns=[EMBEDDING])
    )
    return dg.AssetCheckResult(
        check_name=VECTORS_FIT.name,
        passed=same_rows and finite,
        description=None if same_rows and finite else VECTORS_NOT_FINITE if same_rows else VECTORS_DIFFER,
        metadata={"same_rows": same_rows, "finite": finite},
    )


def same_as_one_by_one(verification: Verification) -> dg.AssetCheckResult:
    """Reports the verification of an archive's vectors."""
    return dg.AssetCheckResult(
        check_name=SAME_AS_ONE_BY_ONE.name,
        passed=verification.passed,
        description=None
        if verification.passed
        else f"Vectors in {verification.precision} are not those of torch in float32: {verification.bound}. "
        "Remedy: materialize with `precision: float32`. If that fails too, use `engine: torch`.",
        metadata={
            "utterances": verification.utterances,
            "precision": verification.precision,
            "bound": verification.bound,
            "max_difference": figure(verification.max_difference),
            "min_cosine": figure(verification.min_cosine),
            "remedy": "materialize it with `precision: float32`. If that fails too, use `engine: torch`.",
        },
    )


def prosody_fits_rows(verification: ProsodyVerification) -> dg.AssetCheckResult:
    """Reports whether the keys are those of the utterance table."""
    return dg.AssetCheckResult(
        check_name=PROSODY_FITS.name,
        passed=verification.same_utterances,
        description=None if verification.same_utterances else ROWS_DIFFER,
        metadata={"same_rows": verification.same_utterances},
    )


def prosody_in_range(verification: ProsodyVerification) -> dg.AssetCheckResult:
    """Reports the number of impossible values by column."""
    impossible = verification.impossible_values
    columns = [name for name, count in impossible.items() if count]
    return dg.AssetCheckResult(
        check_name=PROSODY_POSSIBLE.name,
        passed=not columns,
        description=f"Impossible values in {', '.join(columns)}." if columns else None,
        metadata={"impossible_values": sum(impossible.values()), "by_column": figure_table(impossible)},
    )


def calls_in_one_archive(shared: SharedCalls) -> dg.AssetCheckResult:
    """Fails when a call id or a recording occurs in two archives. The remedy is to remove one of them from landing."""
    passed = not shared.ids and not shared.recordings
    return dg.AssetCheckResult(
        check_name=CALLS_IN_ONE_ARCHIVE.name,
        passed=passed,
        description=None
        if passed
        else f"{shared.ids} call ids and {shared.recordings} recordings occur in two archives: "
        f"{', '.join(shared.archives)}. Remedy: remove one of these archives from the landing folder.",
        metadata={
            "ids_in_two_archives": shared.ids,
            "recordings_in_two_archives": shared.recordings,
            "recordings_of_two_calls_in_one_archive": shared.recordings_within,
            "archives": ", ".join(shared.archives) or "none",
        },
    )


def split_by_call(rows: Path, mode: str) -> dg.AssetCheckResult:
    """Counts the calls, by id and by recording, that are on two sides of the stored split.

    `calls_in_one_archive` compares recordings of two archives. It ignores silent recordings, which are all equal.
    """
    table = pq.read_table(rows, columns=["_id", "audio_sha256", "side"])
    if mode == "utterance":
        table = table.filter(pc.not_equal(table["side"], "validation"))
    calls, recordings = (_on_two_sides(table, column) for column in ("_id", "audio_sha256"))
    passed = calls == 0 and (recordings == 0 or mode != "call")
    return dg.AssetCheckResult(
        check_name=SPLIT_BY_CALL.name,
        passed=passed,
        description=None if passed else f"{calls} calls and {recordings} recordings are on two sides of the split.",
        metadata={"calls_on_two_sides": calls, "recordings_on_two_sides": recordings, "mode": mode},
    )


def _on_two_sides(table: pa.Table, column: str) -> int:
    sides = table.group_by(column).aggregate([("side", "count_distinct")])
    return pc.sum(pc.greater(sides["side_count_distinct"], 1)).as_py() or 0


def no_leak(findings: Sequence[Finding]) -> dg.AssetCheckResult:
    """Fails when the audit has a certain finding that nobody accepted: honest data and protocols have none."""
    return _none_of(Level.CERTAIN, findings, NO_LEAK.name, dg.AssetCheckSeverity.ERROR)


def no_suspicion(findings: Sequence[Finding]) -> dg.AssetCheckResult:
    """Warns when the audit has a suspicious finding that nobody accepted. A person should check it."""
    return _none_of(Level.SUSPICION, findings, NO_SUSPICION.name, dg.AssetCheckSeverity.WARN)


def _none_of(
    level: Level, findings: Sequence[Finding], name: str, severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    at_level = [finding for finding in findings if finding.level == level and not finding.accepted]
    messages = {item.kind.value: f"{item.message} {', '.join(item.names)}".strip() for item in at_level}
    return dg.AssetCheckResult(
        check_name=name,
        passed=not at_level,
        severity=severity,
        description=" ".join(messages.values()) + _ways_on(at_level, findings) or None,
        metadata={"findings": len(at_level), **messages},
    )


def _ways_on(failing: Sequence[Finding], findings: Sequence[Finding]) -> str:
    """The lines of `run_config.yaml` with which a run goes on; empty for findings that block nothing."""
    lines = ways_on(findings) if any(finding.blocks for finding in failing) else ""
    return f" The ways on, as lines of run_config.yaml, each a choice of its own:\n{lines}" if lines else ""


def plausible_scores(f1_macro: Mapping[str, float], limit: float = LEAKAGE_SUSPICION) -> dg.AssetCheckResult:
    """Warns about models that score above the limit of honest models across participants."""
    suspicious = sorted(model for model, score in f1_macro.items() if score > limit)
    return dg.AssetCheckResult(
        check_name=PLAUSIBLE_SCORES.name,
        passed=not suspicious,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"above_limit": ", ".join(suspicious) or "none", "limit": limit},
    )

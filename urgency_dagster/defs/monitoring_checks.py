"""The checks of what arrives after training: figures and intervals, and never a text, a name or a single call."""

from typing import Any

import dagster as dg

from urgency_dagster.defs.checks import check_of_each
from urgency_dagster.defs.figures import figure, figure_table
from urgency_dagster.defs.partitions import scoring_archives
from urgency_dagster.scoring import Drift, Monitoring, ShareComparison
from urgency_dagster.urgency import CallCount

REMEDY = "Remedy: listen to some of these calls. If they are as they should be, train with calls of this kind."

NO_DRIFT = check_of_each(
    scoring_archives,
    "no_drift",
    asset="scored_calls",
    description="A classifier does not tell the vectors of the calls from those of training calls: its AUROC is at "
    "most the largest of 99 permutations. Without 20 calls it is not measured.",
    blocking=False,
)
SAME_SHARES = check_of_each(
    scoring_archives,
    "shares_as_in_validation",
    asset="scored_calls",
    description="The shares of calls by urgency, abstained, alarmed, with unknown tokens, clipped and with a tone have "
    "intervals that overlap those of the validation calls.",
    blocking=False,
)


def no_drift(monitoring: Monitoring) -> dg.AssetCheckResult:
    """Warns when the calls differ from the training calls. It passes when that cannot be measured, and says so."""
    drift = monitoring.drift
    if drift is None:
        return _result(NO_DRIFT, True, f"Not measured: {monitoring.no_drift.rstrip('.')}.", {"measured": False})
    above = "above" if drift.drifted else "at most"
    words = f"AUROC {drift.auroc:.3f}{_interval_words(drift)}, {above} the threshold {drift.threshold:.3f}."
    figures: dict[str, Any] = {
        "measured": True,
        "auroc": figure(drift.auroc),
        "threshold": figure(drift.threshold),
        "calls": drift.calls,
        "training_calls": drift.training_calls,
    }
    if drift.interval:
        figures |= {"interval_low": figure(drift.interval[0]), "interval_high": figure(drift.interval[1])}
    return _result(NO_DRIFT, not drift.drifted, words, figures)


def shares_as_in_validation(monitoring: Monitoring) -> dg.AssetCheckResult:
    """Warns when the intervals of a share are apart. Shares that cannot be compared are named, and never warn."""
    apart = [share for share in monitoring.shares if share.apart]
    words = (
        " ".join(_sentence(share) for share in apart)
        or f"The intervals of all shares overlap ({len(monitoring.shares)})."
    )
    if not monitoring.shares:
        words = "Not measured: no share can be compared."
    metadata = {
        "measured": bool(monitoring.shares),
        "shares": figure_table({share.name: _both(share) for share in monitoring.shares}),
        "not_compared": figure_table(monitoring.no_shares),
    }
    return _result(SAME_SHARES, not apart, words, metadata)


def _result(spec: dg.AssetCheckSpec, passed: bool, words: str, metadata: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=spec.name,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=words if passed else f"{words} {REMEDY}",
        metadata=metadata,
    )


def _interval_words(drift: Drift) -> str:
    return f" (95 % interval {drift.interval[0]:.3f} to {drift.interval[1]:.3f})" if drift.interval else ""


def _sentence(share: ShareComparison) -> str:
    """The two shares of a comparison, in a sentence."""
    return f"{share.name}: {_both(share)}."


def _both(share: ShareComparison) -> str:
    archive = _words(share.archive, share.archive_interval)
    return f"{archive}; validation: {_words(share.validation, share.validation_interval)}"


def _words(count: CallCount, interval: tuple[float, float]) -> str:
    low, high = (100 * bound for bound in interval)
    return f"{count.calls:,} of {count.of:,} calls ({100 * count.calls / count.of:.1f} %, {low:.1f} to {high:.1f} %)"

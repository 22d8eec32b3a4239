"""The checks of the judged urgency model: against the majority, its former self, its parts, and what is served."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import dagster as dg

from urgency_dagster.defs.figures import figure, rounded
from urgency_dagster.serving import Parity
from urgency_dagster.urgency import best_part, is_better

BEATS_MAJORITY = dg.AssetCheckSpec(
    "beats_majority",
    asset="urgency_evaluation",
    blocking=True,
    description="Urgency macro-F1 of the validation utterances is above that of the majority class.",
)
NOT_WORSE = dg.AssetCheckSpec(
    "not_worse_than_before",
    asset="urgency_evaluation",
    description="Urgency macro-F1 of the validation utterances is not below the 95 % interval of the last evaluation.",
)
SAME_WHEN_SERVED = dg.AssetCheckSpec(
    "same_when_served",
    asset="urgency_evaluation",
    blocking=True,
    description="A sample of the validation calls, sent through the routes of the server, has the probabilities of the "
    "evaluation. They differ by at most 1e-5, or by 0.05 if an archive has vectors in a reduced precision.",
)
BETTER_THAN_PARTS = dg.AssetCheckSpec(
    "better_than_parts",
    asset="urgency_evaluation",
    description="Urgency macro-F1 by call is above that of the best part alone, such as text: the 95 % interval of the "
    "paired difference is above 0.",
)
SAME_AS_EVALUATION = dg.AssetCheckSpec(
    "same_as_evaluation",
    asset="label_free_gap",
    blocking=True,
    description="With label turns and label text, the probabilities of the validation utterances are those of the "
    "evaluation. They differ by at most 1e-5, or by 0.05 if an archive has vectors in a reduced precision.",
)


def beats_majority(metrics: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Compares the macro-F1 of the model with that of the majority class on the same rows."""
    if metrics["utterance"]["urgency"] is None:
        return _not_checked(BEATS_MAJORITY.name, metrics["left_out"])
    model, majority = (metrics[name]["urgency"]["f1_macro"] for name in ("utterance", "majority"))
    return dg.AssetCheckResult(
        check_name=BEATS_MAJORITY.name,
        passed=model > majority,
        description=None
        if model > majority
        else f"Urgency macro-F1 is {model:.3f}; the majority class has {majority:.3f}. The model learned nothing. "
        "Remedy: train with more calls or more epochs.",
        metadata=rounded({"model": model, "majority": majority}),
    )


def not_worse_than_before(metrics: Mapping[str, Any], before: Mapping[str, Any] | None) -> dg.AssetCheckResult:
    """Compares the macro-F1 of the model with the interval of the last model. The first model passes."""
    if metrics["utterance"]["urgency"] is None:
        return _not_checked(NOT_WORSE.name, metrics["left_out"])
    score = metrics["utterance"]["urgency"]["f1_macro"]
    last = before["utterance"]["urgency"] if before else None
    least = last["f1_macro_interval"][0] if last else None
    return dg.AssetCheckResult(
        check_name=NOT_WORSE.name,
        passed=least is None or score >= least,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"now": figure(score), "before": figure(last["f1_macro"] if last else None), "least": figure(least)},
    )


def same_when_served(parity: Parity) -> dg.AssetCheckResult:
    """Compares the answers of the server with the evaluation. Without the extra `serve` or recordings it warns."""
    if parity.not_measured:
        return _not_checked(SAME_WHEN_SERVED.name, parity.not_measured)
    return dg.AssetCheckResult(
        check_name=SAME_WHEN_SERVED.name,
        passed=parity.passed,
        description=None
        if parity.passed
        else f"The server refused {parity.refused} of {parity.asked} calls. Its probabilities differ by up to "
        f"{parity.max_difference}; the limit is {parity.limit}. Remedy: do not serve this model; look for a change of "
        "the speech model or of the libraries.",
        metadata=rounded({key: value for key, value in asdict(parity).items() if key != "not_measured"}),
    )


def better_than_parts(metrics: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Warns if the model is not better by call than its best part alone."""
    if metrics["utterance"]["urgency"] is None:
        return _not_checked(BETTER_THAN_PARTS.name, metrics["left_out"])
    part = best_part(metrics, "urgency")
    difference = metrics["differences"]["urgency"][part]
    low, high = difference["f1_macro_interval"] or (None, None)
    passed = is_better(difference)
    return dg.AssetCheckResult(
        check_name=BETTER_THAN_PARTS.name,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=None
        if passed
        else f"By call, urgency macro-F1 minus that of `{part}` is {difference['f1_macro']:+.3f}. It is not clearly "
        "above 0. Remedy: use the simpler model, or train with more calls.",
        metadata={"part": part, "difference": figure(difference["f1_macro"]), "low": figure(low), "high": figure(high)},
    )


def same_as_evaluation(metrics: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Fails when label turns and label text do not give the predictions of the evaluation."""
    same = metrics["same_as_evaluation"]
    passed, difference, limit = same["passed"], same["max_difference"], same["limit"]
    return dg.AssetCheckResult(
        check_name=SAME_AS_EVALUATION.name,
        passed=passed,
        description=None
        if passed
        else f"A probability differs by {difference:.2g} from that of the evaluation; allowed are {limit:.2g}. "
        "Remedy: materialize urgency_evaluation again.",
        metadata={"max_difference": difference, "limit": limit},
    )


def _not_checked(name: str, reason: str) -> dg.AssetCheckResult:
    """A warning, because a check that could not be made neither passes nor blocks what follows."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Not checked: {reason}",
    )

"""The five sentences that the report begins with."""

from collections.abc import Mapping
from typing import Any

from urgency_dagster.urgency.data.labels import TASKS
from urgency_dagster.urgency.data.tables import DEVELOPMENT, VALIDATION
from urgency_dagster.urgency.evaluation.comparison import best_part, is_better, is_worse
from urgency_dagster.urgency.evaluation.report.figures import between, share_text
from urgency_dagster.urgency.evaluation.report.names import BASELINE_NAMES
from urgency_dagster.urgency.package.cards import selection_of
from urgency_dagster.urgency.package.thresholds import ALARM_THRESHOLD, CONFIDENCE_THRESHOLD


def five_sentences(metrics: Mapping[str, Any], card: Mapping[str, Any]) -> list[str]:
    """How good the model is, against what, what it does to 상, what it leaves to people, what not to conclude."""
    task = next(task for task in TASKS if metrics["call"][task] is not None)
    return [
        _how_good(metrics, card, task),
        _against_what(metrics, task),
        _high_urgency(metrics),
        _left_to_people(metrics, card),
        _not_to_conclude(metrics, card, task),
    ]


def _how_good(metrics: Mapping[str, Any], card: Mapping[str, Any], task: str) -> str:
    scores, calls = metrics["call"][task], metrics["call"]["n"]
    chose = "which chose the best epoch too" if selection_of(card) == VALIDATION else "which chose nothing"
    return (
        f"By call, the {task} has macro-F1 {scores['f1_macro']:.3f}{between(scores, 'f1_macro')} and "
        f"accuracy {share_text(scores, 'accuracy')} on {calls} validation calls, {chose}."
    )


def _against_what(metrics: Mapping[str, Any], task: str) -> str:
    compared = "; ".join(_compared(name, difference) for name, difference in metrics["differences"][task].items())
    return f"Its macro-F1 minus that of each baseline, on the same calls: {compared}."


def _compared(name: str, difference: Mapping[str, Any]) -> str:
    verdict = "better" if is_better(difference) else "worse" if is_worse(difference) else "no clear difference"
    return f"{BASELINE_NAMES[name]} {difference['f1_macro']:+.3f}{between(difference, 'f1_macro', '+')}, {verdict}"


def _high_urgency(metrics: Mapping[str, Any]) -> str:
    if metrics["high_urgency"] is None:
        return "The model says nothing about 상 (high), because urgency is left out."
    calls, urgency = metrics["high_urgency"]["calls"], metrics["call"]["urgency"]
    if not calls:
        return "No validation call has 상 (high), so nothing is known about it."
    return (
        f"Of {calls} calls of 상 (high) it recognises {share_text(urgency, 'recall_high')} and reads "
        f"{share_text(urgency, 'high_read_as_low')} as 하 (low)."
    )


def _left_to_people(metrics: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    effects = metrics["calibration"]["thresholds"] or {}
    if confidence := effects.get(CONFIDENCE_THRESHOLD):
        left = (
            f"It leaves {share_text(confidence, 'to_person')} of the calls to a person, and is right in "
            f"{share_text(confidence, 'accuracy')} of the others"
        )
    else:
        calls = card["calls"].get(DEVELOPMENT, 0)
        left = f"It leaves no call to a person: {calls} development calls give it no confidence threshold"
    alarm = effects.get(ALARM_THRESHOLD)
    false_alarms = (
        f"; it raises a false alarm for {share_text(alarm, 'false_alarms')} of the calls below 상" if alarm else ""
    )
    return f"{left}{false_alarms}."


def _not_to_conclude(metrics: Mapping[str, Any], card: Mapping[str, Any], task: str) -> str:
    best = best_part(metrics, task)
    limits = ["that it may decide alone", "that it does as well in other regions or categories, or with another seed"]
    if not is_better(metrics["differences"][task][best]):
        limits.insert(0, f"that it needs more than {BASELINE_NAMES[best]}")
    if card["split"]["mode_used"] == "utterance":
        limits.insert(0, "anything about new calls, because the same calls train and judge")
    return f"Do not conclude {', '.join(limits[:-1])}, or {limits[-1]}."

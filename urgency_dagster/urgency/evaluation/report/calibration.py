"""The sections about probabilities: calibration, deferral to a person, thresholds."""

from collections.abc import Mapping, Sequence
from typing import Any

from urgency_dagster.statistics.calibration import BINS
from urgency_dagster.urgency.data.labels import TASKS
from urgency_dagster.urgency.evaluation.report.figures import score_text, share_text
from urgency_dagster.urgency.package.thresholds import ALARM_THRESHOLD, CONFIDENCE_THRESHOLD, threshold_text


def calibration_section(calibration: Mapping[str, Any]) -> str:
    """Calibration errors without and with the temperatures."""
    return f"""\
## Calibration

{_calibration_table(calibration)}

The temperatures were fitted on the development side, one for each level and task. They change probabilities, but no
prediction. The error is the expected calibration error, in {BINS} bins of confidence. It is too high with few calls, so
its interval may lie above it. NLL is the mean negative log-likelihood. Lower is better for both."""


def deferral_text(calibration: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """Accuracy after deferral, and the effect of the thresholds."""
    return f"""\
{_abstention_table(calibration["abstention"])}

{_threshold_text(calibration["thresholds"])}

{_fit_text(card)}"""


def _calibration_table(calibration: Mapping[str, Any]) -> str:
    lines = [
        "| | temperature | error without | error with temperature | NLL without | NLL with temperature |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for level, by_task in (("utterance", calibration), ("call", calibration["call"])):
        for task in (task for task in TASKS if task in by_task):
            scores = by_task[task]
            figures = [score_text(scores, name) for name in ("ece_before", "ece_after", "nll_before", "nll_after")]
            lines.append(f"| {task} by {level} | {scores['temperature']:.3f} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _abstention_table(curve: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| deferred calls, the least confident first | urgency accuracy of the others |", "| --- | --- |"]
    lines += [f"| {point['to_person']:.1%} | {share_text(point, 'accuracy')} |" for point in curve]
    return "\n".join(lines)


def _threshold_text(effects: Mapping[str, Mapping[str, Any]]) -> str:
    if not effects:
        return "The model has no thresholds."
    sentences = []
    if confidence := effects.get(CONFIDENCE_THRESHOLD):
        sentences.append(
            f"With the confidence threshold ({confidence['threshold']:.3f}) "
            f"{share_text(confidence, 'to_person')} of the calls are deferred to a person, and the accuracy "
            f"of the others is {share_text(confidence, 'accuracy')}."
        )
    if alarm := effects.get(ALARM_THRESHOLD):
        sentences.append(
            f"With the alarm threshold ({alarm['threshold']:.3f} of the probability of 상) "
            f"{share_text(alarm, 'recall_high')} of the calls of high urgency raise an alarm, and "
            f"{share_text(alarm, 'false_alarms')} of the others."
        )
    return " ".join(sentences)


def _fit_text(card: Mapping[str, Any]) -> str:
    """What the thresholds stand on; nothing for a card of a version that did not say it."""
    if "threshold_fits" not in card:
        return ""
    needed = card["config"]["min_development_calls"]
    names = {CONFIDENCE_THRESHOLD: "Confidence threshold", ALARM_THRESHOLD: "Alarm threshold"}
    fits = [f"- {title}: {threshold_text(name, card['threshold_fits'], needed)}." for name, title in names.items()]
    return "\n".join(fits)

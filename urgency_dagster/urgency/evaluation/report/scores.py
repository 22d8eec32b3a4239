"""The sections about scores: the model and its parts, missed high urgency, time to decision, speakers, slices."""

from collections.abc import Mapping, Sequence
from typing import Any

from urgency_dagster.urgency.data.labels import TASKS
from urgency_dagster.urgency.evaluation.report.figures import percent, score_text, share_text
from urgency_dagster.urgency.evaluation.report.names import BASELINE_NAMES
from urgency_dagster.urgency.evaluation.slices import MIN_CALLS


def score_section(metrics: Mapping[str, Any]) -> str:
    """The scores of the model and of its baselines, and the paired differences by call."""
    return f"""\
## Scores

{_score_table(metrics)}

{_difference_table(metrics["differences"])}

A difference is the score of the model minus that of the baseline, by call, on the same calls in each bootstrap sample.

Macro-F1 is the mean F1 over all classes. Brackets hold 95 % bootstrap intervals over calls
({metrics["bootstrap_resamples"]} resamples). The majority baseline always predicts the most frequent class of the
training side. Text alone and audio alone are linear models of character n-grams and of the audio vectors.
The prediction for a call is the class with the highest mean logit over its utterances."""


def danger_section(metrics: Mapping[str, Any]) -> str:
    """Missed high urgency and the cost of errors."""
    return f"""\
## Missed high urgency

{_danger_table(metrics)}

{_cost_text(metrics["cost_per_1000_calls"])}"""


def time_section(metrics: Mapping[str, Any]) -> str:
    """Scores by seconds heard."""
    return f"""\
## Time to decision

{_time_table(metrics["time_to_decision"])}

The prediction uses the utterances that have ended by then. Calls without a prediction count as wrong."""


def speaker_section(metrics: Mapping[str, Any]) -> str:
    """Scores from the utterances of one speaker."""
    return f"## Speakers\n\n{_speaker_table(metrics)}"


def slice_section(metrics: Mapping[str, Any]) -> str:
    """Scores by slice of the validation side."""
    return f"""\
## Slices of the validation side, by utterance

{_slice_table(metrics["slices"])}

A class absent from a slice counts as 0 in its macro-F1. Slices of fewer than {MIN_CALLS} calls have no interval."""


def _score_table(metrics: Mapping[str, Any]) -> str:
    lines = [
        "| | n | urgency accuracy | urgency macro-F1 | sentiment accuracy | sentiment macro-F1 | average F1 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = (
        ("model, by utterance", "utterance"),
        ("text alone, by utterance", "text_only"),
        ("audio alone, by utterance", "audio_only"),
        ("majority, by utterance", "majority"),
        ("model, by call", "call"),
        ("text alone, by call", "text_only_call"),
        ("audio alone, by call", "audio_only_call"),
        ("majority, by call", "majority_call"),
    )
    for title, key in rows:
        scores = metrics[key]
        by_task = [score_text(scores[task], name) for task in TASKS for name in ("accuracy", "f1_macro")]
        figures = (str(scores["n"]), *by_task, score_text(scores, "average_f1"))
        lines.append(f"| {title} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _difference_table(differences: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    lines = ["| model minus, by call | accuracy | macro-F1 |", "| --- | --- | --- |"]
    for task, by_baseline in differences.items():
        for name, difference in by_baseline.items():
            figures = [score_text(difference, score, "+") for score in ("accuracy", "f1_macro")]
            lines.append(f"| {task}: {BASELINE_NAMES[name]} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _danger_table(metrics: Mapping[str, Any]) -> str:
    lines = ["| | recall of 상 (high) | 상 (high) predicted as 하 (low) |", "| --- | --- | --- |"]
    for title, key in (("by utterance", "utterance"), ("by call", "call")):
        urgency = metrics[key]["urgency"]
        shares = (share_text(urgency, name) for name in ("recall_high", "high_read_as_low"))
        lines.append(f"| {title} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _cost_text(costs: Mapping[str, Any]) -> str:
    return (
        f"With the configured costs (`{costs['matrix']}`; rows: true 하, 중, 상; columns: predicted 하, 중, 상), "
        f"the errors of 1,000 calls cost {costs['model']:.0f}, those of the majority class {costs['majority']:.0f}. "
        "The default costs are assumed, not measured."
    )


def _time_table(points: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| seconds heard | calls with a prediction | accuracy | recall of 상 (high) |",
        "| --- | --- | --- | --- |",
    ]
    for point in points:
        shares = (share_text(point, name) for name in ("accuracy", "recall_high"))
        lines.append(f"| {point['seconds']} | {percent(point['decided'])} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _speaker_table(metrics: Mapping[str, Any]) -> str:
    lines = ["| by call, from | calls | urgency accuracy | urgency macro-F1 | recall of 상 (high) |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for title, key in (
        ("both speakers", "call"),
        ("the caller alone", "caller_only"),
        ("the call taker alone", "taker_only"),
    ):
        if scores := metrics[key]:
            urgency = scores["urgency"]
            figures = [score_text(urgency, name) for name in ("accuracy", "f1_macro")]
            figures.append(share_text(urgency, "recall_high"))
            lines.append(f"| {title} | {scores['n']} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _slice_table(slices: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    lines = ["| | n | calls | accuracy | macro-F1 | recall of 상 (high) |", "| --- | --- | --- | --- | --- | --- |"]
    for division, of_division in slices.items():
        for name, scores in of_division.items():
            figures = [score_text(scores, name) for name in ("accuracy", "f1_macro")]
            figures.append(share_text(scores, "recall_high"))
            lines.append(f"| {division}: {name} | {scores['n']} | {scores['calls']} | {' | '.join(figures)} |")
    return "\n".join(lines)

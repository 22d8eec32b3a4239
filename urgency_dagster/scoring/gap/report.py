"""What missing labels cost, for people: the report, and the line of the command `predict`."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from urgency_dagster.scoring.gap.coverage import COVERED_SHARE
from urgency_dagster.scoring.gap.listening_ways import TURNS_WAY, WAYS
from urgency_dagster.scoring.gap.scores import UNITS
from urgency_dagster.urgency import FOUND_WAY, LABEL_WAY, threshold_text

if TYPE_CHECKING:
    from urgency_dagster.listening import Listening
    from urgency_dagster.urgency import Predictor

REPORT = "report.md"

TURNS = {LABEL_WAY: "(a) label turns", TURNS_WAY: "(b) label turns", FOUND_WAY: "(c) found turns"}
"""The turns of each way as people read them."""

SHARES = {
    "missed": "labelled speech outside of every found turn",
    "covered_utterances": f"labelled utterances of which at least {COVERED_SHARE:.0%} is in found turns",
    "turns_without_label": "found turns that overlap no labelled utterance",
}

THRESHOLDS = {"answer_from": "confidence threshold", "alarm_from": "alarm threshold"}

EFFECTS = {
    "to_person": "to a person",
    "accuracy": "accuracy of the others",
    "recall_high": "recall of 상 (high)",
    "false_alarms": "false alarms",
}
"""The effects of thresholds as people read them."""


def report_text(metrics: Mapping[str, Any], min_calls: int) -> str:
    """The report as Markdown.

    Args:
        metrics: the content of `metrics.json`.
        min_calls: `min_development_calls` of the training.
    """
    sections = (
        _introduction(metrics),
        _score_section(metrics),
        _difference_section(metrics),
        _hearing_section(metrics),
        _threshold_section(metrics, min_calls),
    )
    return "\n\n".join(sections) + "\n"


def _introduction(metrics: Mapping[str, Any]) -> str:
    same, calls = metrics["same_as_evaluation"], metrics["calls"]["validation"]
    remark = f"\n\n{metrics['not_measured']}" if metrics["not_measured"] else ""
    warning = "" if same["passed"] else " **These figures cannot be trusted, and `predict` does not use them.**"
    return f"""\
# What missing labels cost

The same validation calls were heard in three ways. Recogniser: {metrics["listening"]}. Model: weights
`{metrics["model"]["weights_sha256"][:12]}`. {calls["measured"]} of {calls["asked"]} validation calls were heard\
{_left_out(calls["left_out"])}.{remark}

With (a), the probabilities differ from those of the evaluation by at most {same["max_difference"]:.1e}; allowed are
{same["limit"]:.0e}.{warning}"""


def _left_out(reasons: Mapping[str, int]) -> str:
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return f"; left out: {listed}" if listed else ""


def _score_section(metrics: Mapping[str, Any]) -> str:
    rows = [
        f"| {_name(way, metrics)} | {unit} | {task} | {_figure(scores, 'f1_macro')} | {_figure(scores, 'accuracy')} "
        f"| {scores['n']} |"
        for unit, task, way in _places(metrics, WAYS)
        for scores in [metrics["ways"][way][unit][task]]
    ]
    return f"""\
## Scores

| way | by | task | macro-F1 | accuracy | n |
| --- | --- | --- | --- | --- | ---: |
{chr(10).join(rows)}

Brackets hold 95 % bootstrap intervals over calls ({metrics["bootstrap_resamples"]} resamples). A found turn has the
label of the utterance that it overlaps most; one without any overlap does not count by utterance. A call without a
found turn has no answer, which counts as wrong."""


def _difference_section(metrics: Mapping[str, Any]) -> str:
    rows = [
        f"| {_name(way, metrics)} | {unit} | {task} | {_figure(difference, 'f1_macro', '+.3f')} |"
        for unit, task, way in _places(metrics, (TURNS_WAY, FOUND_WAY))
        for difference in [metrics["differences"][way][unit][task]]
    ]
    return f"""\
## Differences from (a)

| way | by | task | macro-F1 |
| --- | --- | --- | --- |
{chr(10).join(rows)}

Differences are paired: both ways have the same calls in each bootstrap sample."""


def _name(way: str, metrics: Mapping[str, Any]) -> str:
    text = "label text" if way == LABEL_WAY else "no text" if metrics["not_measured"] else "recognised text"
    return f"{TURNS[way]}, {text}"


def _places(metrics: Mapping[str, Any], ways: Iterable[str]) -> list[tuple[str, str, str]]:
    """Unit, task and way of each row of a table. A task that is left out is absent."""
    tasks = [task for task, scores in metrics["ways"][LABEL_WAY]["call"].items() if scores]
    return [(unit, task, way) for unit in reversed(UNITS) for task in tasks for way in ways]


def _hearing_section(metrics: Mapping[str, Any]) -> str:
    errors, speech = metrics["character_error_rate"] or {}, metrics["speech"]
    rows = [f"| character error rate of {TURNS[way]} | {_figure(rate, 'rate')} |" for way, rate in errors.items()]
    rows += [f"| {name} | {_figure(speech, key)} |" for key, name in SHARES.items()]
    return f"""\
## How well the calls were heard

| figure | value |
| --- | --- |
{chr(10).join(rows)}

The label has {speech["utterances"]} utterances, and {speech["turns"]} turns were found. The character error rate counts
letters and digits only."""


def _threshold_section(metrics: Mapping[str, Any], min_calls: int) -> str:
    calls, effects = metrics["calls"]["development"], metrics["threshold_effects"]
    fits = [
        f"- {name}: {threshold_text(key, metrics['threshold_fits'], min_calls)}" for key, name in THRESHOLDS.items()
    ]
    rows = [
        f"| {THRESHOLDS[key]} | {whose.replace('_', ' ')} | {effect['threshold']:.3f} | {_effects(effect)} |"
        for whose, of_whose in effects.items()
        for key, effect in of_whose.items()
    ]
    header = (
        "| threshold | fitted | value | on the validation calls, heard without labels |\n| --- | --- | ---: | --- |"
    )
    table = f"\n\n{header}\n{chr(10).join(rows)}" if rows else ""
    return f"""\
## Thresholds without labels

Fitted on {calls["measured"]} of {calls["asked"]} calls of the development side, heard without labels\
{_left_out(calls["left_out"])}. No validation call is among them.

{chr(10).join(fits)}{table}"""


def _effects(effect: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_figure(effect, key)}" for key, name in EFFECTS.items() if key in effect)


def _figure(scores: Mapping[str, Any], key: str, form: str = ".3f") -> str:
    if scores[key] is None:
        return "not defined"
    interval = scores[f"{key}_interval"]
    return f"{scores[key]:{form}}" + (f" ({interval[0]:{form}} to {interval[1]:{form}})" if interval else "")


def gap_line(predictor: "Predictor", listening: Iterable["Listening"]) -> str:
    """What missing labels cost a model, in one line; empty if every recording had the text of a label.

    Args:
        predictor: the model.
        listening: the ways in which the answered recordings were heard.
    """
    ways, gap = ", ".join(sorted(set(listening) - {LABEL_WAY})), predictor.label_free_gap
    if not ways:
        return ""
    if gap is None:
        return f"what missing labels cost ({ways}): not measured: materialize label_free_gap"
    between = f"{gap.interval[0]:+.3f} to {gap.interval[1]:+.3f}" if gap.interval else "not defined"
    return (
        f"what missing labels cost ({ways}): macro-F1 of the {gap.task} by call is {gap.without_labels:.3f} instead of "
        f"{gap.with_labels:.3f} with labels, a difference of {gap.without_labels - gap.with_labels:+.3f} "
        f"(95 % interval {between}), on {gap.calls} validation calls"
    )

"""Telling what an evaluation found: Markdown, the classification reports, and confusion matrices as pictures.

Every figure is computed by `evaluation`. Nothing here names a call or quotes its text.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.pictures import BLUE, GREY, ORANGE, picture
from urgency_dagster.statistics.calibration import BINS
from urgency_dagster.tables import ENGLISH
from urgency_dagster.urgency.data.dataset import Labels
from urgency_dagster.urgency.data.tables import TRAIN, VALIDATION
from urgency_dagster.urgency.evaluation.predictions import Predictions
from urgency_dagster.urgency.evaluation.slices import LEAST_CALLS
from urgency_dagster.urgency.package.thresholds import ALARM_THRESHOLD, CONFIDENCE_THRESHOLD

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

TASKS = ("urgency", "sentiment")
INK_FLIPS_AT = 0.55
"""Share of a row above which a cell is so dark that its figures are written in white."""


def draw_confusions(
    folder: Path, matrices: "Mapping[str, Mapping[str, NDArray[np.int64]]]", labels: Labels
) -> list[str]:
    """The names of the pictures, after drawing one confusion matrix per task and unit into `folder`."""
    names = []
    for task in TASKS:
        classes = [ENGLISH.get(name, name) for name in getattr(labels, task)]
        for unit, of_unit in matrices.items():
            names.append(f"confusion_{task}_{unit}.png")
            with picture(
                folder / names[-1], width_in=1.1 * len(classes) + 1.6, height_in=0.8 * len(classes) + 1.3
            ) as axes:
                _draw_confusion(axes, of_unit[task], classes)
                axes.set_title(f"{task.capitalize()} by {unit}: share of each true class", fontsize=10)
    return names


def draw_history(target: Path, history: "Sequence[Mapping[str, float]]") -> None:
    """Training loss and the validation scores of every epoch."""
    epochs = [scores["epoch"] for scores in history]
    lines = (
        ("loss", "training loss", GREY),
        ("urg_f1", "urgency macro-F1", BLUE),
        ("sent_f1", "sentiment macro-F1", ORANGE),
    )
    with picture(target, width_in=6.0, height_in=3.0) as axes:
        for key, title, color in lines:
            axes.plot(epochs, [scores[key] for scores in history], marker="o", markersize=3, color=color, label=title)
        axes.set_ylim(bottom=0)
        axes.set_xticks(epochs)
        axes.set_xlabel("epoch")
        axes.set_title("Epoch by epoch, validation by utterance", fontsize=10)
        axes.legend(frameon=False, fontsize=8)


def classification_text(judged: "Mapping[str, Predictions]", labels: Labels) -> str:
    """Precision, recall and F1 of every class, per task and unit."""
    from sklearn.metrics import classification_report

    parts = []
    for unit, of_unit in judged.items():
        for task in TASKS:
            names = [f"{name} ({ENGLISH.get(name, name)})" for name in getattr(labels, task)]
            table = classification_report(
                getattr(of_unit, task),
                getattr(of_unit, f"{task}_predicted"),
                labels=range(len(names)),
                target_names=names,
                digits=3,
                zero_division=0,
            )
            parts.append(f"{task} by {unit}\n\n{table}")
    return "\n".join(parts)


def report_text(metrics: Mapping[str, Any], card: Mapping[str, Any], pictures: list[str]) -> str:
    """The report as Markdown."""
    split = card["split"]
    calls, utterances = card["calls"], card["utterances"]
    return f"""\
# Urgency model: evaluation

Validation rows only: {utterances[VALIDATION]} utterances of {calls[VALIDATION]} calls. Trained on
{utterances[TRAIN]} utterances of {calls[TRAIN]} calls, of which {card["held_out"]["calls"]} were kept apart for the
temperatures and thresholds. Archives: {", ".join(card["archives"])}.

{_split_text(split)} Split sha256 `{split["sha256"]}`, data sha256 `{card["data_sha256"]}`.

## Scores

{_score_table(metrics)}

Macro-F1 is the mean over all classes; brackets hold 95 % bootstrap intervals over calls
({metrics["bootstrap_resamples"]} resamples). The majority rows always answer the training side's most frequent
class; text alone and audio alone are linear models, of character n-grams and of the audio vectors.
A call's answer is the class with the highest mean logit over its utterances.

## What must not happen

{_danger_table(metrics)}

{_cost_text(metrics["cost_per_1000_calls"])}

## While the call goes on

{_time_table(metrics["time_to_decision"])}

A call's answer is that of the utterances that ended by then; calls without an answer count as wrong.

![time_to_decision.png](time_to_decision.png)

## How sure it may be

{_calibration_table(metrics["calibration"])}

A temperature was fitted on training calls that the network was not fitted to; it changes no answer. The error is the
expected calibration error in {BINS} stretches of confidence, by utterance.

![reliability.png](reliability.png)

{_abstention_table(metrics["calibration"]["abstention"])}

{_threshold_text(metrics["calibration"]["thresholds"])}

## Who speaks

{_side_table(metrics)}

## Parts of the validation side, by utterance

{_slice_table(metrics["slices"])}

A class that a part does not have counts as 0 in its macro-F1. Parts of less than {LEAST_CALLS} calls have no interval.

## Confusion matrices

{chr(10).join(f"![{name}]({name})" for name in pictures)}

## How to read this

- The best epoch ({card["epoch"]} of {card["config"]["epochs"]}) was chosen on these same rows: the scores lean to the
  high side.
- Labels belong to calls. A score by utterance asks one sentence for the label of the whole call.
- The intervals cover the choice of calls, not the choice of seed, nor other regions and categories. A score without one
  stands on too few calls; one without width was the same in every call, which does not make it sure.
"""


def _draw_confusion(axes: "Axes", matrix: "NDArray[np.int64]", classes: list[str]) -> None:
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (row, column), share in np.ndenumerate(shares):
        ink = "white" if share > INK_FLIPS_AT else "black"
        text = f"{share:.0%}\n{matrix[row, column]:,}"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)


def _split_text(split: Mapping[str, str]) -> str:
    if split["mode_used"] == "utterance":
        return "**Split by utterance: calls lie on both sides, and these scores are inflated by an unknown amount.**"
    if split["mode_used"] == split["mode_asked"]:
        return f"Split: `{split['mode_used']}`; no call is on both sides."
    return (
        f"Split: `{split['mode_used']}` instead of `{split['mode_asked']}`, because only one side of AI Hub's border "
        "is present; no call is on both sides."
    )


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
        of_tasks = [_with_interval(scores[task], name) for task in TASKS for name in ("accuracy", "f1_macro")]
        figures = (str(scores["n"]), *of_tasks, _with_interval(scores, "average_f1"))
        lines.append(f"| {title} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _with_interval(scores: Mapping[str, Any], name: str) -> str:
    bounds = scores[f"{name}_interval"]
    brackets = f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""
    return f"{scores[name]:.3f}{brackets}"


def _danger_table(metrics: Mapping[str, Any]) -> str:
    lines = ["| | recall of 상 (high) | 상 (high) read as 하 (low) |", "| --- | --- | --- |"]
    for title, key in (("by utterance", "utterance"), ("by call", "call")):
        urgency = metrics[key]["urgency"]
        shares = (_share_with_interval(urgency, name) for name in ("recall_high", "high_read_as_low"))
        lines.append(f"| {title} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _share_with_interval(scores: Mapping[str, Any], name: str) -> str:
    bounds = scores[f"{name}_interval"]
    brackets = f" [{bounds[0]:.1%}, {bounds[1]:.1%}]" if bounds else ""
    return f"{_share(scores[name])}{brackets}"


def _cost_text(costs: Mapping[str, Any]) -> str:
    return (
        f"At the costs of the configuration (`{costs['matrix']}`: rows are 하, 중, 상, columns what they are read as), "
        f"the errors of 1,000 calls cost {costs['model']:.0f}, those of the majority class {costs['majority']:.0f}. "
        "The costs are an assumption until the service says otherwise."
    )


def _time_table(moments: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| seconds heard | calls with an answer | accuracy | recall of 상 (high) |", "| --- | --- | --- | --- |"]
    for moment in moments:
        shares = (_share_with_interval(moment, name) for name in ("accuracy", "recall_high"))
        lines.append(f"| {moment['seconds']} | {_share(moment['decided'])} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _calibration_table(calibration: Mapping[str, Any]) -> str:
    lines = ["| | temperature | error as it is | error with the temperature |", "| --- | --- | --- | --- |"]
    for task in TASKS:
        figures = (calibration[task][name] for name in ("temperature", "ece_before", "ece_after"))
        lines.append(f"| {task} | {' | '.join(f'{value:.3f}' for value in figures)} |")
    return "\n".join(lines)


def _abstention_table(curve: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| calls that go to a person, the least sure first | urgency accuracy of the others |", "| --- | --- |"]
    lines += [f"| {point['to_person']:.1%} | {_share_with_interval(point, 'accuracy')} |" for point in curve]
    return "\n".join(lines)


def _threshold_text(found: Mapping[str, Mapping[str, Any]]) -> str:
    if not found:
        return "The model has no thresholds: no call was kept apart to fit them on."
    told = []
    if answer := found.get(CONFIDENCE_THRESHOLD):
        told.append(
            f"With the model's threshold of confidence ({answer['threshold']:.3f}) "
            f"{_share_with_interval(answer, 'to_person')} of the calls go to a person, and the accuracy of the others "
            f"is {_share_with_interval(answer, 'accuracy')}."
        )
    if alarm := found.get(ALARM_THRESHOLD):
        told.append(
            f"With its threshold of alarm ({alarm['threshold']:.3f} of the probability of 상) "
            f"{_share_with_interval(alarm, 'recall_high')} of the calls of that urgency raise one, and "
            f"{_share_with_interval(alarm, 'false_alarms')} of the others."
        )
    return " ".join([*told, "Both were fitted on the calls that were kept apart."])


def _side_table(metrics: Mapping[str, Any]) -> str:
    lines = ["| by call, from | calls | urgency accuracy | urgency macro-F1 | recall of 상 (high) |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for title, key in (("both", "call"), ("the caller alone", "caller_only"), ("the call taker alone", "taker_only")):
        if scores := metrics[key]:
            urgency = scores["urgency"]
            figures = [_with_interval(urgency, name) for name in ("accuracy", "f1_macro")]
            figures.append(_share_with_interval(urgency, "recall_high"))
            lines.append(f"| {title} | {scores['n']} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _slice_table(slices: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    lines = ["| | n | calls | accuracy | macro-F1 | recall of 상 (high) |", "| --- | --- | --- | --- | --- | --- |"]
    for division, parts in slices.items():
        for part, scores in parts.items():
            figures = [_with_interval(scores, name) for name in ("accuracy", "f1_macro")]
            figures.append(_share_with_interval(scores, "recall_high"))
            lines.append(f"| {division}: {part} | {scores['n']} | {scores['calls']} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "none present" if value is None else f"{value:.1%}"

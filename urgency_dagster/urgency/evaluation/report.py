"""The evaluation report: Markdown, classification reports, and confusion matrices as pictures.

It shows scores that `metrics` computed. It never names a call or quotes its text.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.pictures import BLUE, GREY, ORANGE, picture
from urgency_dagster.statistics.calibration import BINS
from urgency_dagster.tables import ENGLISH
from urgency_dagster.urgency.data.labels import TASKS, Labels
from urgency_dagster.urgency.data.tables import DEVELOPMENT, TRAIN, VALIDATION
from urgency_dagster.urgency.evaluation.predictions import Predictions
from urgency_dagster.urgency.evaluation.slices import MIN_CALLS
from urgency_dagster.urgency.package.cards import selection_of
from urgency_dagster.urgency.package.thresholds import ALARM_THRESHOLD, CONFIDENCE_THRESHOLD, threshold_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

WHITE_TEXT_ABOVE = 0.55
"""Share of a true class above which a cell is dark and its text is white."""


def draw_confusions(
    folder: Path, matrices: "Mapping[str, Mapping[str, NDArray[np.int64]]]", labels: Labels
) -> list[str]:
    """Draws one confusion matrix per task and unit into `folder`; returns the names of the pictures."""
    names = []
    for task in labels.tasks:
        classes = [ENGLISH.get(name, name) for name in getattr(labels, task)]
        for unit, by_task in matrices.items():
            names.append(f"confusion_{task}_{unit}.png")
            with picture(
                folder / names[-1], width_in=1.1 * len(classes) + 1.6, height_in=0.8 * len(classes) + 1.3
            ) as axes:
                _draw_confusion(axes, by_task[task], classes)
                axes.set_title(f"{task.capitalize()} by {unit}: share of each true class", fontsize=10)
    return names


def draw_history(target: Path, history: "Sequence[Mapping[str, Any]]", side: str) -> None:
    """Draws the training loss and the scores of every epoch on the side on which the best one is chosen."""
    epochs = [scores["epoch"] for scores in history]
    lines = (
        ("loss", "training loss", GREY),
        ("urg_f1", "urgency macro-F1", BLUE),
        ("sent_f1", "sentiment macro-F1", ORANGE),
    )
    with picture(target, width_in=6.0, height_in=3.0) as axes:
        for key, title, color in lines:
            values = [np.nan if scores[key] is None else scores[key] for scores in history]
            axes.plot(epochs, values, marker="o", markersize=3, color=color, label=title)
        axes.set_ylim(bottom=0)
        axes.set_xticks(epochs)
        axes.set_xlabel("epoch")
        axes.set_title(f"Training loss and scores of the {side} side by epoch", fontsize=10)
        axes.legend(frameon=False, fontsize=8)


def classification_text(by_unit: "Mapping[str, Predictions]", labels: Labels) -> str:
    """Precision, recall and F1 of every class, per task and unit."""
    from sklearn.metrics import classification_report

    parts = []
    for unit, predictions in by_unit.items():
        for task in labels.tasks:
            names = [f"{name} ({ENGLISH.get(name, name)})" for name in getattr(labels, task)]
            table = classification_report(
                getattr(predictions, task),
                getattr(predictions, f"{task}_predicted"),
                labels=range(len(names)),
                target_names=names,
                digits=3,
                zero_division=0,
            )
            parts.append(f"{task} by {unit}\n\n{table}")
    return "\n".join(parts)


def report_text(metrics: Mapping[str, Any], card: Mapping[str, Any], pictures: list[str]) -> str:
    """The report as Markdown. What is about urgency is absent if it is left out; the first section says so."""
    about_urgency = metrics["utterance"]["urgency"] is not None
    sections = (
        _data_section(card),
        _score_section(metrics),
        *((_danger_section(metrics), _time_section(metrics)) if about_urgency else ()),
        _calibration_section(metrics["calibration"]),
        *((_deferral_text(metrics["calibration"], card), _side_section(metrics)) if about_urgency else ()),
        *((_slice_section(metrics),) if about_urgency else ()),
        _confusion_section(pictures),
        _limit_section(card),
    )
    return "\n\n".join(sections) + "\n"


def _data_section(card: Mapping[str, Any]) -> str:
    split, calls, utterances = card["split"], card["calls"], card["utterances"]
    return f"""\
# Urgency model: evaluation

Scores are those of the validation side: {utterances[VALIDATION]} utterances of {calls[VALIDATION]} calls. The training
side has {utterances[TRAIN]} utterances of {calls[TRAIN]} calls. {_selection_text(card)} Archives:
{", ".join(card["archives"])}.

{_remarks(card)}{_split_text(split)} Split sha256 `{split["sha256"]}`, data sha256 `{card["data_sha256"]}`."""


def _selection_text(card: Mapping[str, Any]) -> str:
    """Which calls chose what."""
    if selection_of(card) == VALIDATION:
        return "The validation side chose the best epoch too."
    return (
        f"The development side has {card['utterances'][DEVELOPMENT]} utterances of {card['calls'][DEVELOPMENT]} calls. "
        "It chose the best epoch, the temperatures and the thresholds. The validation side chose nothing."
    )


def _score_section(metrics: Mapping[str, Any]) -> str:
    return f"""\
## Scores

{_score_table(metrics)}

Macro-F1 is the mean F1 over all classes. Brackets hold 95 % bootstrap intervals over calls
({metrics["bootstrap_resamples"]} resamples). The majority baseline always predicts the most frequent class of the
training side. Text alone and audio alone are linear models of character n-grams and of the audio vectors.
The prediction for a call is the class with the highest mean logit over its utterances."""


def _danger_section(metrics: Mapping[str, Any]) -> str:
    return f"""\
## Missed high urgency

{_danger_table(metrics)}

{_cost_text(metrics["cost_per_1000_calls"])}"""


def _time_section(metrics: Mapping[str, Any]) -> str:
    return f"""\
## Time to decision

{_time_table(metrics["time_to_decision"])}

The prediction uses the utterances that have ended by then. Calls without a prediction count as wrong.

![time_to_decision.png](time_to_decision.png)"""


def _calibration_section(calibration: Mapping[str, Any]) -> str:
    return f"""\
## Calibration

{_calibration_table(calibration)}

The temperatures were fitted on the development side, one for each level and task. They change probabilities, but no
prediction. The error is the expected calibration error, in {BINS} bins of confidence. It is too high with few calls, so
its interval may lie above it. NLL is the mean negative log-likelihood. Lower is better for both.

![reliability.png](reliability.png)"""


def _deferral_text(calibration: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    return f"""\
{_abstention_table(calibration["abstention"])}

{_threshold_text(calibration["thresholds"])}

{_fit_text(card)}"""


def _side_section(metrics: Mapping[str, Any]) -> str:
    return f"## Speakers\n\n{_side_table(metrics)}"


def _slice_section(metrics: Mapping[str, Any]) -> str:
    return f"""\
## Slices of the validation side, by utterance

{_slice_table(metrics["slices"])}

A class absent from a slice counts as 0 in its macro-F1. Slices of fewer than {MIN_CALLS} calls have no interval."""


def _confusion_section(pictures: list[str]) -> str:
    return "\n".join(["## Confusion matrices\n", *(f"![{name}]({name})" for name in pictures)])


def _limit_section(card: Mapping[str, Any]) -> str:
    return f"""\
## Limits of these scores

- {_epoch_limit(card)}
- Labels belong to calls. A score by utterance compares one sentence with the label of the whole call.
- The intervals cover the choice of calls. They do not cover the seed, other regions or other categories.
- A score without an interval has too few calls. An interval without width means that the score was the same in every
  bootstrap sample, not that it is certain."""


def _epoch_limit(card: Mapping[str, Any]) -> str:
    best = f"The best epoch ({card['epoch']} of {card['config']['epochs']}) was chosen on"
    if selection_of(card) == VALIDATION:
        return f"{best} the same rows, so the scores are slightly too high."
    return f"{best} other calls. Whoever compares several trainings by this report chooses on the validation side."


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
        ink = "white" if share > WHITE_TEXT_ABOVE else "black"
        text = f"{share:.0%}\n{matrix[row, column]:,}"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)


def _remarks(card: Mapping[str, Any]) -> str:
    """What a reader must know first; nothing for a card of a version that did not say it."""
    remarks = [card.get("left_out", "")]
    if card.get("protocol") == "original":
        remarks.append(
            "Trained with `protocol: original`: the validation side chose the epoch, and all rows weight the classes."
        )
    return "".join(f"**{remark}** " for remark in remarks if remark)


def _split_text(split: Mapping[str, str]) -> str:
    if split["mode_used"] == "utterance":
        return "**Split by utterance: the same calls are on both sides, so these scores are inflated.**"
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
        by_task = [_with_interval(scores[task], name) for task in TASKS for name in ("accuracy", "f1_macro")]
        figures = (str(scores["n"]), *by_task, _with_interval(scores, "average_f1"))
        lines.append(f"| {title} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _with_interval(scores: Mapping[str, Any] | None, name: str) -> str:
    if scores is None:
        return "left out"
    bounds = scores[f"{name}_interval"]
    brackets = f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""
    return f"{scores[name]:.3f}{brackets}"


def _danger_table(metrics: Mapping[str, Any]) -> str:
    lines = ["| | recall of 상 (high) | 상 (high) predicted as 하 (low) |", "| --- | --- | --- |"]
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
        shares = (_share_with_interval(point, name) for name in ("accuracy", "recall_high"))
        lines.append(f"| {point['seconds']} | {_share(point['decided'])} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _calibration_table(calibration: Mapping[str, Any]) -> str:
    lines = [
        "| | temperature | error without | error with temperature | NLL without | NLL with temperature |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for level, by_task in (("utterance", calibration), ("call", calibration["call"])):
        for task in (task for task in TASKS if task in by_task):
            scores = by_task[task]
            figures = [_with_interval(scores, name) for name in ("ece_before", "ece_after", "nll_before", "nll_after")]
            lines.append(f"| {task} by {level} | {scores['temperature']:.3f} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _abstention_table(curve: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| deferred calls, the least confident first | urgency accuracy of the others |", "| --- | --- |"]
    lines += [f"| {point['to_person']:.1%} | {_share_with_interval(point, 'accuracy')} |" for point in curve]
    return "\n".join(lines)


def _threshold_text(effects: Mapping[str, Mapping[str, Any]]) -> str:
    if not effects:
        return "The model has no thresholds."
    sentences = []
    if confidence := effects.get(CONFIDENCE_THRESHOLD):
        sentences.append(
            f"With the confidence threshold ({confidence['threshold']:.3f}) "
            f"{_share_with_interval(confidence, 'to_person')} of the calls are deferred to a person, and the accuracy "
            f"of the others is {_share_with_interval(confidence, 'accuracy')}."
        )
    if alarm := effects.get(ALARM_THRESHOLD):
        sentences.append(
            f"With the alarm threshold ({alarm['threshold']:.3f} of the probability of 상) "
            f"{_share_with_interval(alarm, 'recall_high')} of the calls of high urgency raise an alarm, and "
            f"{_share_with_interval(alarm, 'false_alarms')} of the others."
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


def _side_table(metrics: Mapping[str, Any]) -> str:
    lines = ["| by call, from | calls | urgency accuracy | urgency macro-F1 | recall of 상 (high) |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for title, key in (
        ("both speakers", "call"),
        ("the caller alone", "caller_only"),
        ("the call taker alone", "taker_only"),
    ):
        if scores := metrics[key]:
            urgency = scores["urgency"]
            figures = [_with_interval(urgency, name) for name in ("accuracy", "f1_macro")]
            figures.append(_share_with_interval(urgency, "recall_high"))
            lines.append(f"| {title} | {scores['n']} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _slice_table(slices: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    lines = ["| | n | calls | accuracy | macro-F1 | recall of 상 (high) |", "| --- | --- | --- | --- | --- | --- |"]
    for division, of_division in slices.items():
        for name, scores in of_division.items():
            figures = [_with_interval(scores, name) for name in ("accuracy", "f1_macro")]
            figures.append(_share_with_interval(scores, "recall_high"))
            lines.append(f"| {division}: {name} | {scores['n']} | {scores['calls']} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "none present" if value is None else f"{value:.1%}"

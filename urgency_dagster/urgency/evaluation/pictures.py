"""The pictures of the evaluation and of the training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.pictures import BLUE, GREY, ORANGE, picture
from urgency_dagster.statistics.calibration import Reliability
from urgency_dagster.tables import ENGLISH
from urgency_dagster.urgency.data.labels import Labels
from urgency_dagster.urgency.data.tables import SIDES
from urgency_dagster.urgency.package.cards import selection_of
from urgency_dagster.urgency.package.thresholds import ALARM_THRESHOLD

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

WHITE_TEXT_ABOVE = 0.55
"""Share of a true class above which a cell is dark and its text is white."""


def draw_pictures(
    folder: Path,
    metrics: "Mapping[str, Any]",
    card: "Mapping[str, Any]",
    matrices: "Mapping[str, Mapping[str, NDArray[np.int64]]]",
    reliabilities: Mapping[str, tuple[Reliability, Reliability]],
    labels: Labels,
) -> dict[str, str]:
    """Draws the pictures of a report into `folder`; those about urgency are absent if it is left out.

    Args:
        folder: the folder of the report.
        metrics: the scores.
        card: the model card.
        matrices: the confusion matrix by unit and task.
        reliabilities: by unit, the reliability of the first task without and with the temperature.
        labels: the class names of both tasks.

    Returns:
        The file name of each picture with its description, in the order of the report.
    """
    drawn, task = {}, labels.tasks[0]
    if metrics["high_urgency"] is not None:
        drawn = _draw_urgency(folder, metrics)
    for unit, pair in reliabilities.items():
        name, title = f"reliability_{unit}.png", f"Calibration of the {task} by {unit}"
        draw_reliability(folder / name, title, *pair)
        drawn[name] = title
    draw_class_counts(folder / "class_counts.png", {side: of[task] for side, of in card["class_counts"].items()}, task)
    draw_history(folder / "learning_curve.png", card["history"], selection_of(card))
    return drawn | {
        "class_counts.png": f"Classes of the {task} on each side",
        "learning_curve.png": "Loss and scores of every epoch",
        **draw_confusions(folder, matrices, labels),
    }


def _draw_urgency(folder: Path, metrics: "Mapping[str, Any]") -> dict[str, str]:
    thresholds = metrics["calibration"]["thresholds"]
    alarm = thresholds.get(ALARM_THRESHOLD, {}).get("threshold")
    draw_high_urgency(folder / "high_urgency.png", metrics["high_urgency"]["curve"], alarm)
    draw_coverage(folder / "coverage.png", metrics["calibration"]["abstention"])
    draw_time_to_decision(folder / "time_to_decision.png", metrics["time_to_decision"])
    return {
        "high_urgency.png": "Precision and recall of high urgency over the alarm threshold, by call",
        "coverage.png": "Accuracy of the answered calls, by their share",
        "time_to_decision.png": "Accuracy and recall of high urgency, by seconds heard",
    }


def draw_confusions(
    folder: Path, matrices: "Mapping[str, Mapping[str, NDArray[np.int64]]]", labels: Labels
) -> dict[str, str]:
    """Draws one confusion matrix per task and unit into `folder`; returns their names with their descriptions."""
    drawn = {}
    for task in labels.tasks:
        classes = [ENGLISH.get(name, name) for name in getattr(labels, task)]
        for unit, by_task in matrices.items():
            name = f"confusion_{task}_{unit}.png"
            width_in, height_in = 1.1 * len(classes) + 1.6, 0.8 * len(classes) + 1.3
            with picture(folder / name, width_in=width_in, height_in=height_in) as axes:
                _draw_confusion(axes, by_task[task], classes)
                axes.set_title(f"{task.capitalize()} by {unit}: share of each true class", fontsize=10)
            drawn[name] = f"Confusion matrix of the {task} by {unit}"
    return drawn


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


def draw_time_to_decision(target: Path, points: "Sequence[Mapping[str, Any]]") -> None:
    """Draws accuracy, recall of high urgency and the share of calls with a prediction, by seconds heard."""
    seconds = [point["seconds"] for point in points]
    lines = (("accuracy", "accuracy", BLUE), ("recall_high", "recall of high", ORANGE), ("decided", "answered", GREY))
    with picture(target, width_in=6.0, height_in=3.2) as axes:
        for key, title, color in lines:
            _draw_band(axes, seconds, points, key, color, title)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("seconds of the call heard")
        axes.set_ylabel("share of all calls")
        axes.set_title("Urgency by call, by seconds heard, with 95 % intervals", fontsize=10)
        axes.legend(frameon=False, fontsize=8, loc="lower right")


def draw_coverage(target: Path, points: "Sequence[Mapping[str, Any]]") -> None:
    """Draws the accuracy of the calls that are answered, by their share."""
    covered = [1 - point["to_person"] for point in points]
    with picture(target, width_in=5.0, height_in=3.2) as axes:
        _draw_band(axes, covered, points, "accuracy", BLUE, "accuracy of the answered calls")
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("coverage: share of the calls that are answered")
        axes.set_ylabel("accuracy")
        axes.set_title("Accuracy of the answered calls, the most confident first", fontsize=10)


def draw_high_urgency(target: Path, curve: "Sequence[Mapping[str, Any]]", threshold: float | None) -> None:
    """Draws precision and recall of high urgency over the threshold of an alarm, and the threshold in use."""
    lines = (("recall", BLUE), ("precision", ORANGE), ("alarms", GREY))
    titles = {"alarms": "share of all calls with an alarm"}
    with picture(target, width_in=6.0, height_in=3.2) as axes:
        for key, color in lines:
            shares = [np.nan if point[key] is None else point[key] for point in curve]
            axes.plot([point["threshold"] for point in curve], shares, color=color, label=titles.get(key, key))
        if threshold is not None:
            axes.axvline(threshold, color=GREY, linestyle="--", linewidth=1, label="alarm threshold in use")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("alarm at a probability of high urgency of at least")
        axes.set_title("Alarms for high urgency, by call", fontsize=10)
        axes.legend(frameon=False, fontsize=8, loc="upper right")


def draw_class_counts(target: Path, counts: "Mapping[str, Mapping[str, int]]", task: str) -> None:
    """Draws the utterances of each class on each side, as shares of the side; the counts are written on them."""
    sides = [side for side in SIDES if sum(counts.get(side, {}).values())]
    classes = list(counts[sides[0]])
    with picture(target, width_in=6.0, height_in=0.25 * len(classes) * (len(sides) + 1) + 1.2) as axes:
        for number, (side, color) in enumerate(zip(sides, (BLUE, ORANGE, GREY), strict=False)):
            total = sum(counts[side].values())
            places = [place + number / (len(sides) + 1) for place in range(len(classes))]
            shares = [counts[side][name] / total for name in classes]
            bars = axes.barh(places, shares, height=1 / (len(sides) + 1), color=color, label=side)
            axes.bar_label(bars, [f"{counts[side][name]:,}" for name in classes], padding=2, fontsize=8)
        middle = (len(sides) - 1) / (len(sides) + 1) / 2
        axes.set_yticks(
            [place + middle for place in range(len(classes))], [ENGLISH.get(name, name) for name in classes]
        )
        axes.invert_yaxis()
        axes.set_xlim(right=1.4 * axes.get_xlim()[1])  # room for the legend
        axes.set_xlabel("share of the utterances of the side")
        axes.set_title(f"Classes of the {task} on each side", fontsize=10)
        axes.legend(frameon=False, fontsize=8, loc="lower right")


def _draw_band(
    axes: "Axes", x: "Sequence[float]", points: "Sequence[Mapping[str, Any]]", key: str, color: str, title: str
) -> None:
    """A line with its interval: the band is pale, and its edges are lines, so that bands can overlap."""
    shares = [np.nan if point[key] is None else point[key] for point in points]
    axes.plot(x, shares, marker="o", markersize=3, color=color, label=title)
    bounds = [point.get(f"{key}_interval") or (np.nan, np.nan) for point in points]
    low, high = zip(*bounds, strict=True)
    axes.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0)
    for edge in (low, high):
        axes.plot(x, edge, color=color, linewidth=0.7, linestyle=":")


def draw_reliability(target: Path, title: str, before: Reliability, after: Reliability) -> None:
    """Draws accuracy against confidence, without and with the temperature; a calibrated model is on the diagonal."""
    with picture(target, width_in=4.4, height_in=3.8) as axes:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        for curve, name, color in ((before, "without temperature", ORANGE), (after, "with temperature", BLUE)):
            label = f"{name}: error {curve.error:.3f}"
            axes.plot(curve.confidence, curve.accuracy, marker="o", markersize=3, color=color, label=label)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("confidence")
        axes.set_ylabel("accuracy")
        axes.set_title(title, fontsize=10)
        axes.legend(frameon=False, fontsize=8, loc="upper left")


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

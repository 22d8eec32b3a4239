"""The class names of both tasks, and which tasks can be trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from urgency_dagster.errors import TrainingDataError
from urgency_dagster.tables import URGENCY_LEVELS
from urgency_dagster.urgency.data.tables import TRAIN

if TYPE_CHECKING:
    import pyarrow as pa

TASKS = ("urgency", "sentiment")

ABSENT = {
    "urgency": " Without urgency there are no alarms, no abstention, no thresholds, no costs, no time to decision, and "
    "no scores by slice or speaker.",
    "sentiment": "",
}
"""What else is absent without a task, as the rest of a text."""


@dataclass(frozen=True)
class Labels:
    """The class names of both tasks, in the order of their ids.

    Attributes:
        urgency: names of the urgency classes.
        sentiment: names of the sentiment classes.
        left_out: tasks that are not trained, because the training side has one of their classes only.
    """

    urgency: tuple[str, ...]
    sentiment: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that are trained."""
        return tuple(task for task in TASKS if task not in self.left_out)

    @classmethod
    def from_json(cls, stored: Mapping[str, Sequence[str]]) -> "Labels":
        """The labels from stored lists of class names by task."""
        return cls(tuple(stored["urgency"]), tuple(stored["sentiment"]), tuple(stored.get("left_out", ())))


def labels_of(rows: "pa.Table", sentiments: tuple[str, ...]) -> Labels:
    """The labels; a task is left out if all rows of the training side have the same class of it.

    Raises:
        TrainingDataError: so both tasks would be left out.
    """
    training = rows.filter(pc.equal(rows["side"], TRAIN))
    left_out = tuple(task for task in TASKS if len(pc.unique(training[f"{task}_id"])) == 1)
    labels = Labels(URGENCY_LEVELS, sentiments, left_out)
    if not labels.tasks:
        raise TrainingDataError(
            f"every call of the training side has {_only_classes(training, labels)}",
            "two classes of at least one of both",
            "add calls of another urgency or another sentiment",
        )
    return labels


def left_out_sentence(rows: "pa.Table", labels: Labels) -> str:
    """Why a task is left out and what is absent then; empty if none is left out."""
    if not labels.left_out:
        return ""
    (task,), (other,) = labels.left_out, labels.tasks
    only = _only_classes(rows.filter(pc.equal(rows["side"], TRAIN)), labels)
    return f"Every call of the training side has {only}, so {task} is left out and {other} goes on.{ABSENT[task]}"


def _only_classes(training: "pa.Table", labels: Labels) -> str:
    names = {task: getattr(labels, task)[training[f"{task}_id"][0].as_py()] for task in labels.left_out}
    return " and ".join(f"the {task} {name}" for task, name in names.items())

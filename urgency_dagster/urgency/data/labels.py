"""The class names of both tasks, and which tasks can be trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from urgency_dagster.tables import URGENCY_LEVELS
from urgency_dagster.urgency.data.tables import TRAIN

if TYPE_CHECKING:
    import pyarrow as pa

TASKS = ("urgency", "sentiment")


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
    """The labels; the sentiment is left out if all rows of the training side have the same one."""
    training = rows.filter(pc.equal(rows["side"], TRAIN))
    left_out = ("sentiment",) if len(pc.unique(training["sentiment_id"])) == 1 else ()
    return Labels(URGENCY_LEVELS, sentiments, left_out)


def left_out_sentence(rows: "pa.Table", labels: Labels) -> str:
    """Why a task is left out, in one sentence; empty if none is."""
    if not labels.left_out:
        return ""
    only = labels.sentiment[rows.filter(pc.equal(rows["side"], TRAIN))["sentiment_id"][0].as_py()]
    return f"Every call of the training side has the sentiment {only}, so sentiment is left out and urgency goes on."

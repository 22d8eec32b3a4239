"""What a server has done since its start, in numbers and classes. Models that follow each other share one tally."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from urgency_dagster.urgency import CallPrediction, RecordingPrediction


class CallOutcome(NamedTuple):
    """What a call was answered.

    Attributes:
        urgency: the class; empty if the model does not answer urgency.
        abstained: whether a person should look at it.
        alarmed: whether it raised the alarm.
    """

    urgency: str
    abstained: bool
    alarmed: bool


@dataclass
class Tally:
    """Counts of a server. Only its event loop writes to them.

    Attributes:
        calls: recordings and ended calls in progress, by outcome.
        audio_ms: their length.
        forward_passes: forward passes of the network by their number of utterances.
    """

    calls: Counter[CallOutcome] = field(default_factory=Counter)
    audio_ms: int = 0
    forward_passes: Counter[int] = field(default_factory=Counter)

    def add_call(self, answer: RecordingPrediction | CallPrediction, duration_ms: int) -> None:
        """Counts a scored call. A call in progress counts once, at its end, with its last answer."""
        label = answer.urgency.label if answer.urgency else ""
        self.calls[CallOutcome(label, bool(answer.abstain), bool(answer.alarm))] += 1
        self.audio_ms += duration_ms

    def add_forward_pass(self, utterances: int) -> None:
        """Counts a forward pass."""
        self.forward_passes[utterances] += 1

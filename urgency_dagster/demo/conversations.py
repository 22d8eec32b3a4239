"""What is said in a synthetic call: labels are dealt, then a conversation is drawn that only partly shows them.

The words are in `wording`; nothing is spoken here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from urgency_dagster.demo import wording
from urgency_dagster.tables import CALL_TAKER, CALLER, URGENCY_LEVELS

Choice = TypeVar("Choice")

URGENCY_SHARES = {"하": 0.354, "중": 0.336, "상": 0.310}
SENTIMENT_SHARES = {"불안/걱정": 0.536, "당황/난처": 0.376, "중립": 0.065, "기타부정": 0.023}
"""How often each label occurs. Source: published counts over 143,046 calls of the data set."""

FEMALE_SHARE = 0.479
"""Source: the data set's usage guideline."""

CALL_MISLABELLED = 0.06
"""Share of calls that sound one level more or less urgent than they are labelled."""

PHRASE_MISLEADS = 0.07
"""Share of telling phrases that belong to another level than the call sounds like."""

PHRASE_SHARED = 0.08
"""Share of telling phrases replaced by one that occurs at every level."""

FEELING_SHOWN = 0.45
"""Share of caller's sentences that carry an interjection of the call's sentiment."""


@dataclass(frozen=True)
class Turn:
    """One utterance: its role (`CALL_TAKER` or `CALLER`) and its text."""

    speaker: int
    text: str


@dataclass(frozen=True)
class Conversation:
    """One call before it is spoken: its labels in the data set's own values, and 8 to 14 turns."""

    category: str
    medium: str
    urgency: str
    sentiment: str
    gender: str
    symptoms: tuple[str, ...]
    turns: tuple[Turn, ...]


def deal(rng: np.random.Generator, shares: Mapping[str, float], n: int, at_least: int = 0) -> list[str]:
    """`n` labels in random order whose counts follow `shares` as closely as whole numbers can.

    Args:
        rng: the source of the order.
        shares: label -> share; they add up to 1.
        n: how many labels.
        at_least: the least count of each label, as far as `n` allows.
    """
    quota = {label: max(share * n, at_least) for label, share in shares.items()}
    counts = {label: int(share) for label, share in quota.items()}
    while sum(counts.values()) < n:
        counts[max(quota, key=lambda label: quota[label] - counts[label])] += 1
    while sum(counts.values()) > n:
        counts[max(quota, key=lambda label: (counts[label] > at_least, counts[label] - quota[label]))] -= 1
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [labels[i] for i in rng.permutation(n)]


def draw_conversation(rng: np.random.Generator, category: str, urgency: str, sentiment: str) -> Conversation:
    """A call of one category (`구급` or `화재`) with the given labels."""
    sounds_like = _neighbour(rng, urgency) if rng.random() < CALL_MISLABELLED else urgency
    return Conversation(
        category=category,
        medium=pick(rng, wording.DISASTERS[category][urgency]),
        urgency=urgency,
        sentiment=sentiment,
        gender="F" if rng.random() < FEMALE_SHARE else "M",
        symptoms=_symptoms(rng) if category == "구급" else (),
        turns=tuple(_turns(rng, category, sounds_like, sentiment)),
    )


def pick(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    """One of `choices`, all equally likely."""
    return choices[int(rng.integers(len(choices)))]


def _turns(rng: np.random.Generator, category: str, urgency: str, sentiment: str) -> list[Turn]:
    talk = _Talk(rng, urgency, sentiment)
    talk.taker(pick(rng, wording.GREETINGS))
    talk.caller(pick(rng, wording.OPENINGS[category][talk.level()]))
    talk.taker(pick(rng, wording.ASK_PLACE))
    talk.caller(pick(rng, wording.SAY_PLACE))
    # The more urgent, the longer the call, as in the data set.
    least = 2 if urgency == URGENCY_LEVELS[-1] else 1
    for _ in range(int(rng.integers(least, 4))):
        shared = rng.random() < PHRASE_SHARED
        bank = wording.SHARED_EXCHANGES if shared else wording.EXCHANGES[category][talk.level()]
        question, answer = pick(rng, bank)
        talk.taker(question)
        talk.caller(answer)
    if rng.random() < 0.75:
        talk.taker(pick(rng, wording.ACKNOWLEDGE))
    shared = rng.random() < 0.35
    talk.taker(pick(rng, wording.SHARED_DISPATCHES if shared else wording.DISPATCHES[talk.level()]))
    shared = rng.random() < 0.3
    talk.caller(pick(rng, wording.SHARED_CLOSINGS if shared else wording.CLOSINGS[sentiment]))
    return talk.turns


class _Talk:
    """The turns said so far, and how to say the next."""

    def __init__(self, rng: np.random.Generator, urgency: str, sentiment: str) -> None:
        self.rng, self.urgency, self.sentiment = rng, urgency, sentiment
        self.turns: list[Turn] = []

    def level(self) -> str:
        """The level that the next phrase gives away: mostly that of the call."""
        if self.rng.random() < PHRASE_MISLEADS:
            return pick(self.rng, [level for level in URGENCY_LEVELS if level != self.urgency])
        return self.urgency

    def taker(self, text: str) -> None:
        self.turns.append(Turn(CALL_TAKER, self._filled(text)))

    def caller(self, text: str) -> None:
        feeling = pick(self.rng, wording.INTERJECTIONS[self.sentiment]) if self.rng.random() < FEELING_SHOWN else ""
        self.turns.append(Turn(CALLER, feeling + self._filled(text)))

    def _filled(self, text: str) -> str:
        filled = text.format(**{name: pick(self.rng, values) for name, values in wording.SLOTS.items()})
        # Some transcripts of the data set end with a space.
        return filled + (" " if self.rng.random() < 0.2 else "")


def _neighbour(rng: np.random.Generator, urgency: str) -> str:
    i = URGENCY_LEVELS.index(urgency)
    return pick(rng, [URGENCY_LEVELS[j] for j in (i - 1, i + 1) if 0 <= j < len(URGENCY_LEVELS)])


def _symptoms(rng: np.random.Generator) -> tuple[str, ...]:
    count = 1 + int(rng.random() < 0.35) + int(rng.random() < 0.08)
    chosen = rng.choice(len(wording.SYMPTOMS), size=count, replace=False)
    return tuple(wording.SYMPTOMS[i] for i in chosen)

"""What an audit says: findings with a level, a kind, names and figures. Nothing is looked for here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

NAMES_KEPT = 20
"""Names that a finding lists; it counts all."""


class Level(StrEnum):
    """How much a finding weighs."""

    CERTAIN = "certain"
    """The scores are wrong: no honest data or protocol looks like this."""

    SUSPICION = "suspicion"
    """The scores may be wrong: somebody has to look."""

    NOTE = "note"
    """What a reader of the scores has to know; the data set is like this."""


class Kind(StrEnum):
    """What a finding is about. A closed set."""

    PARTICIPANT_IN_TWO_FOLDS = "participant_in_two_folds"
    COPY_IN_TWO_FOLDS = "copy_in_two_folds"
    COPIES = "copies"
    REPLICATED_PROMPTS = "replicated_prompts"
    COLUMN_TELLS_LABEL = "column_tells_label"
    STRONG_COLUMN = "strong_column"
    IDENTIFIER = "identifier"
    OWN_LABEL_IN_HISTORY = "own_label_in_history"
    UNVERIFIED_HISTORY = "unverified_history"
    LABEL_HISTORY = "label_history"
    NOT_AT_CHANCE = "not_at_chance"
    AT_CHANCE = "at_chance"
    HISTORY_CARRIES = "history_carries"
    IMPLAUSIBLE_SCORE = "implausible_score"


@dataclass(frozen=True)
class Finding:
    """One thing that the audit found.

    Attributes:
        level: how much it weighs.
        kind: what it is about.
        message: one sentence.
        count: how many columns, participants, rows or models it concerns.
        names: the first of them in alphabetical order, at most NAMES_KEPT; none for rows.
        figures: what was measured.
    """

    level: Level
    kind: Kind
    message: str
    count: int
    names: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_names(
        cls, level: Level, kind: Kind, message: str, names: Sequence[str], figures: Mapping[str, float] | None = None
    ) -> "Finding":
        """A finding about named things, of which it keeps the first."""
        return cls(level, kind, message, len(names), tuple(sorted(names)[:NAMES_KEPT]), figures or {})

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "level": self.level.value,
            "kind": self.kind.value,
            "message": self.message,
            "count": self.count,
            "names": list(self.names),
            "figures": dict(self.figures),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Finding":
        """What `to_json` gave."""
        return cls(
            level=Level(stored["level"]),
            kind=Kind(stored["kind"]),
            message=stored["message"],
            count=stored["count"],
            names=tuple(stored["names"]),
            figures=stored["figures"],
        )

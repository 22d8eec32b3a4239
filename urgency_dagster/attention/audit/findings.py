"""The type of a finding: level, kind, message, names and figures."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_NAMES = 20
"""Maximum number of names that a finding lists. `count` holds their total."""


class Level(StrEnum):
    """The severity of a finding."""

    CERTAIN = "certain"
    """The scores are wrong. Valid data and a valid protocol never give this finding."""

    SUSPICION = "suspicion"
    """The scores may be wrong. A person must check the finding."""

    NOTE = "note"
    """A property of the data set that a reader of the scores must know."""


class FindingKind(StrEnum):
    """The subject of a finding; a closed set."""

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
    """One finding of the audit.

    Attributes:
        level: its severity.
        kind: its subject.
        message: one sentence.
        count: number of affected columns, participants, rows or models.
        names: the first MAX_NAMES of them in alphabetical order; empty for rows.
        figures: measured values by name.
        accepted: whether the option `accept` of the audit names its id.
    """

    level: Level
    kind: FindingKind
    message: str
    count: int
    names: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    accepted: bool = False

    @property
    def id(self) -> str:
        """The kind and a hash of what it is about. The same columns, participants or number of rows have the same id.

        An acceptance therefore does not cover a finding about other columns.
        """
        subject = json.dumps([self.count, *self.names])
        return f"{self.kind.value}-{hashlib.sha256(subject.encode()).hexdigest()[:8]}"

    @property
    def blocks(self) -> bool:
        """Whether nothing may be built on the scores: it is certain, and nobody accepted it."""
        return self.level == Level.CERTAIN and not self.accepted

    @classmethod
    def of_names(
        cls,
        level: Level,
        kind: FindingKind,
        message: str,
        names: Sequence[str],
        figures: Mapping[str, float] | None = None,
    ) -> "Finding":
        """A finding about named columns, participants or models; it lists the first names."""
        return cls(level, kind, message, len(names), tuple(sorted(names)[:MAX_NAMES]), figures or {})

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return {
            "id": self.id,
            "accepted": self.accepted,
            "level": self.level.value,
            "kind": self.kind.value,
            "message": self.message,
            "count": self.count,
            "names": list(self.names),
            "figures": dict(self.figures),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Finding":
        """The finding of the JSON values of `to_json`."""
        return cls(
            level=Level(stored["level"]),
            kind=FindingKind(stored["kind"]),
            message=stored["message"],
            count=stored["count"],
            names=tuple(stored["names"]),
            figures=stored["figures"],
            accepted=stored.get("accepted", False),
        )

"""The options of `scored_utterances`."""

from typing import ClassVar

from pydantic import Field

from urgency_dagster.configuration import Configuration
from urgency_dagster.devices import AUTO


class ScoringConfig(Configuration):
    """Where the models run, and how many rejects the check `few_rejects` allows."""

    machine: ClassVar[frozenset[str]] = frozenset({"device"})

    device: str = AUTO
    """`auto` (CUDA if present, else MPS, else CPU) or the name of a torch device, such as `cuda:1`."""

    rejected_recordings_max: float = Field(0.20, ge=0, le=1)
    """Share of recordings that may be rejected before the check warns."""

    rejected_utterances_max: float = Field(0.40, ge=0, le=1)
    """Share of utterances that may be rejected before the check warns."""

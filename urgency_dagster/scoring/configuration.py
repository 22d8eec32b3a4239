"""The options of `scored_utterances` and of `label_free_gap`."""

from typing import ClassVar

from pydantic import Field

from urgency_dagster.configuration import Configuration
from urgency_dagster.devices import AUTO
from urgency_dagster.statistics.bootstrap import RESAMPLES, BootstrapConfig


class ScoringConfig(Configuration):
    """Where the models run, and how many rejects the check `few_rejects` allows."""

    machine: ClassVar[frozenset[str]] = frozenset({"device"})

    device: str = AUTO
    """`auto` (CUDA if present, else MPS, else CPU) or the name of a torch device, such as `cuda:1`."""

    rejected_recordings_max: float = Field(0.20, ge=0, le=1)
    """Share of recordings that may be rejected before the check warns."""

    rejected_utterances_max: float = Field(0.40, ge=0, le=1)
    """Share of utterances that may be rejected before the check warns."""


class GapConfig(Configuration):
    """How `label_free_gap` is measured."""

    machine: ClassVar[frozenset[str]] = frozenset({"device"})

    device: str = AUTO
    """`auto` (CUDA if present, else MPS, else CPU) or the name of a torch device, such as `cuda:1`."""

    bootstrap_resamples: int = Field(RESAMPLES, gt=0)
    """Bootstrap samples of the calls for each 95 % interval."""

    seed: int = 42
    """Seed of the bootstrap."""

    @property
    def bootstrap(self) -> BootstrapConfig:
        """The bootstrap of every interval."""
        return BootstrapConfig(resamples=self.bootstrap_resamples, seed=self.seed)

"""The options of `prosody`."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from urgency_dagster.configuration import Configuration
from urgency_dagster.errors import SettingsError


class ProsodyConfig(Configuration):
    """The search range of the fundamental frequency (f0), and the rule that calls a frame voiced."""

    machine: ClassVar[frozenset[str]] = frozenset({"workers"})

    f0_min_hz: float = Field(75.0, ge=50, le=400)
    """Lowest f0 in Hz. Source: Praat's recommended pitch floor for male voices."""

    f0_max_hz: float = Field(500.0, ge=100, le=1000)
    """Highest f0 in Hz. Source: Praat's recommended pitch ceiling for female voices."""

    voiced_correlation_min: float = Field(0.6, gt=0, lt=1)
    """Minimum correlation of a voiced frame with itself one period later. Source: measured on the demo's speech: frames
    more than an octave off fall from 10 % at 0.45 (Praat's default, after smoothing over time) to 1 % at 0.6."""

    voiced_level_min_dbfs: float = Field(-60.0, ge=-90, le=0)
    """Minimum RMS level of a voiced frame in dBFS. Quieter frames hold line noise and mains hum."""

    workers: int = Field(-1, ge=-1)
    """Maximum number of worker processes. -1 is one per core. A short archive uses fewer."""

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.f0_min_hz >= self.f0_max_hz:
            raise SettingsError(
                f"f0_min_hz is {self.f0_min_hz} and f0_max_hz is {self.f0_max_hz}",
                "f0_min_hz below f0_max_hz",
                "correct `f0_min_hz` or `f0_max_hz`",
            )
        return self

"""The columns of `prosody.parquet`: types, units, descriptions and permitted values.

Source: AI Hub data set 71768 for the utterances; the frames and the f0 method are described in `features`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from urgency_dagster.calls.prosody.configuration import ProsodyConfig
from urgency_dagster.calls.prosody.features import (
    FRAME_LENGTH,
    HOP_LENGTH,
    MIN_LEVEL_DBFS,
    PROSODY_RATE_HZ,
)
from urgency_dagster.tables import UTTERANCES, VECTOR_KEY

PROSODY_KEY = ("_id", "utterance_id", *VECTOR_KEY)
"""The columns that identify an utterance and its sound. They are copied from the utterance table."""


@dataclass(frozen=True)
class Feature:
    """One column of features.

    Attributes:
        name: the column, with its unit.
        unit: the unit, or `1` for a share.
        description: what the value is.
        low: smallest permitted value.
        high: largest permitted value.
        nullable: null means that the utterance has no voiced frame.
    """

    name: str
    unit: str
    description: str
    low: float = 0.0
    high: float = math.inf
    nullable: bool = False

    @property
    def field(self) -> pa.Field:
        """The column of the schema, with unit and description as metadata."""
        metadata = {"unit": self.unit, "description": self.description}
        return pa.field(self.name, pa.float64(), nullable=self.nullable, metadata=metadata)


DURATION = Feature("duration_s", "s", "Length of the utterance, as in the utterance table.")

LEVEL_AND_RATE = (
    Feature("voiced_share", "1", "Voiced frames divided by all frames.", high=1.0),
    Feature(
        "level_mean_dbfs",
        "dBFS",
        f"Mean RMS level over all frames. An RMS of 1 is 0 dBFS; silence is {MIN_LEVEL_DBFS:.2f} dBFS.",
        low=MIN_LEVEL_DBFS,
    ),
    Feature("level_sd_db", "dB", "Population standard deviation of the RMS level over all frames."),
    Feature(
        "zero_crossing_rate_mean", "1", "Sign changes divided by samples at 8 kHz, mean over all frames.", high=1.0
    ),
    Feature(
        "speaking_rate_chars_per_s",
        "1/s",
        "Hangul syllables, letters and digits of the text, divided by duration_s. "
        "Spaces, punctuation and symbols do not count.",
    ),
)
"""The features that exist for every utterance, voiced or not."""


def prosody_features(config: ProsodyConfig) -> tuple[Feature, ...]:
    """The feature columns in the order of the table."""
    return (DURATION, *_f0_features(config), *LEVEL_AND_RATE)


def _f0_features(config: ProsodyConfig) -> Iterator[Feature]:
    """The statistics of f0. Their permitted values depend on the configuration."""
    hz, semitones = (config.f0_min_hz, config.f0_max_hz), (0.0, 12 * math.log2(config.f0_max_hz / config.f0_min_hz))
    for name, unit, what, (low, high) in (
        ("f0_median_hz", "Hz", "Median f0", hz),
        ("f0_iqr_semitones", "semitone", "Interquartile range of f0", semitones),
        ("f0_range_semitones", "semitone", "Distance between the 5th and the 95th percentile of f0", semitones),
    ):
        description = f"{what} over the voiced frames. Null if no frame is voiced."
        yield Feature(name, unit, description, low, high, nullable=True)


def prosody_schema(config: ProsodyConfig) -> pa.Schema:
    """The schema of `prosody.parquet`: one row per kept utterance, in the order of the utterance table.

    Its metadata holds the parameters that decide the values.
    """
    parameters = {
        "sample_rate_hz": PROSODY_RATE_HZ,
        "frame_length": FRAME_LENGTH,
        "hop_length": HOP_LENGTH,
        **config.model_dump(exclude={"workers"}),
    }
    keys = [UTTERANCES.field(name) for name in PROSODY_KEY]
    columns = [feature.field for feature in prosody_features(config)]
    return pa.schema([*keys, *columns], metadata={name: str(value) for name, value in parameters.items()})

"""`config.json` of a model folder: the shape of the network, and what turns its logits into answers. It is checked."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from urgency_dagster.tables import HIGH
from urgency_dagster.urgency.data.labels import TASKS, Labels
from urgency_dagster.urgency.package.thresholds import ALARM_THRESHOLD
from urgency_dagster.writing import read_json

CONFIG = "config.json"

LEVELS = ("utterance", "call")
"""What a temperature belongs to: the logits of an utterance, or their mean over a call."""

MAX_TOKENS = 1 << 20
"""Maximum of `max_length`. No text model takes as many tokens."""

Temperature = Annotated[float, Field(gt=0)]


class StoredLabels(BaseModel):
    """The class names of both tasks, and the tasks that are left out."""

    urgency: list[str]
    sentiment: list[str]
    left_out: list[str] = []


class StoredConfig(BaseModel):
    """The values of the file.

    Attributes:
        network: the arguments of `cross_modal.ModelConfig`.
        labels: see `StoredLabels`.
        max_length: maximum number of tokens of a text.
        temperatures: the temperature by level and task. Before there was one for each level, by task alone.
        thresholds: thresholds for the urgency of a call.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    network: dict[str, Any]
    labels: StoredLabels
    max_length: int = Field(ge=1, le=MAX_TOKENS)
    temperatures: dict[str, dict[str, Temperature]] | dict[str, Temperature]
    thresholds: dict[str, float] = {}

    @model_validator(mode="after")
    def _fits_its_labels(self) -> "StoredConfig":
        for task in TASKS:
            names = getattr(self.labels, task)
            if len(set(names)) != len(names) or len(names) != self.network.get(f"{task}_classes"):
                raise ValueError(f"the classes of {task} are not those of the network")
        if ALARM_THRESHOLD in self.thresholds and HIGH not in self.labels.urgency:
            raise ValueError(f"a threshold of the alarm without the class {HIGH}")
        return self

    @property
    def class_names(self) -> Labels:
        """The labels."""
        return Labels.from_json(self.labels.model_dump())

    @property
    def by_level(self) -> dict[str, dict[str, float]]:
        """The temperature by level and task. Thresholds of a folder with one for both levels were fitted with it.

        Raises:
            KeyError: a level or a task is missing.
        """
        both = self.temperatures
        stored: dict[str, Any] = dict(both) if set(both) == set(LEVELS) else dict.fromkeys(LEVELS, both)
        return {level: {task: float(stored[level][task]) for task in TASKS} for level in LEVELS}


def read_config(folder: Path) -> StoredConfig:
    """The configuration of a model folder.

    Raises:
        OSError: there is no such file.
        ValueError: it is no JSON, or a value is missing or of another type.
    """
    return StoredConfig.model_validate(read_json(folder / CONFIG))

"""The models that answer now, and whether the server is ready."""

from typing import Literal

from pydantic import Field

from urgency_dagster.serving.schemas import examples
from urgency_dagster.serving.schemas.strict import StrictModel, shown


class UrgencyModelDescription(StrictModel):
    """The urgency model."""

    sha256: str = Field(description="SHA-256 of the weights.")
    data_sha256: str = Field(description="SHA-256 of the training set; empty if the model's file does not say it.")
    speech_model: dict[str, str] = Field(description="Name, revision and SHA-256 of the speech model.")
    audio_width: int = Field(description="Width D of a vector.")
    audio_tokens: int = Field(description="Vectors T of an utterance.")
    classes: dict[str, list[str]] = Field(description="Classes of each task, in the order of their ids.")
    thresholds: dict[str, dict[str, float]] = Field(description="Thresholds by the way of listening.")
    versions: dict[str, str] = Field(description="Library versions of the training.")


class AttentionModelDescription(StrictModel):
    """An attention model."""

    sha256: str = Field(description="SHA-256 of the model's file.")
    data_sha256: str = Field(description="SHA-256 of the training data.")
    threshold: float = Field(description="A probability above it is class 1.")
    columns: list[str] = Field(description="The columns that a row needs.")
    versions: dict[str, str] = Field(description="Library versions of the export.")


class ModelsAnswer(StrictModel):
    """The models that answer now."""

    model_config = shown(examples.MODELS_ANSWER)

    urgency: UrgencyModelDescription | None = Field(description="Null if there is none.")
    attention: dict[str, AttentionModelDescription] = Field(description="By name; empty if there are none.")


class LiveAnswer(StrictModel):
    """The process answers."""

    status: Literal["ok"]


class ReadyAnswer(StrictModel):
    """Models answer."""

    model_config = shown(examples.READY_ANSWER)

    status: Literal["ready"]
    models: list[str] = Field(description="The models that answer.", examples=[["urgency", "attention/lgbm"]])
    missing: list[Literal["urgency", "attention"]] = Field(description="What has no model yet.")

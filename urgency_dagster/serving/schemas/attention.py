"""Rows of wearable features, and what the attention models answer."""

from typing import Literal

from pydantic import Field

from urgency_dagster.serving.schemas import examples
from urgency_dagster.serving.schemas.calls import Probability
from urgency_dagster.serving.schemas.strict import StrictModel, shown

MAX_REASONS = 100


class AttentionInput(StrictModel):
    """Rows by column name."""

    model_config = shown(examples.ATTENTION)

    rows: list[dict[str, bool | int | float]] = Field(
        min_length=1,
        description="The columns that `GET /v1/models` names; others are ignored. 0 and 1 are accepted for bool.",
        examples=[[{"HRT#AVG#M05": 71.5, "DST_MOT#VAL=WALKING": False}]],
    )
    models: list[str] | None = Field(
        None, min_length=1, description="Names of models. Without it, every model answers.", examples=[["lgbm"]]
    )
    reasons: int = Field(0, ge=0, le=MAX_REASONS, description="Features to name as reasons of each row, at most.")


class ReasonAnswer(StrictModel):
    """What one feature contributes to the prediction for a row."""

    feature: str = Field(description="The column.")
    value: float = Field(description="Its value, as given; false is 0 and true is 1.")
    contribution: float = Field(description="Above 0 it speaks for class 1.")


class RowAnswer(StrictModel):
    """The prediction for one row."""

    label: Literal[0, 1] = Field(description="1 if the probability is above the threshold.")
    probability: Probability = Field(description="Probability of class 1.")
    reasons: list[ReasonAnswer] = Field([], description="The largest absolute contributions first.")


class ExplanationAnswer(StrictModel):
    """How contributions were computed. They and the baseline add up to the unit's value of the row."""

    method: str = Field(description="The method.", examples=["TreeSHAP"])
    unit: Literal["log-odds", "probability"] = Field(description="Unit of the baseline and the contributions.")
    baseline: float = Field(description="The prediction before any feature is known.")


class AttentionModelAnswer(StrictModel):
    """The attention model that answered."""

    sha256: str = Field(description="SHA-256 of the model's file.")
    data_sha256: str = Field(description="SHA-256 of the training data.")


class ModelRowsAnswer(StrictModel):
    """What one model answers."""

    rows: list[RowAnswer] = Field(description="One for each row, in their order.")
    threshold: float = Field(description="A probability above it is class 1.")
    unknown_columns: list[str] = Field(description="Columns that the model does not know, sorted.")
    explanation: ExplanationAnswer | None = Field(description="Null if no reasons were asked for.")
    model: AttentionModelAnswer = Field(description="The model that answered.")


class AttentionAnswer(StrictModel):
    """What each model answers, by its name."""

    model_config = shown(examples.ATTENTION_ANSWER)

    models: dict[str, ModelRowsAnswer] = Field(description="By the name of the model.")

"""The options of the urgency pipeline, each stated once: split, training, evaluation."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from urgency_dagster.configuration import Configuration
from urgency_dagster.devices import AUTO
from urgency_dagster.statistics.bootstrap import RESAMPLES, BootstrapConfig
from urgency_dagster.tables import URGENCY_LEVELS

SplitMode = Literal["official", "call", "utterance"]
Protocol = Literal["honest", "original"]
Selection = Literal["development", "validation"]

ORIGINAL_CHOICES = {"attention_dropout": 0.0, "mixed_precision": "no"}
"""Hyper-parameters that `protocol: original` fixes. The defaults of the others are the original's."""

COST_MATRIX = ((0.0, 1.0, 2.0), (2.0, 0.0, 1.0), (10.0, 4.0, 0.0))
"""Default costs of errors; 상 predicted as 하 costs most. The values are assumed, not measured."""


class SplitConfig(Configuration):
    """How utterances are divided into a training, a development and a validation side."""

    protocol: Protocol = "honest"
    """`original` makes the choices of the original pipeline, in the split and in the training that follows: a random
    split by utterance, the best epoch chosen on the validation side, class weights of all rows. Scores are inflated.
    `mode` and `selection` are not used."""

    mode: SplitMode = "official"
    """`official` keeps AI Hub's Training/Validation border; if only one of them is present, it works as `call`.
    `call` draws whole calls. `utterance` draws single utterances as the original pipeline did; scores are inflated."""

    validation_share: float = Field(0.15, gt=0, lt=1)
    """Share of calls or utterances drawn for validation; not used by `official`."""

    selection: Selection = "development"
    """The side on which the best epoch is chosen. `development` draws whole calls for it; temperatures and thresholds
    are fitted on them too. `validation` is the original's: there is no development side, no temperature and no
    threshold, and the scores are slightly too high."""

    development_share: float = Field(0.15, gt=0, lt=1)
    """Share of calls drawn for development: with `official` of the calls of AI Hub's Training, else of all calls."""

    seed: int = 42
    """Seed of the draws."""

    @property
    def selection_side(self) -> Selection:
        """The side on which the best epoch is chosen, under the protocol."""
        return "validation" if self.protocol == "original" else self.selection

    @model_validator(mode="after")
    def _check_protocol(self) -> Self:
        if self.protocol == "original" and self.mode == "call":
            raise ValueError("the default of `mode`, because `protocol: original` splits by utterance")
        return self

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        if self.selection_side == "development" and self.validation_share + self.development_share >= 1:
            raise ValueError("a sum of `validation_share` and `development_share` below 1")
        return self


class TrainingConfig(Configuration):
    """The hyper-parameters of a training. Defaults are the original pipeline's."""

    renamed: ClassVar[Mapping[str, str]] = {
        "person_share": "deferral_rate",
        "high_recall": "alarm_recall",
        "min_calibration_calls": "min_development_calls",
    }

    machine: ClassVar[frozenset[str]] = frozenset({"device"})

    epochs: int = Field(5, gt=0)
    """Passes over the training side."""

    batch_size: int = Field(16, gt=0)
    """Utterances per step."""

    learning_rate: float = Field(2e-5, gt=0, allow_inf_nan=False)
    """AdamW's learning rate in the first epoch."""

    weight_decay: float = Field(0.01, ge=0, allow_inf_nan=False)
    """AdamW's weight decay, on all parameters."""

    min_learning_rate: float = Field(1e-6, ge=0, allow_inf_nan=False)
    """Last value of the cosine schedule, which steps once per epoch."""

    clip_norm: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Maximum norm of the gradients; larger gradients are scaled down to it."""

    sentiment_weight: float = Field(0.4, ge=0, allow_inf_nan=False)
    """Weight of the sentiment loss."""

    urgency_weight: float = Field(0.6, ge=0, allow_inf_nan=False)
    """Weight of the urgency loss."""

    attention_heads: int = Field(4, gt=0)
    """Heads of the cross-attention; a divisor of the text model's width."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout of the output of the cross-attention and before the heads; the text encoder keeps its own."""

    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the weights of the cross-attention; the original has none."""

    max_length: int = Field(512, gt=0)
    """Maximum number of tokens of a text; the number that the text model takes if that is lower."""

    unknown_tokens_max: float = Field(0.3, ge=0, le=1)
    """Maximum share of unknown tokens in the training texts; above it the text model is refused. The default is
    assumed, not measured."""

    deferral_rate: float = Field(0.1, ge=0, lt=1)
    """Share of the development calls below the confidence threshold. A person decides calls below it."""

    alarm_recall: float = Field(0.95, gt=0, lt=1)
    """Share of the development calls of high urgency at or above the alarm threshold."""

    min_development_calls: int = Field(20, gt=0)
    """Minimum number of development calls to fit a temperature or a threshold for calls. The alarm threshold counts
    calls of high urgency only. With fewer calls the temperature for calls is 1, and there is no such threshold."""

    seed: int = Field(42, ge=0)
    """Seed of the initial weights, the order of the utterances and dropout."""

    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    """Precision of matrix products: `no` is float32, `bf16` is 16 bits, `fp16` is 16 bits on CUDA only."""

    device: str = AUTO
    """`auto` (CUDA, else MPS, else CPU) or a torch device."""

    def under(self, protocol: Protocol) -> Self:
        """The hyper-parameters under a protocol; the original fixes some of them."""
        return self.changed(**ORIGINAL_CHOICES) if protocol == "original" else self

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> Self:
        """The configuration on a model card; former option names are taken as their new ones.

        On a card from before the option `attention_dropout`, its value is that of `dropout`. `calibration_share` was
        an option of the training before it became `development_share` of the split.
        """
        present = {cls.renamed.get(name, name): value for name, value in values.items() if name != "calibration_share"}
        return cls(**{"attention_dropout": present.get("dropout", 0.0), **present})


class EvaluationConfig(Configuration):
    """How a model is evaluated on the validation side."""

    machine: ClassVar[frozenset[str]] = frozenset({"batch_size", "device"})

    batch_size: int = Field(64, gt=0)
    """Utterances per forward pass."""

    bootstrap_resamples: int = Field(RESAMPLES, gt=0)
    """Bootstrap samples of the calls for each 95 % interval."""

    cost_matrix: tuple[tuple[float, ...], ...] = COST_MATRIX
    """Cost of one call of each true urgency (rows: 하, 중, 상) predicted as each urgency (columns)."""

    seed: int = 42
    """Seed of the bootstrap."""

    device: str = AUTO
    """`auto` (CUDA, else MPS, else CPU) or a torch device."""

    @field_validator("cost_matrix")
    @classmethod
    def _check_costs(cls, costs: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        classes = len(URGENCY_LEVELS)
        if [len(row) for row in costs] != [classes] * classes or not all(cost >= 0 for row in costs for cost in row):
            raise ValueError(f"{classes} rows of {classes} costs of at least 0")
        return costs

    @property
    def bootstrap(self) -> BootstrapConfig:
        """The bootstrap of every interval."""
        return BootstrapConfig(resamples=self.bootstrap_resamples, seed=self.seed)

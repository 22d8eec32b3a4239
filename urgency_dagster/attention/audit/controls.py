"""Control cross-validations: on shuffled labels, and without the label history columns.

Folds, scaler, selector and models are those of the audited cross-validation; only the data differs.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from urgency_dagster.attention.audit.auroc import OrderedPairs, interval, within_participants
from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level
from urgency_dagster.attention.audit.label_history import every_history_column
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.protocol import BASELINE, CrossValidationConfig
from urgency_dagster.clusters import connected
from urgency_dagster.configuration import Configuration
from urgency_dagster.errors import NoFeatureError
from urgency_dagster.progress import Progress, no_progress

CONTROL_MODELS: tuple[Literal["logreg"], Literal["lgbm"]] = ("logreg", "lgbm")
"""One linear and one tree model. A leak through scaler, selector or folds affects both, and both are fast."""

MAX_HISTORY_DROP = 0.05
"""Maximum drop in macro-F1 without label history. A model with a larger drop depends on the label history.

The scores of honest models on this data set, 0.50 to 0.55, have the same range.
"""


class ControlConfig(Configuration):
    """The control cross-validations of the audit.

    One cross-validation of 2,619 rows and 3,356 columns takes up to a minute on one core.
    """

    machine: ClassVar[frozenset[str]] = frozenset({"num_cpus"})

    permutations: int = Field(3, ge=0)
    """How often the labels are shuffled and the control models cross-validated again; 0 turns this control off."""

    models: tuple[Literal["logreg", "rf", "lgbm", "voting", "xgb"], ...] = Field(CONTROL_MODELS, min_length=1)
    """The control models."""

    without_history: bool = True
    """Whether the control models are also cross-validated without the label history columns."""

    accept: tuple[str, ...] = ()
    """Ids of findings that a person accepts. Leaderboard and models are then made in spite of them. The findings stand
    in the title of the report, in the card of each model, and in a warning when a model is loaded."""

    num_cpus: int | None = Field(None, ge=1)
    """Cores of the private Ray cluster of this machine. null: all cores."""


@dataclass(frozen=True)
class ShuffledScore:
    """The score of one model on shuffled labels.

    Attributes:
        auroc: AUROC within participants over all permutations; None if the selector kept no feature in any of them.
        low: low end of its 99 % interval over participants.
        high: high end of the interval.
        permutations: number of permutations that could be fitted.
    """

    auroc: float | None
    low: float | None
    high: float | None
    permutations: int

    @property
    def at_chance(self) -> bool:
        """Whether 0.5 is in the interval. A model without features is at chance, too."""
        return self.low is None or self.high is None or self.low <= 0.5 <= self.high


@dataclass(frozen=True)
class Controls:
    """The scores of the control cross-validations.

    Attributes:
        shuffled: scores on shuffled labels by model; empty without permutations.
        with_history: mean scores over folds of the audited cross-validation, by model and score.
        without_history: the same without the label history columns; empty if there are none or the control is off.
    """

    shuffled: Mapping[str, ShuffledScore] = field(default_factory=dict)
    with_history: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    without_history: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def run_controls(
    data: AttentionData,
    metrics: Mapping[str, Mapping[str, Any]],
    config: ControlConfig,
    protocol: CrossValidationConfig,
    progress: Progress = no_progress,
) -> Controls:
    """Runs the control cross-validations.

    Args:
        data: the samples.
        metrics: stored metrics by model, including the control models and the baseline.
        config: the controls to run.
        protocol: the protocol of the audited cross-validation.
        progress: receives the number of finished cross-validations and the total.
    """
    columns = every_history_column(data) if config.without_history else []
    total = config.permutations + bool(columns)
    # One private Ray cluster for all: starting it takes longer than a small cross-validation.
    with connected(protocol.address, protocol.num_cpus) if protocol.backend == "ray" and total else nullcontext():
        shuffled = shuffled_scores(data, config, protocol, progress, remaining=bool(columns))
        without = _scores_without(data, columns, metrics, config.models, protocol) if columns else {}
    progress(total, total)
    return Controls(shuffled, {model: dict(metrics[model]["mean"]) for model in without}, without)


def shuffled_scores(
    data: AttentionData,
    config: ControlConfig,
    protocol: CrossValidationConfig,
    progress: Progress = no_progress,
    *,
    remaining: int = 0,
) -> dict[str, ShuffledScore]:
    """Cross-validates the control models on shuffled labels, where the expected AUROC is exactly 0.5.

    Labels are shuffled within each participant, and the AUROC compares rows of the same participant. Each participant
    keeps the same base rate, so the folds stay the same. Features that separate participants with different base rates
    are not a leak and do not change the score. The interval is slightly too narrow, because the labels of a participant
    are in the training rows of the others. In 150 honest runs with 20 participants, 96 % of the 99 % intervals held
    0.5.

    Args:
        data: the samples.
        config: models and number of permutations.
        protocol: the protocol of the audited cross-validation.
        progress: receives the number of finished cross-validations and the total.
        remaining: number of cross-validations that follow, for the total.
    """
    runs = []
    for number in range(config.permutations):
        runs.append(_shuffled_run(shuffled_labels(data, protocol.seed + number), config.models, protocol))
        progress(number + 1, config.permutations + remaining)
    return {model: _pooled([run[model] for run in runs if run]) for model in config.models} if runs else {}


def shuffled_labels(data: AttentionData, seed: int) -> AttentionData:
    """The data with the labels shuffled within each participant."""
    rng = np.random.default_rng(seed)
    y = data.y.copy()
    for participant in np.unique(data.groups):
        rows = np.flatnonzero(data.groups == participant)
        y[rows] = rng.permutation(y[rows])
    return dataclasses.replace(data, y=y)


def _shuffled_run(
    data: AttentionData, models: Sequence[str], protocol: CrossValidationConfig
) -> dict[str, OrderedPairs]:
    """The ordered pairs of each model; empty if the selector keeps no feature, as expected on shuffled labels."""
    try:
        results = cross_validate(data, models, protocol)
    except NoFeatureError:
        return {}
    return {
        model: within_participants(result.predictions[["probability"]].to_numpy(), data.y, data.groups)
        for model, result in results.items()
    }


def _pooled(runs: Sequence[OrderedPairs]) -> ShuffledScore:
    if not runs:
        return ShuffledScore(None, None, None, 0)
    pairs = OrderedPairs(np.sum([run.ordered for run in runs], axis=0), np.sum([run.pairs for run in runs], axis=0))
    low, high = interval(pairs.resampled()[:, 0])
    return ShuffledScore(float(pairs.auroc[0]), low, high, len(runs))


def _scores_without(
    data: AttentionData,
    columns: Sequence[str],
    metrics: Mapping[str, Mapping[str, Any]],
    models: Sequence[str],
    protocol: CrossValidationConfig,
) -> dict[str, dict[str, float]]:
    """Mean scores over folds without some columns; the baseline's scores if the selector keeps no other feature."""
    scores = ("accuracy", "f1_macro", "roc_auc")
    reduced = dataclasses.replace(data, X=data.X.drop(columns=list(columns)))
    try:
        results = cross_validate(reduced, models, protocol)
    except NoFeatureError:
        return {model: {score: metrics[BASELINE]["mean"][score] for score in scores} for model in models}
    return {model: {score: float(result.folds[score].mean()) for score in scores} for model, result in results.items()}


def control_findings(controls: Controls) -> Iterator[Finding]:
    """The findings of the controls."""
    off_chance = {model: score for model, score in controls.shuffled.items() if not score.at_chance}
    if off_chance:
        message = "On shuffled labels these models are not at chance: training uses information of the test rows."
        figures = {model: score.auroc for model, score in off_chance.items() if score.auroc is not None}
        yield Finding.of_names(Level.SUSPICION, FindingKind.NOT_AT_CHANCE, message, list(off_chance), figures)
    elif controls.shuffled:
        message = "On shuffled labels every control model is at chance."
        figures = {model: score.auroc for model, score in controls.shuffled.items() if score.auroc is not None}
        yield Finding.of_names(Level.NOTE, FindingKind.AT_CHANCE, message, list(controls.shuffled), figures)
    drops = {
        model: controls.with_history[model]["f1_macro"] - scores["f1_macro"]
        for model, scores in controls.without_history.items()
    }
    dependent = {model: drop for model, drop in drops.items() if drop > MAX_HISTORY_DROP}
    if dependent:
        message = f"Without label history the macro-F1 of these models drops by more than {MAX_HISTORY_DROP:.2f}."
        yield Finding.of_names(Level.SUSPICION, FindingKind.HISTORY_CARRIES, message, list(dependent), dependent)

"""Cross-validations that an honest protocol must pass: on shuffled labels, and without the label history.

The same folds, scaler, selector and models as in the judged run; only the data differs.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import Field

from urgency_dagster.attention.audit.auroc import OrderedPairs, interval, within_participants
from urgency_dagster.attention.audit.findings import Finding, Kind, Level
from urgency_dagster.attention.audit.label_history import history_columns
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.parallel import connected
from urgency_dagster.attention.validation.protocol import BASELINE, CrossValidationConfig
from urgency_dagster.configuration import Configuration
from urgency_dagster.errors import NoFeatureError
from urgency_dagster.progress import Progress, silent

CONTROL_MODELS: tuple[Literal["logreg"], Literal["lgbm"]] = ("logreg", "lgbm")
"""One linear and one tree model: what leaks through scaler, selector or folds reaches both, and both are cheap."""

HISTORY_DROP = 0.05
"""A macro-F1 that falls by more than this without label history rests on it.

Honest models on this data set differ by as much from worst to best, 0.50 to 0.55.
"""


class ControlConfig(Configuration):
    """The control cross-validations of the audit.

    One cross-validation of 2,619 rows and 3,356 columns takes up to a minute on one core.
    """

    permutations: int = Field(3, ge=0)
    """How often the labels are shuffled and the control models cross-validated again; 0 turns this control off."""

    models: tuple[Literal["logreg", "rf", "lgbm", "voting", "xgb"], ...] = Field(CONTROL_MODELS, min_length=1)
    """The control models."""

    without_history: bool = True
    """Whether the control models are also cross-validated without the label history columns."""


@dataclass(frozen=True)
class ShuffledScore:
    """How a model does on shuffled labels.

    Attributes:
        auroc: within participants, over all permutations; None when the selector kept no feature in any of them.
        low: the lower end of its interval over participants.
        high: the upper end.
        permutations: how many of the permutations could be fitted.
    """

    auroc: float | None
    low: float | None
    high: float | None
    permutations: int

    @property
    def at_chance(self) -> bool:
        """Whether 0.5 lies in the interval; models that found nothing to be fitted on are at chance too."""
        return self.low is None or self.high is None or self.low <= 0.5 <= self.high


@dataclass(frozen=True)
class Controls:
    """What the controls came to.

    Attributes:
        shuffled: by model; empty when no permutation was asked for.
        with_history: mean scores over folds of the judged run, by model and score.
        without_history: the same without the label history columns; empty when there are none, or not asked for.
    """

    shuffled: Mapping[str, ShuffledScore] = field(default_factory=dict)
    with_history: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    without_history: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def run_controls(
    data: AttentionData,
    judged: Mapping[str, Mapping[str, Any]],
    config: ControlConfig,
    protocol: CrossValidationConfig,
    progress: Progress = silent,
) -> Controls:
    """Both controls; 2,619 rows of 3,356 columns take half a minute to a minute each time on one core.

    Args:
        data: the samples.
        judged: the metrics of the judged models, the control models and the baseline among them.
        config: what is run again.
        protocol: that of the judged run.
        progress: told the number of finished cross-validations.
    """
    columns = list(history_columns(data)) if config.without_history else []
    total = config.permutations + bool(columns)
    # One private Ray for all cross-validations: starting it takes longer than a small one of them.
    with connected(protocol.address) if protocol.backend == "ray" and total else nullcontext():
        shuffled = shuffled_scores(data, config, protocol, progress, more=bool(columns))
        without = _scores_without(data, columns, judged, config.models, protocol) if columns else {}
    progress(total, total)
    return Controls(shuffled, {model: dict(judged[model]["mean"]) for model in without}, without)


def shuffled_scores(
    data: AttentionData,
    config: ControlConfig,
    protocol: CrossValidationConfig,
    progress: Progress = silent,
    *,
    more: int = 0,
) -> dict[str, ShuffledScore]:
    """Each control model fitted and judged on shuffled labels, where it must not be better or worse than a coin.

    Labels change places within a participant only, and pairs of rows are compared within a participant only. Everybody
    keeps their base rate, so that the folds stay what they are, and what features tell of people who answer alike,
    which is no leak, cannot move the score: whatever the models learn, its expectation is exactly 0.5. The interval is
    a little narrow, because each participant's labels are in the models that judge the others: of 150 honest runs on
    20 participants, 96 % of the 99 % intervals held 0.5.

    Args:
        data: the samples.
        config: models and permutations.
        protocol: that of the judged run.
        progress: told the number of finished cross-validations.
        more: how many will follow these.
    """
    runs = []
    for number in range(config.permutations):
        runs.append(_shuffled_run(shuffled_labels(data, protocol.seed + number), config.models, protocol))
        progress(number + 1, config.permutations + more)
    return {model: _pooled([run[model] for run in runs if run]) for model in config.models} if runs else {}


def shuffled_labels(data: AttentionData, seed: int) -> AttentionData:
    """The data with the labels of each participant in another order."""
    rng = np.random.default_rng(seed)
    y = data.y.copy()
    for participant in np.unique(data.groups):
        rows = np.flatnonzero(data.groups == participant)
        y[rows] = rng.permutation(y[rows])
    return dataclasses.replace(data, y=y)


def _shuffled_run(
    data: AttentionData, models: Sequence[str], protocol: CrossValidationConfig
) -> dict[str, OrderedPairs]:
    """Each model's ordered pairs; none when the selector finds nothing in the shuffled labels, as it should."""
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
    judged: Mapping[str, Mapping[str, Any]],
    models: Sequence[str],
    protocol: CrossValidationConfig,
) -> dict[str, dict[str, float]]:
    """Mean scores over folds without some columns; those of the baseline when the selector keeps nothing else."""
    scores = ("accuracy", "f1_macro", "roc_auc")
    fewer = dataclasses.replace(data, X=data.X.drop(columns=list(columns)))
    try:
        results = cross_validate(fewer, models, protocol)
    except NoFeatureError:
        return {model: {score: judged[BASELINE]["mean"][score] for score in scores} for model in models}
    return {model: {score: float(result.folds[score].mean()) for score in scores} for model, result in results.items()}


def control_findings(controls: Controls) -> Iterator[Finding]:
    """What the controls say about the scores."""
    away = {model: score for model, score in controls.shuffled.items() if not score.at_chance}
    if away:
        message = "On shuffled labels these models are not at chance: something of the test rows reaches the training."
        figures = {model: score.auroc for model, score in away.items() if score.auroc is not None}
        yield Finding.of_names(Level.SUSPICION, Kind.NOT_AT_CHANCE, message, list(away), figures)
    elif controls.shuffled:
        message = "On shuffled labels every control model is at chance."
        figures = {model: score.auroc for model, score in controls.shuffled.items() if score.auroc is not None}
        yield Finding.of_names(Level.NOTE, Kind.AT_CHANCE, message, list(controls.shuffled), figures)
    drops = {
        model: controls.with_history[model]["f1_macro"] - scores["f1_macro"]
        for model, scores in controls.without_history.items()
    }
    carried = {model: drop for model, drop in drops.items() if drop > HISTORY_DROP}
    if carried:
        message = f"Without label history the macro-F1 of these models falls by more than {HISTORY_DROP:.2f}."
        yield Finding.of_names(Level.SUSPICION, Kind.HISTORY_CARRIES, message, list(carried), carried)

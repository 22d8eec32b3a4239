"""Cross-validation: participants are split into folds, and each model is fitted and judged on each.

What a fold does is here, in plain scikit-learn; how the same functions run as tasks on Ray is in `parallel`.
"""

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing
from types import TracebackType

import numpy as np
import pandas as pd

from urgency_dagster.attention.metrics import fold_table, prediction_table
from urgency_dagster.attention.pickles import AttentionData
from urgency_dagster.attention.protocol import (
    BASELINE,
    MODEL_NAMES,
    VOTERS,
    CrossValidationConfig,
    Fold,
    FoldOutcome,
    ModelResult,
    PreparedFold,
)
from urgency_dagster.errors import AttentionError
from urgency_dagster.progress import Progress, silent

VOTING = "voting"


def cross_validate(
    data: AttentionData, models: Sequence[str], config: CrossValidationConfig, progress: Progress = silent
) -> dict[str, ModelResult]:
    """The out-of-fold predictions and scores of each model, by name.

    Scaler and selector are fitted once per fold on its training rows and shared by all models. `voting` averages the
    probabilities of the fold's own members, which is what refitting them would give.

    Args:
        data: the samples.
        models: names from MODEL_NAMES or BASELINE, at least one.
        config: folds, seed, and where the fits run.
        progress: told the number of finished fits.

    Raises:
        AttentionError: an unknown model, or folds that cannot be made (see `split_folds`).
        Exception: whatever a fit raises, with a note that names its model and fold.
    """
    _check_models(models)
    folds = split_folds(data.y, data.groups, config)
    fitted = [model for model in (*MODEL_NAMES, BASELINE) if model in members_to_fit(models)]
    outcomes = {}
    # Closing stops a private Ray at once, also when a fit fails.
    with closing(_outcomes(data, folds, fitted, config)) as finished:
        for done, outcome in enumerate(finished, start=1):
            outcomes[outcome.model, outcome.fold] = outcome
            progress(done, len(folds) * len(fitted))
    if VOTING in models:
        outcomes |= {(VOTING, fold.number): vote([outcomes[name, fold.number] for name in VOTERS]) for fold in folds}
    return {model: _result(data, model, folds, [outcomes[model, f.number] for f in folds], config) for model in models}


def _outcomes(
    data: AttentionData, folds: Sequence[Fold], models: Sequence[str], config: CrossValidationConfig
) -> Generator[FoldOutcome, None, None]:
    if config.backend == "ray":
        from urgency_dagster.attention.parallel import fit_on_ray

        return fit_on_ray(data, folds, models, config)
    return _fit_sequentially(data, folds, models, config.seed)


def _fit_sequentially(
    data: AttentionData, folds: Sequence[Fold], models: Sequence[str], seed: int
) -> Generator[FoldOutcome, None, None]:
    for fold in folds:
        with Naming("the scaler and selector", fold.number):
            prepared = prepare_fold(data.X, data.y, data.groups, fold, seed)
        for model in models:
            with Naming(model, fold.number):
                outcome = fit_and_predict(model, prepared, seed)
            yield outcome


def _check_models(models: Sequence[str]) -> None:
    unknown = sorted(set(models).difference(MODEL_NAMES, [BASELINE]))
    if unknown or not models:
        received = f"unknown models: {', '.join(unknown)}" if unknown else "no model"
        raise AttentionError(received, f"some of {', '.join((*MODEL_NAMES, BASELINE))}", "correct the names")


def members_to_fit(models: Sequence[str]) -> set[str]:
    """The models that are fitted themselves: all but `voting`, whose members take its place."""
    return set(models).difference([VOTING]).union(VOTERS if VOTING in models else ())


def split_folds(y: np.ndarray, groups: np.ndarray, config: CrossValidationConfig) -> tuple[Fold, ...]:
    """The folds: stratified by label, no participant on both sides.

    Args:
        y: (N,) 0 or 1.
        groups: (N,) the participant of each row.
        config: number of folds and seed.

    Raises:
        AttentionError: fewer participants, or fewer rows of a class, than folds; a side with one class or no row.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    participants, rarest = len(np.unique(groups)), int(min((y == 0).sum(), (y == 1).sum()))
    if min(participants, rarest) < config.n_splits:
        received = f"{participants} participants and {rarest} rows of the rarer class"
        raise AttentionError(received, f"at least {config.n_splits} of each", "lower n_splits or add participants")
    splitter = StratifiedGroupKFold(config.n_splits, shuffle=True, random_state=config.seed)
    splits = splitter.split(np.zeros((len(y), 1)), y, groups)
    folds = tuple(Fold(number, train, test) for number, (train, test) in enumerate(splits, start=1))
    for fold in folds:
        for side, rows in (("training", fold.train), ("test", fold.test)):
            if len(np.unique(y[rows])) < 2:
                received = f"the {side} rows of fold {fold.number} ({len(rows)}) do not hold both classes"
                raise AttentionError(received, "both classes on both sides", "lower n_splits or change the seed")
    return folds


def prepare_fold(X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, fold: Fold, seed: int) -> PreparedFold:
    """The fold scaled and selected, both fitted on its training rows only.

    Raises:
        AttentionError: the selector keeps no feature.
    """
    from urgency_dagster.attention.estimators import fit_preprocessing, one_thread

    with one_thread():
        X_train = X.iloc[fold.train]
        preprocessing = fit_preprocessing(X_train, y[fold.train], seed)
        return PreparedFold(
            number=fold.number,
            X_train=preprocessing.transform(X_train),
            y_train=y[fold.train],
            groups_train=groups[fold.train],
            X_test=preprocessing.transform(X.iloc[fold.test]),
        )


def fit_and_predict(model: str, prepared: PreparedFold, seed: int) -> FoldOutcome:
    """One model fitted on one fold's training rows, on one thread, and asked about its test rows."""
    from urgency_dagster.attention.estimators import fit_estimator, one_thread

    with one_thread():
        # Arrays that come from Ray's object store are read-only, and not every library copies what it changes.
        X, y = prepared.X_train.copy(), prepared.y_train.copy()
        estimator = fit_estimator(model, X, y, prepared.groups_train, seed)
        probability = estimator.predict_proba(prepared.X_test.copy())[:, 1].astype(np.float64)
    return FoldOutcome(model, prepared.number, X.shape[1], probability)


def vote(members: Sequence[FoldOutcome]) -> FoldOutcome:
    """The soft vote of one fold's members: the mean of their probabilities."""
    probability = np.mean([member.probability for member in members], axis=0)
    return FoldOutcome(VOTING, members[0].fold, members[0].n_features, probability)


def _result(
    data: AttentionData,
    model: str,
    folds: Sequence[Fold],
    outcomes: Sequence[FoldOutcome],
    config: CrossValidationConfig,
) -> ModelResult:
    predictions = prediction_table(data, folds, outcomes)
    return ModelResult(model, predictions, fold_table(predictions, outcomes), data.source_sha256, config)


class Naming(AbstractContextManager[None]):
    """Adds to any exception of its block which model and fold it comes from."""

    def __init__(self, model: str, fold: int) -> None:
        self.note = f"while fitting {model} in fold {fold}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leaves the exception as it is, but for the note."""
        if isinstance(error, Exception):
            error.add_note(self.note)

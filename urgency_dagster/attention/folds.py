"""One fold: participants on two sides, scaler and selector fitted on one, models fitted there and judged on the other.

Plain scikit-learn. Which folds and models are run, and where, is in `cross_validation` and `parallel`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType

import numpy as np
import pandas as pd

from urgency_dagster.attention.protocol import (
    CrossValidationConfig,
    Fold,
    FoldOutcome,
    PreparedFold,
)
from urgency_dagster.errors import AttentionError

VOTING = "voting"


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
        NoFeatureError: the selector keeps no feature.
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

"""One fold: splits the participants, fits scaler, selector and models on the training rows, predicts the test rows.

Plain scikit-learn. `cross_validation` and `parallel` decide which folds and models run, and where.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from urgency_dagster.attention.validation.protocol import (
    LOGREG,
    LOGREG_ON_ALL,
    VOTING,
    Fold,
    FoldOutcome,
    PreparedFold,
    Protocol,
)
from urgency_dagster.errors import AttentionError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def split_folds(y: np.ndarray, groups: np.ndarray, protocol: Protocol) -> tuple[Fold, ...]:
    """The folds. No participant is on both sides, and the training rows hold both classes.

    The test rows of `stratified_group` hold both classes, too. The test rows of `logo` belong to one participant and
    may hold one class only; some scores are undefined then (see `metrics`).

    Args:
        y: (N,) 0 or 1.
        groups: (N,) the participant of each row.
        protocol: splitter, number of folds and seed.

    Raises:
        AttentionError: fewer participants or fewer rows of a class than folds; training or test rows of a fold lack a
            class; with `logo`, fewer than two participants have rows of both classes.
    """
    folds = _leave_one_out(y, groups) if protocol.splitter == "logo" else _stratified(y, groups, protocol)
    for fold in folds:
        _check_classes(y, fold.train, f"the training rows of fold {fold.number}", _REMEDY[protocol.splitter])
    return folds


_REMEDY: Mapping[str, str] = {
    "stratified_group": "lower n_splits or change the seed",
    "logo": "use stratified_group or add participants",
}


def _stratified(y: np.ndarray, groups: np.ndarray, protocol: Protocol) -> tuple[Fold, ...]:
    from sklearn.model_selection import StratifiedGroupKFold

    participants, rarest = len(np.unique(groups)), int(min((y == 0).sum(), (y == 1).sum()))
    if min(participants, rarest) < protocol.n_splits:
        received = f"{participants} participants and {rarest} rows of the rarer class"
        raise AttentionError(received, f"at least {protocol.n_splits} of each", "lower n_splits or add participants")
    splitter = StratifiedGroupKFold(protocol.n_splits, shuffle=True, random_state=protocol.seed)
    folds = _numbered(splitter.split(np.zeros((len(y), 1)), y, groups))
    for fold in folds:
        _check_classes(y, fold.test, f"the test rows of fold {fold.number}", _REMEDY["stratified_group"])
    return folds


def _leave_one_out(y: np.ndarray, groups: np.ndarray) -> tuple[Fold, ...]:
    from sklearn.model_selection import LeaveOneGroupOut

    participants = np.unique(groups)
    both = sum(len(np.unique(y[groups == participant])) == 2 for participant in participants)
    if both < 2:
        received = f"{both} of {len(participants)} participants have rows of both classes"
        raise AttentionError(received, "at least 2", _REMEDY["logo"])
    return _numbered(LeaveOneGroupOut().split(np.zeros((len(y), 1)), y, groups))


def _numbered(splits: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[Fold, ...]:
    return tuple(Fold(number, train, test) for number, (train, test) in enumerate(splits, start=1))


def _check_classes(y: np.ndarray, rows: np.ndarray, name: str, remedy: str) -> None:
    if len(np.unique(y[rows])) < 2:
        raise AttentionError(f"{name} ({len(rows)}) do not hold both classes", "both classes", remedy)


def prepare_fold(X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, fold: Fold, protocol: Protocol) -> PreparedFold:
    """Scales, selects and, if the protocol says so, oversamples. Everything is fitted on the training rows only.

    Raises:
        NoFeatureError: the selector keeps no feature.
        AttentionError: the rows cannot be oversampled.
    """
    from urgency_dagster.attention.validation.models import fit_preprocessing, one_thread, training_rows

    with one_thread():
        X_train, y_train = X.iloc[fold.train], y[fold.train]
        preprocessing = fit_preprocessing(X_train, y_train, protocol)

        def prepared(steps: "Pipeline", **more: PreparedFold) -> PreparedFold:
            return PreparedFold(
                number=fold.number,
                train=training_rows(steps, X_train, y_train, groups[fold.train], protocol),
                X_test=steps.transform(X.iloc[fold.test]),
                features=steps.get_feature_names_out().astype(str),
                **more,
            )

        # All features of all rows take as much memory as X, so they are kept only if a model needs them.
        more = {} if protocol.select_logreg else {"all_features": prepared(preprocessing[:1])}
        return prepared(preprocessing, **more)


def fit_and_predict(model: str, prepared: PreparedFold, protocol: Protocol) -> FoldOutcome:
    """Fits one model on the training rows of one fold, on one thread, and predicts test and training rows.

    Synthetic rows of the oversampler are not predicted.
    """
    from urgency_dagster.attention.validation.models import fit_estimator, importances_of, one_thread

    with one_thread():
        # Arrays from Ray's object store are read-only, and some libraries write to their input.
        unselected = prepared.all_features if model == LOGREG_ON_ALL else None
        writable = deepcopy(unselected or prepared)
        estimator = fit_estimator(LOGREG if unselected else model, writable.train, protocol)
        test, train = (estimator.predict_proba(X)[:, 1].astype(np.float64) for X in (writable.X_test, writable.train.X))
    importances = importances_of(estimator, writable.X_test.shape[1])
    return FoldOutcome(model, prepared.number, test, train, writable.features, importances)


def vote(members: Sequence[FoldOutcome]) -> FoldOutcome:
    """The soft vote of one fold: the mean of its members' probabilities and importances."""
    probability, train_probability, importances = (
        np.mean([getattr(member, name) for member in members], axis=0)
        for name in ("probability", "train_probability", "importances")
    )
    first = members[0]
    return FoldOutcome(VOTING, first.fold, probability, train_probability, first.features, importances)


class Failures:
    """Collects the exceptions of fits, so that the other fits can finish first."""

    def __init__(self) -> None:
        self._errors: list[Exception] = []

    @contextmanager
    def collected(self, model: str, fold: int) -> Iterator[None]:
        """A block whose exception is collected, with a note that names the model and the fold."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - `raise_first` raises it
            error.add_note(f"while fitting {model} in fold {fold}")
            self._errors.append(error)

    def raise_first(self) -> None:
        """Raises the first exception, if there is one, with a note that counts the others."""
        if self._errors:
            first, *others = self._errors
            if others:
                first.add_note(f"{len(others)} more fits failed; the other fits are finished")
            raise first

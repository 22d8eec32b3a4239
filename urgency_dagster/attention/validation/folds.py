"""One fold: participants on two sides, scaler and selector fitted on one, models fitted there and judged on the other.

Plain scikit-learn. Which folds and models are run, and where, is in `cross_validation` and `parallel`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
import pandas as pd

from urgency_dagster.attention.validation.protocol import Fold, FoldOutcome, PreparedFold, Protocol
from urgency_dagster.errors import AttentionError

VOTING = "voting"


def split_folds(y: np.ndarray, groups: np.ndarray, protocol: Protocol) -> tuple[Fold, ...]:
    """The folds: no participant on both sides, and both classes among the training rows.

    The test rows of `stratified_group` hold both classes, too. Those of `logo`, which are what one participant said,
    may hold one: some scores do not exist there (see `metrics`).

    Args:
        y: (N,) 0 or 1.
        groups: (N,) the participant of each row.
        protocol: splitter, number of folds and seed.

    Raises:
        AttentionError: fewer participants, or fewer rows of a class, than folds; a side without a row or a class that
            it must hold; fewer than two test folds with both classes.
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


def _check_classes(y: np.ndarray, rows: np.ndarray, what: str, remedy: str) -> None:
    if len(np.unique(y[rows])) < 2:
        raise AttentionError(f"{what} ({len(rows)}) do not hold both classes", "both classes", remedy)


def prepare_fold(X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, fold: Fold, protocol: Protocol) -> PreparedFold:
    """The fold scaled, selected and, when the protocol says so, oversampled, all from its training rows only.

    Raises:
        NoFeatureError: the selector keeps no feature.
        AttentionError: the rows cannot be oversampled.
    """
    from urgency_dagster.attention.validation.models import fit_preprocessing, one_thread, training_rows

    with one_thread():
        X_train, y_train = X.iloc[fold.train], y[fold.train]
        preprocessing = fit_preprocessing(X_train, y_train, protocol.seed)
        return PreparedFold(
            number=fold.number,
            train=training_rows(preprocessing, X_train, y_train, groups[fold.train], protocol),
            X_test=preprocessing.transform(X.iloc[fold.test]),
            features=preprocessing.get_feature_names_out().astype(str),
        )


def fit_and_predict(model: str, prepared: PreparedFold, protocol: Protocol) -> FoldOutcome:
    """One model fitted on one fold's training rows, on one thread, and asked about both sides.

    Of the training rows, only those that are real count: not what oversampling adds.
    """
    from urgency_dagster.attention.validation.models import fit_estimator, importances_of, one_thread

    with one_thread():
        # Arrays that come from Ray's object store are read-only, and not every library copies what it changes.
        own = deepcopy(prepared)
        estimator = fit_estimator(model, own.train, protocol)
        test, train = (estimator.predict_proba(X)[:, 1].astype(np.float64) for X in (own.X_test, own.train.X))
    importances = importances_of(estimator, own.X_test.shape[1])
    return FoldOutcome(model, prepared.number, test, train, prepared.features, importances)


def vote(members: Sequence[FoldOutcome]) -> FoldOutcome:
    """The soft vote of one fold's members: the mean of their probabilities, and of their importances."""
    probability, train_probability, importances = (
        np.mean([getattr(member, name) for member in members], axis=0)
        for name in ("probability", "train_probability", "importances")
    )
    first = members[0]
    return FoldOutcome(VOTING, first.fold, probability, train_probability, first.features, importances)


class Failures:
    """The exceptions of fits, held back until the other fits are finished, so that these are not lost."""

    def __init__(self) -> None:
        self._held: list[Exception] = []

    @contextmanager
    def of(self, model: str, fold: int) -> Iterator[None]:
        """A block whose exception is held back, with a note that names the model and the fold."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it is raised again, whatever it is
            error.add_note(f"while fitting {model} in fold {fold}")
            self._held.append(error)

    def raise_first(self) -> None:
        """Raises the exception that came first, if any, with a note that counts the others."""
        if self._held:
            first, *others = self._held
            if others:
                first.add_note(f"{len(others)} more failed; the fits that did not are finished")
            raise first

"""Cross-validation of all models: every fold and model is fitted, here one after another or as tasks on Ray.

What happens within one fold is in `folds`; how its functions run as tasks is in `parallel`.
"""

from collections.abc import Generator, Sequence, Set
from contextlib import closing

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.fit_cache import FinishedFits
from urgency_dagster.attention.validation.folds import (
    VOTING,
    Failures,
    fit_and_predict,
    prepare_fold,
    split_folds,
    vote,
)
from urgency_dagster.attention.validation.metrics import fold_table, importance_table, prediction_table
from urgency_dagster.attention.validation.parallel import FoldWork, fit_on_ray
from urgency_dagster.attention.validation.protocol import (
    BASELINE,
    MODEL_NAMES,
    VOTERS,
    CrossValidationConfig,
    Fold,
    FoldOutcome,
    ModelResult,
    Protocol,
)
from urgency_dagster.errors import AttentionError
from urgency_dagster.progress import Progress, silent

SLOWEST_FIRST = ("rf", "lgbm", "xgb", "logreg", BASELINE)
"""The models that are fitted themselves. A short fit at the end leaves no core waiting for long."""

Outcomes = dict[tuple[str, int], FoldOutcome]
"""What was found, by model and fold."""


def cross_validate(
    data: AttentionData,
    models: Sequence[str],
    config: CrossValidationConfig,
    progress: Progress = silent,
    finished: FinishedFits | None = None,
) -> dict[str, ModelResult]:
    """The out-of-fold predictions and scores of each model, by name.

    Scaler and selector are fitted once per fold on its training rows and shared by all models. `voting` averages the
    probabilities of the fold's own members, which is what refitting them would give.

    Args:
        data: the samples.
        models: names from MODEL_NAMES or BASELINE, at least one.
        config: the protocol, and where the fits run.
        progress: told the number of finished fits.
        finished: where each fit is kept as soon as it is finished; one that is kept there is not fitted again.

    Raises:
        AttentionError: an unknown model, or folds that cannot be made (see `split_folds`).
        Exception: whatever a fit raises, with a note that names its model and fold, when the other fits are finished
            and kept.
    """
    _check_models(models)
    folds = split_folds(data.y, data.groups, config)
    fitted = [model for model in SLOWEST_FIRST if model in members_to_fit(models)]
    outcomes = _kept(finished, folds, fitted)
    reused = set(outcomes)
    work = [(fold, [model for model in fitted if (model, fold.number) not in reused]) for fold in folds]
    # Closing stops a private Ray at once, also when a fit fails.
    with closing(_outcomes(data, [(fold, left) for fold, left in work if left], config)) as fits:
        for outcome in fits:
            if finished:
                finished.keep(outcome)
            outcomes[outcome.model, outcome.fold] = outcome
            progress(len(outcomes), len(folds) * len(fitted))
    return {model: _result(data, model, folds, outcomes, reused, config) for model in models}


def _kept(finished: FinishedFits | None, folds: Sequence[Fold], models: Sequence[str]) -> Outcomes:
    if finished is None:
        return {}
    found = [finished.read(model, fold) for fold in folds for model in models]
    return {(outcome.model, outcome.fold): outcome for outcome in found if outcome}


def _outcomes(
    data: AttentionData, work: Sequence[FoldWork], config: CrossValidationConfig
) -> Generator[FoldOutcome, None, None]:
    if config.backend == "ray" and work:
        return fit_on_ray(data, work, config)
    return _fit_sequentially(data, work, config)


def _fit_sequentially(
    data: AttentionData, work: Sequence[FoldWork], protocol: Protocol
) -> Generator[FoldOutcome, None, None]:
    failures = Failures()
    for fold, models in work:
        prepared = None
        with failures.of("the scaler and selector", fold.number):
            prepared = prepare_fold(data.X, data.y, data.groups, fold, protocol)
        for model in models if prepared else ():
            with failures.of(model, fold.number):
                yield fit_and_predict(model, prepared, protocol)
    failures.raise_first()


def _check_models(models: Sequence[str]) -> None:
    unknown = sorted(set(models).difference(MODEL_NAMES, [BASELINE]))
    if unknown or not models:
        received = f"unknown models: {', '.join(unknown)}" if unknown else "no model"
        raise AttentionError(received, f"some of {', '.join((*MODEL_NAMES, BASELINE))}", "correct the names")


def members_to_fit(models: Sequence[str]) -> set[str]:
    """The models that are fitted themselves: all but `voting`, whose members take its place."""
    return set(models).difference([VOTING]).union(VOTERS if VOTING in models else ())


def _result(
    data: AttentionData,
    model: str,
    folds: Sequence[Fold],
    outcomes: Outcomes,
    reused: Set[tuple[str, int]],
    config: CrossValidationConfig,
) -> ModelResult:
    members = VOTERS if model == VOTING else (model,)
    of_folds = [[outcomes[name, fold.number] for name in members] for fold in folds]
    own = [vote(found) if model == VOTING else found[0] for found in of_folds]
    return ModelResult(
        model=model,
        predictions=prediction_table(data, folds, own),
        folds=fold_table(data, folds, own),
        importances=importance_table(own),
        source_sha256=data.source_sha256,
        config=config,
        reused=sum(all((name, fold.number) in reused for name in members) for fold in folds),
    )

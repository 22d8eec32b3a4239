"""Cross-validation of all models: fits every model in every fold, in this process or as Ray tasks.

One fold is in `folds`, the Ray tasks are in `parallel`.
"""

from collections.abc import Generator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.fit_cache import FitCache
from urgency_dagster.attention.validation.folds import Failures, fit_and_predict, prepare_fold, split_folds, vote
from urgency_dagster.attention.validation.metrics import fold_table, importance_table, prediction_table
from urgency_dagster.attention.validation.parallel import FoldWork, fit_on_ray
from urgency_dagster.attention.validation.protocol import (
    BASELINE,
    LOGREG,
    LOGREG_ON_ALL,
    MODEL_NAMES,
    VOTING,
    CrossValidationConfig,
    Fold,
    FoldOutcome,
    ModelResult,
    Protocol,
)
from urgency_dagster.errors import AttentionError
from urgency_dagster.progress import Progress, no_progress

SLOWEST_FIRST = ("rf", LOGREG_ON_ALL, "lgbm", "xgb", LOGREG, BASELINE)
"""The fitted models, slowest first: cores are busy until the end if the last fits are short."""

Outcomes = dict[tuple[str, int], FoldOutcome]
"""The outcome of each fit, by model and fold number."""


def cross_validate(
    data: AttentionData,
    models: Sequence[str],
    config: CrossValidationConfig,
    progress: Progress = no_progress,
    cache: FitCache | None = None,
) -> dict[str, ModelResult]:
    """Cross-validates models on one data set; returns the result of each model by name.

    Scaler and selector are fitted once per fold, on its training rows, and shared by all models. `voting` averages the
    probabilities of its members in the same fold; refitting the members would give the same numbers.

    Args:
        data: the samples.
        models: names from MODEL_NAMES or BASELINE, at least one.
        config: the protocol, and where the fits run.
        progress: receives the number of finished fits and the total.
        cache: stores each finished fit; a stored fit is reused.

    Raises:
        AttentionError: a model is unknown, or the folds cannot be made (see `split_folds`).
        Exception: the first exception of a fit, with a note that names its model and fold. It is raised after the
            other fits are finished and stored.
    """
    _check_models(models)
    folds = split_folds(data.y, data.groups, config)
    needed = {fit for model in models for fit in config.fits_of(model)}
    fitted = [fit for fit in SLOWEST_FIRST if fit in needed]
    outcomes = _cached(cache, folds, fitted)
    reused = set(outcomes)
    work = [(fold, [model for model in fitted if (model, fold.number) not in reused]) for fold in folds]
    # Closing the generator stops a private Ray cluster at once, also if a fit fails.
    with closing(_outcomes(data, [(fold, rest) for fold, rest in work if rest], config)) as fits:
        for outcome in fits:
            if cache:
                cache.write(outcome)
            outcomes[outcome.model, outcome.fold] = outcome
            progress(len(outcomes), len(folds) * len(fitted))
    return {model: _result(data, model, folds, outcomes, reused, config) for model in models}


def _cached(cache: FitCache | None, folds: Sequence[Fold], models: Sequence[str]) -> Outcomes:
    if cache is None:
        return {}
    stored = [cache.read(model, fold) for fold in folds for model in models]
    return {(outcome.model, outcome.fold): outcome for outcome in stored if outcome}


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
        with failures.collected("the scaler and selector", fold.number):
            prepared = prepare_fold(data.X, data.y, data.groups, fold, protocol)
        for model in models if prepared else ():
            with failures.collected(model, fold.number):
                yield fit_and_predict(model, prepared, protocol)
    failures.raise_first()


def _check_models(models: Sequence[str]) -> None:
    unknown = sorted(set(models).difference(MODEL_NAMES, [BASELINE]))
    if unknown or not models:
        received = f"unknown models: {', '.join(unknown)}" if unknown else "no model"
        raise AttentionError(received, f"some of {', '.join((*MODEL_NAMES, BASELINE))}", "correct the names")


def _result(
    data: AttentionData,
    model: str,
    folds: Sequence[Fold],
    outcomes: Outcomes,
    reused: AbstractSet[tuple[str, int]],
    config: CrossValidationConfig,
) -> ModelResult:
    members = config.fits_of(model)
    fits = [[outcomes[member, fold.number] for member in members] for fold in folds]
    of_model = [vote(fold_fits) if model == VOTING else fold_fits[0] for fold_fits in fits]
    return ModelResult(
        model=model,
        predictions=prediction_table(data, folds, of_model),
        folds=fold_table(data, folds, of_model),
        importances=importance_table(of_model),
        source_sha256=data.source_sha256,
        config=config,
        reused=sum(all((member, fold.number) in reused for member in members) for fold in folds),
    )

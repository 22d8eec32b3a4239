"""Cross-validation of all models: every fold and model is fitted, here one after another or as tasks on Ray.

What happens within one fold is in `folds`; how its functions run as tasks is in `parallel`.
"""

from collections.abc import Generator, Sequence
from contextlib import closing

from urgency_dagster.attention.folds import VOTING, Naming, fit_and_predict, prepare_fold, split_folds, vote
from urgency_dagster.attention.metrics import fold_table, importance_table, prediction_table
from urgency_dagster.attention.parallel import fit_on_ray
from urgency_dagster.attention.pickles import AttentionData
from urgency_dagster.attention.protocol import (
    BASELINE,
    MODEL_NAMES,
    VOTERS,
    CrossValidationConfig,
    Fold,
    FoldOutcome,
    ModelResult,
)
from urgency_dagster.errors import AttentionError
from urgency_dagster.progress import Progress, silent


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


def _result(
    data: AttentionData,
    model: str,
    folds: Sequence[Fold],
    outcomes: Sequence[FoldOutcome],
    config: CrossValidationConfig,
) -> ModelResult:
    predictions = prediction_table(data, folds, outcomes)
    tables = fold_table(data, folds, outcomes), importance_table(outcomes)
    return ModelResult(model, predictions, *tables, data.source_sha256, config)

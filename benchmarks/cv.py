"""Benchmark of the cross-validation of five models in five folds.

Ours shares data, preprocessing and the members of the soft vote. In the reference, every job does everything itself.
Both run on the same private Ray cluster of this machine, which is started before the time is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import Side, in_turns
from benchmarks.report import Comparison, by_duration
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.folds import split_folds
from urgency_dagster.attention.validation.parallel import ONE_CORE
from urgency_dagster.attention.validation.protocol import MODEL_NAMES, CrossValidationConfig, ModelResult
from urgency_dagster.clusters import connected
from urgency_dagster.demo.wearables import SAMPLES, draw_answers
from urgency_dagster.errors import BenchmarkError

COMPARED = ("logreg", "rf", "lgbm", "voting")
"""The models that both sides fit in the same way. XGBoost's inner split differs: by row there, by participant here."""

SCORES = ("accuracy", "f1_macro", "roc_auc")
"""The scores that are compared in each fold."""

TOLERANCE = 1e-9
"""Maximum difference of two scores of the same fold."""

SEED = 42


@dataclass(frozen=True)
class CvSize:
    """The size of the benchmark.

    Attributes:
        samples: number of rows. The defaults are those of the K-EmoPhone matrix: 2,619 prompts and 3,356 features.
        categorical: number of bool columns.
        numeric: number of float32 columns.
        factors: number of latent factors of the columns. With 200 the selector keeps about 200 columns, as in reality.
        signal: difference of the factors between the classes, in standard deviations.
        models: names of the models.
        runs: how often each side is measured.
    """

    samples: int = SAMPLES
    categorical: int = 500
    numeric: int = 2856
    factors: int = 200
    signal: float = 0.05
    models: tuple[str, ...] = MODEL_NAMES
    runs: int = 3


Scores = dict[tuple[str, int], dict[str, float]]
"""SCORES by model and fold."""


def compare_cross_validation(size: CvSize) -> Comparison:
    """Measures both sides in seconds for all models and folds.

    Raises:
        BenchmarkError: the two sides give different scores.
    """
    data, config = draw_data(size), CrossValidationConfig(seed=SEED)
    with connected(None):
        small = draw_data(CvSize(samples=size.samples, categorical=5, numeric=15, factors=5, signal=1.0))
        cross_validate(small, ["logreg", "xgb"], config)  # starts Ray's workers, which import their libraries
        ours = Side(lambda: cross_validate(data, size.models, config), size.runs)
        reference = Side(lambda: original_cross_validation(data, size.models, config), size.runs)
        timed, timed_reference = in_turns(ours, reference)
    details = {
        "samples": len(data.X),
        "features": data.X.shape[1],
        "features_selected": [int(n) for n in timed.result[size.models[0]].folds["n_features"]],
        "models": list(size.models),
        "folds": config.n_splits,
        "largest_difference": largest_difference(own_scores(timed.result), timed_reference.result),
    }
    return by_duration("cv", timed.duration(), timed_reference.duration(), details)


def draw_data(size: CvSize) -> AttentionData:
    """Random features of the real matrix's shape, mixed from latent factors that depend weakly on the label."""
    answers = draw_answers(size.samples, SEED)
    y = np.concatenate([one.y for one in answers.values()])
    groups = np.repeat(np.array(list(answers)), [one.y.size for one in answers.values()])
    rng, columns = np.random.default_rng(SEED), size.categorical + size.numeric
    factors = rng.standard_normal((y.size, size.factors))
    factors += size.signal * y[:, None] * rng.standard_normal(size.factors)
    values = factors @ rng.standard_normal((size.factors, columns)) / np.sqrt(size.factors)
    values += 0.5 * rng.standard_normal((y.size, columns))
    categorical = _named("B", values[:, : size.categorical] > 0)
    numeric = _named("N", values[:, size.categorical :].astype(np.float32))
    return AttentionData(pd.concat([categorical, numeric], axis=1), y, groups, None, source_sha256="")


def _named(prefix: str, values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"{prefix}{i}" for i in range(values.shape[1])])


def original_cross_validation(data: AttentionData, models: Sequence[str], config: CrossValidationConfig) -> Scores:
    """The reference: each (model, fold) is a job that receives all of X and does everything itself.

    Source: the jobs of the K-EmoPhone supplementary code, with the folds and hyper-parameters of this project.
    """
    import ray

    job = ray.remote(**ONE_CORE)(original_job)
    jobs = {
        # X, y and groups are plain arguments: Ray stores another copy of them for each job.
        (model, fold.number): job.remote(data.X, data.y, data.groups, fold.train, fold.test, model, config.seed)
        for model in models
        for fold in split_folds(data.y, data.groups, config)
    }
    return dict(zip(jobs, ray.get(list(jobs.values())), strict=True))


def original_job(
    X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, train: np.ndarray, test: np.ndarray, model: str, seed: int
) -> dict[str, float]:
    """The scores of one model in one fold; scaler and selector are fitted for this model alone."""
    from urgency_dagster.attention.validation.metrics import scores
    from urgency_dagster.attention.validation.models import fit_estimator, one_thread
    from urgency_dagster.attention.validation.protocol import Protocol, TrainingRows

    with one_thread():
        X_train, X_test = scaled_in_fold(X.iloc[train], X.iloc[test])
        selector = original_selector(seed).fit(X_train, y[train])
        selected = selector.transform(X_train)
        rows = TrainingRows(selected, y[train].copy(), groups[train], 0, selected[:0], y[:0])
        estimator = fit_estimator(model, rows, Protocol(seed=seed))
        probability = estimator.predict_proba(selector.transform(X_test))[:, 1].astype(np.float64)
    values = scores(y[test], (probability > 0.5).astype(np.int64), probability)
    return {name: values[name] for name in SCORES}


def scaled_in_fold(X_train: pd.DataFrame, X_test: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows as float32: sorted categorical columns, then sorted and standardised numeric columns."""
    from sklearn.preprocessing import StandardScaler

    categorical = sorted(X_train.select_dtypes("bool").columns)
    numeric = sorted(X_train.select_dtypes(exclude="bool").columns)
    scaler = StandardScaler().fit(X_train[numeric].to_numpy())
    train, test = (
        np.hstack([X[categorical].to_numpy(np.float32), scaler.transform(X[numeric].to_numpy())])
        for X in (X_train, X_test)
    )
    return train, test


def original_selector(seed: int) -> Any:
    """The unfitted selector of the protocol."""
    from sklearn.feature_selection import SelectFromModel
    from sklearn.svm import LinearSVC

    svc = LinearSVC(penalty="l1", loss="squared_hinge", dual=False, tol=1e-3, C=1e-2, max_iter=5000, random_state=seed)
    return SelectFromModel(svc, threshold=1e-5)


def own_scores(results: dict[str, ModelResult]) -> Scores:
    """The scores of this project's cross-validation."""
    return {
        (model, int(fold["fold"])): {name: float(fold[name]) for name in SCORES}
        for model, result in results.items()
        for fold in result.folds.to_dict("records")
    }


def largest_difference(ours: Scores, reference: Scores) -> float:
    """The largest difference of two scores of the COMPARED models.

    Raises:
        BenchmarkError: the difference is above TOLERANCE.
    """
    pairs = [(ours[key], reference[key]) for key in reference if key[0] in COMPARED]
    difference = max((abs(one[name] - other[name]) for one, other in pairs for name in SCORES), default=0.0)
    if not difference <= TOLERANCE:
        raise BenchmarkError(
            f"the scores of the two sides differ by {difference:.1e}", f"at most {TOLERANCE}", "correct `attention`"
        )
    return difference

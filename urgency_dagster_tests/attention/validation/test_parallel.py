"""Cross-validation on a private Ray cluster."""

import dataclasses
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.fit_cache import FitCache
from urgency_dagster.attention.validation.folds import split_folds
from urgency_dagster.attention.validation.parallel import fit_on_ray
from urgency_dagster.attention.validation.protocol import BASELINE, MODEL_NAMES, CrossValidationConfig, Protocol
from urgency_dagster.clusters import connected
from urgency_dagster.errors import AttentionError
from urgency_dagster.paths import AttentionPaths
from urgency_dagster_tests.child_process import PATIENCE_S

pytestmark = pytest.mark.slow

MODELS = (*MODEL_NAMES, BASELINE)


@pytest.fixture(scope="module")
def ray_session() -> Iterator[Any]:
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


def test_a_private_ray_is_started_and_stopped_and_the_results_are_the_same(data: AttentionData) -> None:
    import ray

    seen = []
    parallel = cross_validate(
        data, MODELS, CrossValidationConfig(), progress=lambda done, total, **_: seen.append((done, total))
    )
    assert not ray.is_initialized()
    assert seen == [(done, 25) for done in range(1, 26)]
    sequential = cross_validate(data, MODELS, CrossValidationConfig(backend="sequential"))
    assert list(parallel) == list(sequential) == list(MODELS)
    for model in MODELS:
        pd.testing.assert_frame_equal(parallel[model].predictions, sequential[model].predictions, check_exact=True)
        pd.testing.assert_frame_equal(parallel[model].folds, sequential[model].folds, check_exact=True)


def test_an_existing_connection_is_used_and_stays_open(data: AttentionData, ray_session: Any) -> None:
    result = cross_validate(data, ["voting"], CrossValidationConfig())
    assert ray_session.is_initialized()
    expected = cross_validate(data, ["voting"], CrossValidationConfig(backend="sequential"))
    pd.testing.assert_frame_equal(result["voting"].predictions, expected["voting"].predictions, check_exact=True)


def test_the_error_of_a_task_names_model_and_fold(data: AttentionData, ray_session: Any) -> None:
    constant = pd.DataFrame({"HRT#VAL": np.ones(300, "float32")})
    with pytest.raises(AttentionError, match="keeps none of 1 features") as caught:
        cross_validate(dataclasses.replace(data, X=constant), ["rf"], CrossValidationConfig())
    assert re.fullmatch(r"while fitting rf in fold \d", caught.value.__notes__[0])


def test_the_error_of_a_task_has_its_traceback_and_other_fits_are_stored(
    data: AttentionData, paths: AttentionPaths, ray_session: Any
) -> None:
    folds = split_folds(data.y, data.groups, Protocol())
    third = folds[2]
    column = np.zeros(300, "float32")
    column[third.test] = 10 * data.y[third.test]  # constant in the training rows of the third fold, and only there
    spoilt = dataclasses.replace(data, X=pd.DataFrame({"HRT#VAL": column}))
    fits = FitCache.open(paths.fit_cache, spoilt, Protocol())
    with pytest.raises(AttentionError) as caught:
        cross_validate(spoilt, ["rf", BASELINE], CrossValidationConfig(), cache=fits)
    assert "in fit_preprocessing" in str(caught.value)
    assert "in fold 3" in caught.value.__notes__[0]
    kept = [
        fits.read(model, fold) for model in ("rf", BASELINE) for fold in split_folds(data.y, data.groups, Protocol())
    ]
    assert [(outcome.model, outcome.fold) for outcome in kept if outcome] == [
        (model, fold) for model in ("rf", BASELINE) for fold in (1, 2, 4, 5)
    ]


def test_ray_tasks_use_the_options_and_give_the_same_numbers(data: AttentionData, ray_session: Any) -> None:
    config = CrossValidationConfig(splitter="logo", oversample=True, inner_split="stratified", xgb_settings="authors")
    parallel = cross_validate(data, ["xgb", "voting"], config)
    sequential = cross_validate(data, ["xgb", "voting"], config.changed(backend="sequential"))
    for model in ("xgb", "voting"):
        pd.testing.assert_frame_equal(parallel[model].folds, sequential[model].folds, check_exact=True)


def test_data_are_put_into_the_object_store_once(
    data: AttentionData, ray_session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = ray_session.put, []

    def counted(value: object) -> object:
        calls.append(value)
        return put(value)

    monkeypatch.setattr(ray_session, "put", counted)
    cross_validate(data, ["logreg", BASELINE], CrossValidationConfig())
    assert [type(value) for value in calls] == [pd.DataFrame, np.ndarray, np.ndarray]


def test_closing_early_cancels_the_remaining_tasks(
    data: AttentionData, ray_session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled: list[object] = []
    monkeypatch.setattr(ray_session, "cancel", cancelled.append)
    work = [(fold, ["logreg", BASELINE]) for fold in split_folds(data.y, data.groups, Protocol())]
    fits = fit_on_ray(data, work, CrossValidationConfig())
    next(fits)
    fits.close()
    assert len(cancelled) == 9


@pytest.mark.parametrize("num_cpus", [None, 3])
def test_a_private_cluster_has_the_cores_of_the_option(monkeypatch: pytest.MonkeyPatch, num_cpus: int | None) -> None:
    import ray

    received: dict[str, Any] = {}
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: received.update(options))
    with connected(None, num_cpus):
        pass
    assert received["num_cpus"] == num_cpus
    assert received["address"] == "local"


def test_a_worker_that_starts_late_joins_a_private_cluster() -> None:
    """A worker reads the token of the cluster when it starts, long after the cluster has started."""
    import ray

    with connected(None, 1):
        pid = ray.remote(lambda: os.getpid())
        first = ray.get(pid.remote(), timeout=PATIENCE_S)
        for process in psutil.Process().children(recursive=True):
            if process.cmdline() and process.cmdline()[0].startswith("ray::IDLE"):
                process.kill()
        assert ray.get(pid.options(max_retries=5).remote(), timeout=PATIENCE_S) != first

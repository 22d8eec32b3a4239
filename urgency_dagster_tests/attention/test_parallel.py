"""Ray itself: one private Ray for the module, and one test that starts and stops its own."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from urgency_dagster.attention.cross_validation import cross_validate
from urgency_dagster.attention.protocol import BASELINE, MODEL_NAMES, CrossValidationConfig
from urgency_dagster.errors import AttentionError

pytestmark = pytest.mark.slow

MODELS = (*MODEL_NAMES, BASELINE)


@pytest.fixture(autouse=True, scope="module")
def quiet_ray():
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_AUTH_MODE", "disabled")
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    yield
    patch.undo()


@pytest.fixture(scope="module")
def ray_session(quiet_ray):
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


def test_a_private_ray_is_started_and_stopped_and_the_results_are_the_same(data):
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


def test_a_connection_that_exists_is_used_and_left(data, ray_session):
    result = cross_validate(data, ["voting"], CrossValidationConfig())
    assert ray_session.is_initialized()
    expected = cross_validate(data, ["voting"], CrossValidationConfig(backend="sequential"))
    pd.testing.assert_frame_equal(result["voting"].predictions, expected["voting"].predictions, check_exact=True)


def test_a_task_that_raises_says_what_and_where(data, ray_session):
    constant = pd.DataFrame({"HRT#VAL": np.ones(300, "float32")})
    with pytest.raises(AttentionError, match="keeps none of 1 features") as caught:
        cross_validate(dataclasses.replace(data, X=constant), ["rf"], CrossValidationConfig())
    (note,) = caught.value.__notes__
    assert note.startswith("while fitting rf in fold ")

"""The attention assets on Ray: options, subsets, and what is left of a cross-validation that fails or is killed."""

import dataclasses
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from urgency_dagster.attention.reading.features import read_features
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.folds import split_folds
from urgency_dagster.attention.validation.protocol import CrossValidationConfig, Protocol
from urgency_dagster.defs.attention_assets import ATTENTION_ASSETS, CROSS_VALIDATED, cv_key, model_key
from urgency_dagster.defs.resources import resources
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings
from urgency_dagster.writing import read_json
from urgency_dagster_tests.attention.conftest import make_data
from urgency_dagster_tests.defs.command_server import CommandServer
from urgency_dagster_tests.defs.conftest import instance_of
from urgency_dagster_tests.defs.killing import wait

pytestmark = pytest.mark.slow

FEATURES = dg.AssetKey("attention_features")


def land(paths: StoragePaths, data: AttentionData) -> None:
    paths.attention_pickle.parent.mkdir(parents=True)
    paths.attention_pickle.write_bytes(pickle.dumps((data.X, data.y, data.groups, data.t_s, None)))


@pytest.fixture
def paths(tmp_path: Path) -> StoragePaths:
    """A storage root where nothing has landed yet."""
    return StoragePaths(tmp_path / "root")


@pytest.fixture(scope="module")
def ray_session() -> Iterator[None]:
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def materialise(
    paths: StoragePaths, keys: Sequence[dg.AssetKey], *, raise_on_error: bool = True, **options: object
) -> dg.ExecuteInProcessResult:
    config = {"ops": {"attention_cv": {"config": options}}} if options else None
    return dg.materialize(
        ATTENTION_ASSETS,
        selection=list(keys),
        resources=resources(Settings.load(paths.root, environment={})),
        run_config=config,
        raise_on_error=raise_on_error,
    )


def kept(paths: StoragePaths) -> list[str]:
    """The names of the fits that are kept, without their hash."""
    return sorted(file.name.rpartition("-")[0] for file in paths.attention.fit_cache.glob("*.npz"))


def reused_folds(instance: dg.DagsterInstance, model: str) -> int:
    """The number of fits that the last cross-validation of a model took from an earlier one."""
    event = instance.get_latest_materialization_event(cv_key(model))
    assert event is not None
    assert event.asset_materialization is not None
    value = event.asset_materialization.metadata["reused_folds"].value
    assert isinstance(value, int)
    return value


def test_one_model_alone_is_judged_as_among_all_of_them(paths: StoragePaths, ray_session: None) -> None:
    land(paths, make_data())
    result = materialise(paths, [FEATURES, cv_key("voting")])
    (event,) = result.asset_materializations_for_node("attention_cv")
    assert event.asset_key == cv_key("voting")
    assert event.metadata["reused_folds"].value == 0
    assert [folder.name for folder in paths.attention.results_folder.glob("[!.]*")] == ["voting"]
    assert kept(paths) == []
    alone = (paths.attention.results("voting") / "metrics.json").read_bytes()
    materialise(paths, [cv_key(model) for model in CROSS_VALIDATED])
    assert (paths.attention.results("voting") / "metrics.json").read_bytes() == alone
    assert kept(paths) == []


def test_options_decide_how_models_are_judged_and_exported(paths: StoragePaths, ray_session: None) -> None:
    data = make_data()
    land(paths, dataclasses.replace(data, y=np.where(data.groups == "P03", 0, data.y)))
    options: dict[str, Any] = {
        "splitter": "logo",
        "n_splits": 4,
        "seed": 5,
        "oversample": True,
        "inner_split": "stratified",
        "xgb_settings": "authors",
    }
    result = materialise(paths, [FEATURES, cv_key("xgb"), model_key("xgb")], **options)
    (event,) = result.asset_materializations_for_node("attention_cv")
    assert event.metadata["folds_of_one_class"].value == "1 of 10 folds (10.0 %)"
    metrics = read_json(paths.attention.results("xgb") / "metrics.json")
    assert metrics["protocol"] == Protocol(**options).model_dump()
    assert len(metrics["folds"]) == 10
    assert read_json(paths.attention.card("xgb"))["cross_validation"]["protocol"] == metrics["protocol"]


def test_an_unknown_option_is_refused_before_anything_runs(paths: StoragePaths) -> None:
    land(paths, make_data())
    with pytest.raises(dg.DagsterInvalidConfigError):
        materialise(paths, [FEATURES, cv_key("rf")], splitter="kfold")


def test_a_task_that_raises_fails_the_asset_with_its_traceback(paths: StoragePaths, ray_session: None) -> None:
    data = make_data()
    third = split_folds(data.y, data.groups, Protocol())[2]
    column = np.zeros(300, "float32")
    column[third.test] = 10 * data.y[third.test]  # constant in the training rows of the third fold, and only there
    land(paths, AttentionData(pd.DataFrame({"HRT#VAL": column}), data.y, data.groups, data.t_s, ""))
    result = materialise(paths, [FEATURES, cv_key("rf"), cv_key("dummy")], raise_on_error=False)
    failure = result.failure_data_for_node("attention_cv")
    assert failure is not None
    assert failure.error is not None
    error = failure.error
    assert "in fit_preprocessing" in error.to_string()
    assert "the selector keeps none of 1 features" in error.to_string()
    assert kept(paths) == [f"{model}-{fold}" for model in ("dummy", "rf") for fold in (1, 2, 4, 5)]
    assert not (paths.attention.results("rf") / "metrics.json").exists()


def test_a_killed_cross_validation_keeps_its_fit_cache(paths: StoragePaths, forked: CommandServer) -> None:
    land(paths, make_data(rows=900))
    paths.run_config.write_text("attention_audit: {permutations: 0, without_history: false}\n")
    with forked.running(paths.root, "attention") as command:
        wait(command, lambda: len(kept(paths)) >= 3)
    before = kept(paths)
    assert 3 <= len(before) < 25
    assert not list(paths.attention.results_folder.glob("*/metrics.json"))

    done = forked.run(paths.root, "--only", "attention")
    assert done.returncode == 0, done.stdout
    with instance_of(paths.root) as instance:
        reused = {model: reused_folds(instance, model) for model in CROSS_VALIDATED}
    del reused["voting"]  # which has no fits of its own
    assert reused == {model: sum(name.startswith(f"{model}-") for name in before) for model in reused}
    assert sum(reused.values()) == len(before)
    assert kept(paths) == []
    sequential = CrossValidationConfig(backend="sequential")
    undisturbed = cross_validate(read_features(paths.attention), CROSS_VALIDATED, sequential)
    for model in CROSS_VALIDATED:
        predictions = pd.read_parquet(paths.attention.results(model) / "predictions.parquet")
        pd.testing.assert_frame_equal(predictions, undisturbed[model].predictions, check_exact=True, check_dtype=False)

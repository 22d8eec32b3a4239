"""The audit between cross-validation and what is built on it: a certain leak stops the leaderboard and the exports."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest
import yaml

from urgency_dagster.attention import Finding, FindingKind, Level, load_model
from urgency_dagster.attention.reading.features import write_features
from urgency_dagster.attention.reading.pickles import AttentionData, load_attention_pickle
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.protocol import CrossValidationConfig
from urgency_dagster.attention.validation.results import write_results
from urgency_dagster.defs.attention_assets import ATTENTION_ASSETS, CROSS_VALIDATED
from urgency_dagster.defs.resources import resources
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.keys import name_of
from urgency_dagster.provenance.manifests import read_manifest
from urgency_dagster.settings import Settings
from urgency_dagster.writing import read_json

AFTER_THE_FOLDS = ("attention_audit", "attention_leaderboard", "attention_models/logreg")


@pytest.fixture(scope="module")
def landed(demo_root: Path) -> AttentionData:
    return load_attention_pickle(StoragePaths(demo_root).attention_pickle)


def judge(paths: StoragePaths, data: AttentionData) -> None:
    """Stores features and cross-validations as the assets do, without Ray; one model stands for all of them."""
    write_features(data, paths.attention)
    results = cross_validate(data, ["logreg", "dummy"], CrossValidationConfig(backend="sequential"))
    for model in CROSS_VALIDATED:
        write_results(dataclasses.replace(results.get(model, results["logreg"]), model=model), paths.attention)


def make(settings: Settings, options: Mapping[str, object]) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        ATTENTION_ASSETS,
        selection=[dg.AssetKey(name.split("/")) for name in AFTER_THE_FOLDS],
        resources=resources(settings),
        run_config={"ops": {"attention_audit": {"config": {"permutations": 0, "without_history": False, **options}}}},
        raise_on_error=False,
    )


def made_by(result: dg.ExecuteInProcessResult) -> list[str]:
    return sorted(name_of(event.asset_key) for event in result.get_asset_materialization_events() if event.asset_key)


def test_honest_data_pass_and_everything_is_made(
    settings: Settings, paths: StoragePaths, landed: AttentionData
) -> None:
    judge(paths, landed)
    result = make(settings, {})
    assert result.success
    assert made_by(result) == sorted(AFTER_THE_FOLDS)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert "[audit.md](audit.md)" in paths.attention.report.read_text()


def test_a_planted_label_stops_what_is_built_on_it(
    settings: Settings, paths: StoragePaths, landed: AttentionData
) -> None:
    judge(paths, dataclasses.replace(landed, X=landed.X.assign(**{"HRT#VAL": landed.y.astype("float32")})))
    result = make(settings, {})
    assert not result.success
    assert made_by(result) == []
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert not checks["no_leak"].passed
    assert "HRT#VAL" in str(checks["no_leak"].metadata["column_tells_label"].value)
    assert read_manifest(paths, "attention_audit") is None
    assert read_json(paths.attention.audit)["counts"]["certain"] == 1
    assert not paths.attention.leaderboard.exists()
    assert not paths.attention.model("logreg").exists()


def test_the_refusal_names_the_ways_on_and_each_of_them_works(
    settings: Settings, paths: StoragePaths, landed: AttentionData
) -> None:
    planted = dataclasses.replace(landed, X=landed.X.assign(**{"HRT#VAL": landed.y.astype("float32")}))
    judge(paths, planted)
    refused = make(settings, {})
    checks = {check.check_name: check for check in refused.get_asset_check_evaluations()}
    lines = yaml.safe_load(str(checks["no_leak"].description).split(":\n", 1)[1])
    assert lines["attention_features"] == {"drop_columns": ["HRT#VAL"]}
    assert lines["attention_audit"]["accept"][0] in paths.attention.audit_report.read_text()

    accepted = make(settings, lines["attention_audit"])
    assert accepted.success
    assert made_by(accepted) == sorted(AFTER_THE_FOLDS)
    for report in (paths.attention.report, paths.attention.audit_report):
        assert report.read_text().splitlines()[0].endswith("with accepted findings: column_tells_label")
    (finding,) = read_json(paths.attention.card("logreg"))["accepted_findings"]
    assert finding["names"] == ["HRT#VAL"]
    for suffix in (".pkl", ".skops"):
        with pytest.warns(UserWarning, match="accepted findings of the audit: column_tells_label"):
            load_model(paths.attention.model("logreg", suffix))

    judge(paths, dataclasses.replace(landed, X=planted.X.drop(columns=["HRT#VAL"])))
    assert make(settings, {}).success
    assert paths.attention.report.read_text().startswith("# Attention models, cross-validated\n")
    assert "accepted_findings" not in read_json(paths.attention.card("logreg"))


def test_an_acceptance_covers_no_other_column(settings: Settings, paths: StoragePaths, landed: AttentionData) -> None:
    other = Finding.of_names(Level.CERTAIN, FindingKind.COLUMN_TELLS_LABEL, "", ["EDA#VAL"])
    judge(paths, dataclasses.replace(landed, X=landed.X.assign(**{"HRT#VAL": landed.y.astype("float32")})))
    assert not make(settings, {"accept": [other.id]}).success
    assert f"Accepted, but not found in this data: {other.id}." in paths.attention.audit_report.read_text()


def test_options_that_cannot_be_are_refused(settings: Settings, paths: StoragePaths, landed: AttentionData) -> None:
    judge(paths, landed)
    result = make(settings, {"models": ["svm"]})
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    error = failure.step_failure_data.error
    assert error is not None
    assert "Input should be 'logreg', 'rf', 'lgbm', 'voting' or 'xgb'" in (error.cause or error).message


@pytest.mark.slow
def test_the_controls_run_on_ray(settings: Settings, paths: StoragePaths, landed: AttentionData) -> None:
    judge(paths, landed)
    result = make(settings, {"permutations": 1, "without_history": True, "models": ["logreg"]})
    assert result.success
    controls = read_json(paths.attention.audit)["controls"]
    assert controls["shuffled"]["logreg"]["low"] < 0.5 < controls["shuffled"]["logreg"]["high"]
    assert set(controls["without_history"]) == {"logreg"}

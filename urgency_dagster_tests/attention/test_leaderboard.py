import pandas as pd
import pytest

from urgency_dagster.attention.audit import write_audit
from urgency_dagster.attention.controls import ControlConfig
from urgency_dagster.attention.cross_validation import cross_validate
from urgency_dagster.attention.features import write_features
from urgency_dagster.attention.leaderboard import write_leaderboard
from urgency_dagster.attention.protocol import CrossValidationConfig
from urgency_dagster.attention.results import read_metrics, write_results
from urgency_dagster.errors import ArtefactError
from urgency_dagster.storage import read_json, write_json

MODELS = ("dummy", "logreg", "lgbm")
SEQUENTIAL = CrossValidationConfig(backend="sequential")


@pytest.fixture(scope="module")
def results(data):
    return cross_validate(data, MODELS, SEQUENTIAL)


@pytest.fixture
def stored(data, results, paths):
    write_features(data, paths)
    for result in results.values():
        write_results(result, paths)
    write_audit(paths, MODELS, ControlConfig(0, ("logreg",), without_history=False), SEQUENTIAL)
    return paths


def change(paths, model, **changed):
    write_json(paths.results(model) / "metrics.json", {**read_metrics(paths, model), **changed})


def test_the_table_is_ranked_and_compared_with_the_baseline(stored):
    table = write_leaderboard(stored, MODELS)
    pd.testing.assert_frame_equal(pd.read_csv(stored.leaderboard), table)
    assert sorted(table["model"]) == sorted(MODELS)
    assert table["f1_macro_mean"].is_monotonic_decreasing
    assert table["model"].tolist()[-1] == "dummy"
    rows = table.set_index("model")
    for score in ("accuracy", "f1_macro", "roc_auc"):
        assert rows.loc["dummy", f"{score}_vs_dummy"] == 0
        expected = read_metrics(stored, "lgbm")["mean"][score] - read_metrics(stored, "dummy")["mean"][score]
        assert rows.loc["lgbm", f"{score}_vs_dummy"] == pytest.approx(expected)
        assert rows.loc["lgbm", f"{score}_sd"] == pytest.approx(read_metrics(stored, "lgbm")["sd"][score])


def test_the_report_names_models_data_and_pictures(stored):
    write_leaderboard(stored, MODELS)
    text = stored.report.read_text()
    assert "300 samples of 10 participants" in text
    for model in MODELS:
        assert f"| {model} |" in text
    for name in ("f1_macro.png", "roc_auc.png"):
        assert f"]({name})" in text
        assert (stored.report.parent / name).read_bytes().startswith(b"\x89PNG")


def test_only_a_score_above_the_limit_asks_for_a_leakage_check(stored):
    for model, f1 in (("logreg", 0.71), ("lgbm", 0.70), ("dummy", 0.34)):
        change(stored, model, mean={**read_metrics(stored, model)["mean"], "f1_macro": f1})
    write_leaderboard(stored, MODELS)
    assert "Leakage check needed:** logreg reached" in stored.report.read_text()
    change(stored, "logreg", mean={**read_metrics(stored, "logreg")["mean"], "f1_macro": 0.69})
    write_leaderboard(stored, MODELS)
    assert "Leakage" not in stored.report.read_text()


def test_the_report_cites_the_audit(stored):
    write_leaderboard(stored, MODELS)
    assert "Honesty audit: certain: nothing; suspicious:" in stored.report.read_text()
    assert "See [audit.md](audit.md)." in stored.report.read_text()


def test_an_audit_that_is_missing_or_of_other_data_is_named(stored):
    write_json(stored.audit, {**read_json(stored.audit), "source_sha256": "1" * 64})
    with pytest.raises(ArtefactError, match="the audit is of other data than the models"):
        write_leaderboard(stored, MODELS)
    stored.audit.unlink()
    with pytest.raises(ArtefactError, match=r"audit\.json is missing"):
        write_leaderboard(stored, MODELS)


def test_a_model_no_better_than_the_baseline_is_named(stored):
    change(stored, "lgbm", mean=read_metrics(stored, "dummy")["mean"])
    write_leaderboard(stored, MODELS)
    assert "No better than the baseline: lgbm." in stored.report.read_text()


def test_the_same_metrics_give_the_same_bytes_in_any_order(stored):
    write_leaderboard(stored, MODELS)
    files = [file for file in stored.results_folder.iterdir() if file.is_file()]
    first = {file.name: file.read_bytes() for file in files}
    assert sorted(first) == ["audit.json", "audit.md", "f1_macro.png", "leaderboard.csv", "report.md", "roc_auc.png"]
    write_leaderboard(stored, MODELS[::-1])
    assert {file.name: file.read_bytes() for file in files} == first


def test_models_judged_differently_are_not_compared(stored):
    change(stored, "lgbm", protocol={**read_metrics(stored, "lgbm")["protocol"], "seed": 1})
    with pytest.raises(ArtefactError, match="lgbm and dummy were judged on different data or folds"):
        write_leaderboard(stored, MODELS)


@pytest.mark.parametrize(("models", "said"), [(("lgbm",), "no baseline"), ((*MODELS, "rf"), "rf has no metrics.json")])
def test_what_is_missing_is_named(stored, models, said):
    with pytest.raises(ArtefactError, match=said):
        write_leaderboard(stored, models)

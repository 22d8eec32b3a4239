import dataclasses
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from urgency_dagster.attention.audit.audit import write_audit
from urgency_dagster.attention.audit.controls import ControlConfig
from urgency_dagster.attention.leaderboard import paired_differences, write_leaderboard
from urgency_dagster.attention.reading.features import write_features
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.bootstrap import bootstrap_scores
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.protocol import CrossValidationConfig, ModelResult
from urgency_dagster.attention.validation.results import read_bootstrap, read_metrics, result_metrics, write_results
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import AttentionPaths, StoragePaths
from urgency_dagster.writing import read_json, write_json

MODELS = ("dummy", "logreg", "lgbm")
SEQUENTIAL = CrossValidationConfig(backend="sequential")


@pytest.fixture(scope="module")
def results(data: AttentionData) -> dict[str, ModelResult]:
    return cross_validate(data, MODELS, SEQUENTIAL)


@pytest.fixture(scope="module")
def stored_root(data: AttentionData, results: dict[str, ModelResult], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stored")
    paths = StoragePaths(root).attention
    write_features(data, paths)
    for result in results.values():
        write_results(result, paths)
    write_audit(paths, MODELS, ControlConfig(permutations=0, models=("logreg",), without_history=False), SEQUENTIAL)
    return root


@pytest.fixture
def stored(stored_root: Path, copy_of: Callable[[Path], AttentionPaths]) -> AttentionPaths:
    return copy_of(stored_root)


def change(paths: AttentionPaths, model: str, **changed: Any) -> None:
    write_json(paths.results(model) / "metrics.json", {**read_metrics(paths, model), **changed})


def test_the_table_is_ranked_and_compared_with_the_baseline(stored: AttentionPaths) -> None:
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


def test_the_report_names_models_data_and_pictures(stored: AttentionPaths) -> None:
    write_leaderboard(stored, MODELS)
    text = stored.report.read_text()
    assert "300 samples of 10 participants" in text
    for model in MODELS:
        assert f"| {model} |" in text
    for name in ("f1_macro.png", "roc_auc.png", "calibration.png", "participants.png"):
        assert f"]({name})" in text
        assert (stored.report.parent / name).read_bytes().startswith(b"\x89PNG")


def test_the_report_shows_the_interval_of_each_score(stored: AttentionPaths) -> None:
    write_leaderboard(stored, MODELS)
    text = stored.report.read_text()
    for model in MODELS:
        found = read_metrics(stored, model)
        low, high = found["interval_participants"]["roc_auc"]
        assert f"{found['pooled']['roc_auc']:.3f} [{low:.3f}, {high:.3f}]" in text
        assert f"| {found['calibration']['error']:.3f} | {found['train_mean']['f1_macro']:.3f} |" in text


class TestDifferences:
    def test_every_pair_is_compared_on_the_same_samples(self, stored: AttentionPaths) -> None:
        ranked = write_leaderboard(stored, MODELS)["model"].tolist()
        table = pd.read_csv(stored.differences)
        assert len(table) == 3 * 3
        assert list(dict.fromkeys(zip(table["model"], table["than"], strict=True))) == list(combinations(ranked, 2))
        for row in table.to_dict("records"):
            pooled = [read_metrics(stored, row[name])["pooled"][row["score"]] for name in ("model", "than")]
            assert row["difference"] == pytest.approx(pooled[0] - pooled[1])
            assert row["low"] <= row["difference"] <= row["high"]

    def test_a_model_does_not_differ_from_its_copy(self, results: dict[str, ModelResult]) -> None:
        samples = bootstrap_scores(results["logreg"].predictions, 42)
        metrics = dict.fromkeys(("one", "two"), result_metrics(results["logreg"], samples))
        table = paired_differences(metrics, dict.fromkeys(("one", "two"), samples))
        assert (table[["difference", "low", "high"]] == 0).all(axis=None)

    def test_rows_that_are_hard_for_both_models_do_not_widen_the_interval(
        self, results: dict[str, ModelResult]
    ) -> None:
        """The interval of a difference is narrower than two independent ones would make it."""
        names = ("logreg", "lgbm")
        samples = {name: bootstrap_scores(results[name].predictions, 42) for name in names}
        metrics = {name: result_metrics(results[name], samples[name]) for name in names}
        table = paired_differences(metrics, samples)
        row = table[table["score"] == "roc_auc"].iloc[0]
        widths = [np.diff(metrics[name]["interval_participants"]["roc_auc"])[0] for name in names]
        assert row["high"] - row["low"] < np.hypot(*widths)

    def test_stored_bootstrap_samples_are_used_and_older_results_without_them_give_the_same(
        self, stored: AttentionPaths, results: dict[str, ModelResult], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(
                "urgency_dagster.attention.validation.results.bootstrap_scores", lambda *_: pytest.fail("drawn")
            )
            write_leaderboard(stored, MODELS)
        differences = stored.differences.read_bytes()
        for model in MODELS:
            samples = read_bootstrap(stored, model, 42)
            pd.testing.assert_frame_equal(samples, bootstrap_scores(results[model].predictions, 42), check_exact=True)
            (stored.results(model) / "bootstrap.parquet").unlink()
        write_leaderboard(stored, MODELS)
        assert stored.differences.read_bytes() == differences

    def test_the_report_compares_the_best_with_all_and_all_with_the_baseline(self, stored: AttentionPaths) -> None:
        first, second, _ = write_leaderboard(stored, MODELS)["model"]
        text = stored.report.read_text()
        for pair in (f"{first} over {second}", f"{first} over dummy", f"{second} over dummy"):
            assert f"| {pair} | " in text


def test_only_a_score_above_the_limit_asks_for_a_leakage_check(stored: AttentionPaths) -> None:
    for model, f1 in (("logreg", 0.71), ("lgbm", 0.70), ("dummy", 0.34)):
        change(stored, model, mean={**read_metrics(stored, model)["mean"], "f1_macro": f1})
    write_leaderboard(stored, MODELS)
    assert "Leakage check needed:** logreg reached" in stored.report.read_text()
    change(stored, "logreg", mean={**read_metrics(stored, "logreg")["mean"], "f1_macro": 0.69})
    write_leaderboard(stored, MODELS)
    assert "Leakage" not in stored.report.read_text()


def test_the_report_cites_the_audit(stored: AttentionPaths) -> None:
    write_leaderboard(stored, MODELS)
    assert "Honesty audit: certain: nothing; suspicious:" in stored.report.read_text()
    assert "See [audit.md](audit.md)." in stored.report.read_text()


@pytest.mark.parametrize("other", [{"source_sha256": "1" * 64}, {"protocol": {"splitter": "logo"}}])
def test_an_audit_of_other_data_or_folds_is_named(stored: AttentionPaths, other: dict[str, Any]) -> None:
    write_json(stored.audit, {**read_json(stored.audit), **other})
    with pytest.raises(ArtefactError, match="audit and models have different data or folds"):
        write_leaderboard(stored, MODELS)


def test_an_audit_that_is_missing_is_named(stored: AttentionPaths) -> None:
    stored.audit.unlink()
    with pytest.raises(ArtefactError, match=r"audit\.json is missing"):
        write_leaderboard(stored, MODELS)


def test_a_model_no_better_than_the_baseline_is_named(stored: AttentionPaths) -> None:
    change(stored, "lgbm", mean=read_metrics(stored, "dummy")["mean"])
    write_leaderboard(stored, MODELS)
    assert "No better than the baseline: lgbm." in stored.report.read_text()


def test_the_same_metrics_give_the_same_bytes_in_any_order(stored: AttentionPaths) -> None:
    write_leaderboard(stored, MODELS)
    files = [file for file in stored.results_folder.iterdir() if file.is_file()]
    first = {file.name: file.read_bytes() for file in files}
    assert sorted(first) == [
        "audit.json",
        "audit.md",
        "calibration.png",
        "differences.csv",
        "f1_macro.png",
        "leaderboard.csv",
        "participants.png",
        "report.md",
        "roc_auc.png",
    ]
    write_leaderboard(stored, MODELS[::-1])
    assert {file.name: file.read_bytes() for file in files} == first


def test_models_of_different_protocols_are_not_compared(stored: AttentionPaths) -> None:
    change(stored, "lgbm", protocol={**read_metrics(stored, "lgbm")["protocol"], "seed": 1})
    with pytest.raises(ArtefactError, match="lgbm and dummy were cross-validated on different data or folds"):
        write_leaderboard(stored, MODELS)


@pytest.mark.parametrize(("models", "said"), [(("lgbm",), "no baseline"), ((*MODELS, "rf"), "rf has no metrics.json")])
def test_missing_results_are_named(stored: AttentionPaths, models: Any, said: str) -> None:
    with pytest.raises(ArtefactError, match=said):
        write_leaderboard(stored, models)


def test_folds_of_one_class_are_named_and_left_out(data: AttentionData, paths: AttentionPaths) -> None:
    one_sided = dataclasses.replace(data, y=np.where(data.groups == "P03", 0, data.y))
    config = CrossValidationConfig(splitter="logo", backend="sequential")
    write_features(one_sided, paths)
    for result in cross_validate(one_sided, ["dummy", "logreg"], config).values():
        write_results(result, paths)
    write_audit(paths, ["dummy", "logreg"], ControlConfig(permutations=1, models=("logreg",)), SEQUENTIAL)
    table = write_leaderboard(paths, ["dummy", "logreg"])
    assert not table.isna().any(axis=None)
    text = paths.report.read_text()
    assert "10 folds (logo, seed 42)" in text
    assert "deviation over folds (macro-F1 and AUROC without 1 folds of one class):" in text


def test_without_such_folds_the_report_does_not_mention_them(stored: AttentionPaths) -> None:
    write_leaderboard(stored, MODELS)
    assert "5 folds (stratified_group, seed 42)" in stored.report.read_text()
    assert "one class" not in stored.report.read_text()

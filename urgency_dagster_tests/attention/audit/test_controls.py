import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from urgency_dagster.attention.audit.auroc import overall_auroc
from urgency_dagster.attention.audit.controls import (
    ControlConfig,
    Controls,
    ShuffledScore,
    control_findings,
    run_controls,
    shuffled_labels,
    shuffled_scores,
)
from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation import cross_validation, folds
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.folds import split_folds
from urgency_dagster.attention.validation.protocol import MODEL_NAMES, CrossValidationConfig, Protocol
from urgency_dagster.errors import SettingsError
from urgency_dagster_tests.attention.conftest import times
from urgency_dagster_tests.attention.honest import WINDOWS_S, history, honest_data

SEQUENTIAL = CrossValidationConfig(backend="sequential")
QUICK = ControlConfig(permutations=1, models=("logreg",), without_history=False)


@pytest.fixture(scope="module")
def data() -> AttentionData:
    """Enough rows for the selector to keep features of labels that mean nothing."""
    return honest_data(participants=20, rows=60)


def kinds(controls: Any) -> dict[FindingKind, Finding]:
    return {finding.kind: finding for finding in control_findings(controls)}


def test_labels_are_shuffled_within_participants_only(data: AttentionData) -> None:
    shuffled = shuffled_labels(data, 1)
    assert not np.array_equal(shuffled.y, data.y)
    for participant in np.unique(data.groups):
        rows = data.groups == participant
        assert shuffled.y[rows].sum() == data.y[rows].sum()
    again, other = split_folds(data.y, data.groups, SEQUENTIAL), split_folds(shuffled.y, data.groups, SEQUENTIAL)
    assert all(np.array_equal(a.test, b.test) for a, b in zip(again, other, strict=True))


def test_on_shuffled_labels_every_model_is_at_chance(data: AttentionData) -> None:
    scores = shuffled_scores(data, ControlConfig(permutations=2, models=MODEL_NAMES), SEQUENTIAL)
    assert tuple(scores) == MODEL_NAMES
    for model, score in scores.items():
        assert score.at_chance, (model, score)
        assert score.permutations == 2
        assert score.low is not None
        assert score.high is not None
        assert score.high - score.low < 0.15
    assert kinds(Controls(scores))[FindingKind.AT_CHANCE].count == 5


def test_features_that_predict_base_rates_are_not_a_leak(data: AttentionData) -> None:
    rates = pd.Series(data.y).groupby(data.groups).transform("mean").to_numpy(dtype="float32")
    telling = dataclasses.replace(data, X=data.X.assign(**{"PIF#AGE": rates}))
    shuffled = cross_validate(shuffled_labels(telling, 1), ["logreg"], SEQUENTIAL)["logreg"].predictions
    # The scores order participants by base rate. This is not a leak, but the AUROC over all rows shows it.
    assert overall_auroc(shuffled[["probability"]].to_numpy(), shuffled["y"].to_numpy())[0] > 0.55
    score = shuffled_scores(telling, QUICK.changed(permutations=8), SEQUENTIAL)["logreg"]
    assert score.auroc == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("model", ["logreg", "lgbm"])
def test_models_fitted_on_the_test_rows_are_not_at_chance(
    data: AttentionData, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaking(y: np.ndarray, groups: np.ndarray, config: CrossValidationConfig) -> Any:
        rows = np.arange(len(y))
        return tuple(dataclasses.replace(fold, train=rows) for fold in split_folds(y, groups, config))

    monkeypatch.setattr(cross_validation, "split_folds", leaking)
    scores = shuffled_scores(data, QUICK.changed(models=(model,)), SEQUENTIAL)
    assert (scores[model].low or 0) > 0.5
    finding = kinds(Controls(scores))[FindingKind.NOT_AT_CHANCE]
    assert (finding.level, finding.names) == (Level.SUSPICION, (model,))
    assert finding.figures == {model: scores[model].auroc}


def test_a_selector_that_saw_the_test_rows_is_not_at_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    data = honest_data(participants=20, rows=60, columns=400)
    honest = folds.prepare_fold

    def leaking(X: Any, y: np.ndarray, groups: np.ndarray, fold: Any, protocol: Protocol) -> Any:
        everything = dataclasses.replace(fold, train=np.arange(len(y)))
        prepared = honest(X, y, groups, everything, protocol)
        matrix = prepared.train.X[fold.train]
        train = dataclasses.replace(prepared.train, X=matrix, y=y[fold.train], groups=groups[fold.train])
        return dataclasses.replace(prepared, train=train)

    assert shuffled_scores(data, QUICK, SEQUENTIAL)["logreg"].at_chance
    monkeypatch.setattr(cross_validation, "prepare_fold", leaking)
    assert not shuffled_scores(data, QUICK, SEQUENTIAL)["logreg"].at_chance


def test_shuffled_labels_without_a_selected_feature_are_at_chance(data: AttentionData) -> None:
    constant = dataclasses.replace(data, X=pd.DataFrame({"HRT#VAL": np.ones(len(data.y), "float32")}))
    scores = shuffled_scores(constant, QUICK, SEQUENTIAL)
    assert scores == {"logreg": ShuffledScore(None, None, None, 0)}
    assert kinds(Controls(scores))[FindingKind.AT_CHANCE].figures == {}


def test_the_same_seed_gives_the_same_score_and_every_permutation_is_another(data: AttentionData) -> None:
    once = shuffled_scores(data, QUICK, SEQUENTIAL)
    assert shuffled_scores(data, QUICK, SEQUENTIAL) == once
    assert shuffled_scores(data, QUICK.changed(permutations=2), SEQUENTIAL) != once


def test_scores_that_depend_on_label_history_are_suspicious(data: AttentionData) -> None:
    own = {name: history(data.y, data.groups, times(data), w, own=True) for name, w in WINDOWS_S.items()}
    leaking = dataclasses.replace(data, X=data.X.assign(**own))
    judged = {"logreg": {"mean": mean_scores(leaking)}}
    seen = []
    controls = run_controls(
        leaking,
        judged,
        ControlConfig(permutations=1, models=("logreg",)),
        SEQUENTIAL,
        lambda done, total, **_: seen.append((done, total)),
    )
    assert seen[-1] == (2, 2)
    assert (1, 2) in seen
    assert controls.with_history["logreg"] == judged["logreg"]["mean"]
    without = dataclasses.replace(data, X=data.X.drop(columns=list(WINDOWS_S)))
    assert controls.without_history["logreg"]["f1_macro"] == pytest.approx(mean_scores(without)["f1_macro"])
    finding = kinds(controls)[FindingKind.HISTORY_CARRIES]
    assert (finding.level, finding.names) == (Level.SUSPICION, ("logreg",))


def test_without_any_feature_left_the_scores_are_those_of_the_baseline(data: AttentionData) -> None:
    empty = pd.DataFrame({"HRT#VAL": np.ones(len(data.y), "float32"), "ESM#LIK#H06": data.X["ESM#LIK#H06"]})
    baseline = {"accuracy": 0.5, "f1_macro": 0.33, "roc_auc": 0.5}
    judged = {"logreg": {"mean": {"f1_macro": 0.6}}, "dummy": {"mean": baseline}}
    controls = run_controls(
        dataclasses.replace(data, X=empty), judged, ControlConfig(permutations=0, models=("logreg",)), SEQUENTIAL
    )
    assert controls.without_history == {"logreg": baseline}


def mean_scores(data: AttentionData) -> Any:
    result = cross_validate(data, ["logreg"], SEQUENTIAL)["logreg"]
    return result.folds[["accuracy", "f1_macro", "roc_auc"]].mean().to_dict()


@pytest.mark.parametrize(("without", "kind"), [(0.549, FindingKind.HISTORY_CARRIES), (0.551, None)])
def test_a_small_drop_without_history_is_not_a_finding(without: float, kind: str) -> None:
    controls = Controls({}, {"rf": {"f1_macro": 0.6}}, {"rf": {"f1_macro": without}})
    assert set(kinds(controls)) == ({kind} if kind else set())


def test_without_label_history_and_permutations_nothing_is_fitted(
    data: AttentionData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urgency_dagster.attention.audit.controls.cross_validate", lambda *_: pytest.fail("fitted"))
    plain = dataclasses.replace(data, X=data.X.drop(columns=list(WINDOWS_S)))
    ray = CrossValidationConfig(backend="ray")
    assert run_controls(plain, {}, ControlConfig(permutations=0), ray) == Controls()
    assert run_controls(data, {}, ControlConfig(permutations=0, without_history=False), ray) == Controls()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"permutations": -1}, "permutations is -1; expected greater than or equal to 0"),
        ({"models": ("svm",)}, r"models\.0 is 'svm'; expected 'logreg', "),
        ({"models": ("dummy",)}, r"models\.0 is 'dummy'"),
        ({"models": ()}, r"models is \(\)"),
    ],
)
def test_invalid_options_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        ControlConfig(**options)


@pytest.mark.parametrize(
    ("low", "high", "at_chance"),
    [(0.4, 0.6, True), (0.5, 0.6, True), (0.4, 0.5, True), (0.51, 0.6, False), (0.4, 0.49, False), (None, None, True)],
)
def test_at_chance_means_that_the_interval_contains_one_half(
    low: float | None, high: float | None, at_chance: bool
) -> None:
    assert ShuffledScore(0.5, low, high, 3).at_chance is at_chance

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from urgency_dagster.attention.audit.audit import Audit, StoredResults, audit, read_findings, read_results, write_audit
from urgency_dagster.attention.audit.controls import ControlConfig
from urgency_dagster.attention.audit.findings import FindingKind, Level
from urgency_dagster.attention.reading.features import write_features
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.protocol import CrossValidationConfig, ModelResult
from urgency_dagster.attention.validation.results import read_metrics, write_results
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import AttentionPaths, StoragePaths
from urgency_dagster.writing import read_json, write_json
from urgency_dagster_tests.attention.conftest import times
from urgency_dagster_tests.attention.honest import WINDOWS_S, history, honest_data, with_columns

SEQUENTIAL = CrossValidationConfig(backend="sequential")
MODELS = ("logreg", "dummy")
NO_CONTROLS = ControlConfig(permutations=0, models=("logreg",), without_history=False)


@pytest.fixture(scope="module")
def data() -> AttentionData:
    """Answers that do not last, so that no score rests on their history."""
    return honest_data(participants=20, rows=60, persistence=0.0)


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
    return root


@pytest.fixture
def stored(stored_root: Path, copy_of: Callable[[Path], AttentionPaths]) -> AttentionPaths:
    return copy_of(stored_root)


def stored_results(results: dict[str, ModelResult]) -> StoredResults:
    metrics = {model: {"mean": result.folds.mean().to_dict()} for model, result in results.items()}
    return StoredResults(metrics, {model: result.predictions for model, result in results.items()})


def certain(data: AttentionData, results: dict[str, ModelResult]) -> list[FindingKind]:
    done = audit(data, stored_results(results), NO_CONTROLS, SEQUENTIAL)
    return [finding.kind for finding in done.of(Level.CERTAIN)]


def test_honest_data_and_models_have_notes_only(data: AttentionData, results: dict[str, ModelResult]) -> None:
    done = audit(data, stored_results(results), ControlConfig(permutations=2, models=("logreg",)), SEQUENTIAL)
    assert done.of(Level.CERTAIN) == []
    assert done.of(Level.SUSPICION) == []
    assert {finding.kind for finding in done.of(Level.NOTE)} == {
        FindingKind.IDENTIFIER,
        FindingKind.LABEL_HISTORY,
        FindingKind.AT_CHANCE,
    }


def test_a_column_equal_to_the_label_is_caught(data: AttentionData, results: dict[str, ModelResult]) -> None:
    assert certain(with_columns(data, HRT__VAL=data.y.astype("float32")), results) == [FindingKind.COLUMN_TELLS_LABEL]


def test_a_participant_on_both_sides_is_caught(data: AttentionData, results: dict[str, ModelResult]) -> None:
    table = results["logreg"].predictions
    split = {"logreg": dataclasses.replace(results["logreg"], predictions=table.assign(fold=table["row"] % 5 + 1))}
    assert certain(data, results | split) == [FindingKind.PARTICIPANT_IN_TWO_FOLDS]


def test_a_history_of_the_own_label_is_caught(data: AttentionData, results: dict[str, ModelResult]) -> None:
    own = history(data.y, data.groups, times(data), WINDOWS_S["ESM#LIK#H24"], own=True)
    assert certain(with_columns(data, ESM__LIK__H24=own), results) == [FindingKind.OWN_LABEL_IN_HISTORY]


@pytest.mark.parametrize(("score", "suspicious"), [(0.71, True), (0.70, False)])
def test_a_score_that_is_too_good_is_suspicious(
    data: AttentionData, results: dict[str, ModelResult], score: float, suspicious: bool
) -> None:
    judged = stored_results(results)
    judged.metrics["logreg"]["mean"]["f1_macro"] = score
    done = audit(data, judged, NO_CONTROLS, SEQUENTIAL)
    assert [f.names for f in done.findings if f.kind == FindingKind.IMPLAUSIBLE_SCORE] == [("logreg",)] * suspicious


def test_the_stored_audit_equals_the_returned_audit(stored: AttentionPaths, data: AttentionData) -> None:
    done = write_audit(stored, MODELS, ControlConfig(permutations=1, models=("logreg",)), SEQUENTIAL)
    assert read_findings(stored, read_metrics(stored, "logreg")) == list(done.findings)
    as_json = read_json(stored.audit)
    assert as_json["counts"] == {"certain": 0, "suspicion": 0, "note": 3}
    assert as_json["config"] == {"permutations": 1, "models": ["logreg"], "without_history": True, "accept": []}
    assert as_json["controls"]["shuffled"]["logreg"]["auroc"] == done.controls.shuffled["logreg"].auroc
    text = stored.audit_report.read_text()
    assert "Honesty audit: certain: nothing; suspicious: nothing." in text
    assert f"| logreg | {done.controls.shuffled['logreg'].auroc:.3f} |" in text
    assert "## With and without label history" in text


def test_the_same_data_gives_the_same_bytes(stored: AttentionPaths) -> None:
    def written() -> tuple[bytes, bytes]:
        write_audit(stored, MODELS, ControlConfig(permutations=1, models=("logreg",)), SEQUENTIAL)
        return stored.audit.read_bytes(), stored.audit_report.read_bytes()

    assert written() == written()


def test_the_audit_uses_the_stored_protocol(stored: AttentionPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def noted(
        data: AttentionData,
        results: StoredResults,
        config: ControlConfig,
        protocol: CrossValidationConfig,
        progress: Any,
    ) -> Audit:
        seen.append(protocol)
        return audit(data, results, NO_CONTROLS, protocol, progress)

    monkeypatch.setattr("urgency_dagster.attention.audit.audit.audit", noted)
    other = {"splitter": "logo", "n_splits": 2, "seed": 1, "oversample": True, "xgb_settings": "authors"}
    write_audit(stored, MODELS, NO_CONTROLS, SEQUENTIAL.changed(**other))
    assert seen == [SEQUENTIAL]


def test_models_of_other_samples_or_folds_are_not_audited(stored: AttentionPaths, data: AttentionData) -> None:
    other = dataclasses.replace(data, y=data.y[::-1].copy())
    with pytest.raises(ArtefactError, match="logreg was cross-validated on other samples or folds"):
        read_results(stored, MODELS, other)
    with pytest.raises(ArtefactError, match="logreg was cross-validated on other samples or folds"):
        read_results(stored, MODELS, dataclasses.replace(data, source_sha256="1" * 64))
    metrics = stored.results("dummy") / "metrics.json"
    write_json(metrics, {**read_json(metrics), "protocol": {"seed": 1}})
    with pytest.raises(ArtefactError, match="dummy was cross-validated on other samples or folds"):
        read_results(stored, MODELS, data)


def test_missing_results_are_named(stored: AttentionPaths) -> None:
    with pytest.raises(ArtefactError, match="lgbm were not cross-validated, but the controls need them"):
        write_audit(stored, MODELS, ControlConfig(), SEQUENTIAL)
    with pytest.raises(ArtefactError, match="dummy were not cross-validated"):
        write_audit(stored, ["logreg"], NO_CONTROLS, SEQUENTIAL)
    (stored.results("dummy") / "predictions.parquet").unlink()
    with pytest.raises(ArtefactError, match=r"dummy has no predictions\.parquet"):
        write_audit(stored, MODELS, NO_CONTROLS, SEQUENTIAL)

import dataclasses
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import pandas as pd
import pytest

from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level
from urgency_dagster.attention.audit.leaking_columns import STRONG_AUROC, column_findings, label_bits
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster_tests.attention.conftest import times
from urgency_dagster_tests.attention.honest import WINDOWS_S, honest_data, replicated, with_columns

RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def honest() -> AttentionData:
    # What label history may hold is not asked here.
    data = honest_data()
    return dataclasses.replace(data, X=data.X.drop(columns=list(WINDOWS_S)))


def found(data: AttentionData, kind: FindingKind, **options: AbstractSet[str]) -> list[Finding]:
    return [finding for finding in column_findings(data, **options) if finding.kind == kind]


def codes_of(y: np.ndarray) -> Any:
    """A raw answer from -3 to 3, folded so that neither direction orders the label."""
    return np.where(y == 1, RNG.choice([1, 5], len(y)), RNG.choice([0, 3, 6], len(y)))


def offsets(data: AttentionData) -> Any:
    return np.unique(data.groups, return_inverse=True)[1] * 10.0


LEAKS = {
    "equal": lambda data: data.y,
    "as bool": lambda data: data.y == 1,
    "negated": lambda data: 1 - data.y,
    "scaled": lambda data: 3.7 * data.y - 2,
    "with a little noise": lambda data: data.y + RNG.uniform(-0.4, 0.4, len(data.y)),
    "as a code": lambda data: codes_of(data.y),
    "above a level of its own for everybody": lambda data: data.y + RNG.uniform(-0.4, 0.4, len(data.y)) + offsets(data),
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS.keys())
def test_a_column_that_gives_the_label_is_certain(honest: AttentionData, leak: Any) -> None:
    values = leak(honest)
    leaking = with_columns(honest, HRT__VAL=values if values.dtype == bool else values.astype("float32"))
    (finding,) = found(leaking, FindingKind.COLUMN_TELLS_LABEL)
    assert (finding.level, finding.names) == (Level.CERTAIN, ("HRT#VAL",))
    assert not found(leaking, FindingKind.STRONG_COLUMN)


def test_honest_columns_have_no_finding(honest: AttentionData) -> None:
    assert [finding.kind for finding in column_findings(honest)] == [FindingKind.IDENTIFIER]


def test_a_label_with_one_error_is_strong_not_certain(honest: AttentionData) -> None:
    almost = honest.y.astype("float32")
    almost[::50] = 1 - almost[::50]
    leaking = with_columns(honest, HRT__VAL=almost)
    assert not found(leaking, FindingKind.COLUMN_TELLS_LABEL)
    (finding,) = found(leaking, FindingKind.STRONG_COLUMN)
    assert (finding.level, finding.names) == (Level.SUSPICION, ("HRT#VAL",))
    assert finding.figures["HRT#VAL"] > 0.95


@pytest.mark.parametrize(("shift", "strong"), [(0.3, False), (1.2, True), (-1.2, True)])
def test_a_column_is_strong_above_the_bound_in_either_direction(
    honest: AttentionData, shift: float, strong: bool
) -> None:
    values = (np.random.default_rng(0).normal(size=len(honest.y)) + shift * honest.y).astype("float32")
    findings = found(with_columns(honest, HRT__VAL=values), FindingKind.STRONG_COLUMN)
    assert bool(findings) is strong
    assert all(finding.figures["HRT#VAL"] > STRONG_AUROC for finding in findings)


def test_a_column_that_is_excluded_may_be_strong(honest: AttentionData) -> None:
    values = (np.random.default_rng(0).normal(size=len(honest.y)) + 2 * honest.y).astype("float32")
    leaking = with_columns(honest, ESM__LIK__H06=values)
    assert found(leaking, FindingKind.STRONG_COLUMN)
    assert not found(leaking, FindingKind.STRONG_COLUMN, excluded={"ESM#LIK#H06"})


def test_too_few_labels_give_no_certain_finding() -> None:
    # Five participants of one label each: whatever says who they are says the label, and no more than that.
    groups = np.repeat([f"P{n}" for n in range(5)], 20)
    y = np.repeat([0, 1, 0, 1, 1], 20)
    X = pd.DataFrame({"PIF#AGE": np.repeat([20, 21, 22, 23, 24], 20).astype("float32"), "HRT#VAL": y.astype("float32")})
    data = AttentionData(X, y, groups, None, "0" * 64)
    assert label_bits(data) == 0
    assert not found(data, FindingKind.COLUMN_TELLS_LABEL)
    assert found(data, FindingKind.STRONG_COLUMN)[0].names == ("HRT#VAL", "PIF#AGE")


def test_a_column_of_unique_values_does_not_give_the_label(honest: AttentionData) -> None:
    data = with_columns(honest, HRT__VAL=np.arange(len(honest.y), dtype="float32"))
    assert not found(data, FindingKind.COLUMN_TELLS_LABEL)


def test_noise_that_lasts_for_a_prompt_does_not_tell_the_label(honest: AttentionData) -> None:
    """Its copies have the prompt's label, but 480 prompts are 480 labels, not 2,400."""
    data = replicated(honest)
    slow = np.repeat(RNG.normal(size=len(honest.y)), 5).astype("float32")
    assert label_bits(data) == pytest.approx(label_bits(honest))
    assert not found(with_columns(data, HRT__VAL=slow), FindingKind.COLUMN_TELLS_LABEL)


@pytest.mark.parametrize("timed", [True, False])
def test_noise_in_rows_that_occur_twice_does_not_tell_the_label(honest: AttentionData, timed: bool) -> None:
    twice = np.tile(np.arange(len(honest.y)), 2)
    data = dataclasses.replace(
        honest,
        X=honest.X.iloc[twice].reset_index(drop=True),
        y=honest.y[twice],
        groups=honest.groups[twice],
        t_s=times(honest)[twice] if timed else None,
    )
    assert label_bits(data) == pytest.approx(label_bits(honest))
    assert not found(data, FindingKind.COLUMN_TELLS_LABEL)


def test_the_label_is_told_in_replicated_prompts_too(honest: AttentionData) -> None:
    data = replicated(honest)
    leaking = with_columns(data, HRT__VAL=data.y.astype("float32"))
    assert found(leaking, FindingKind.COLUMN_TELLS_LABEL)[0].names == ("HRT#VAL",)


def test_identifying_columns_are_a_note_or_suspicious_by_their_stream(honest: AttentionData) -> None:
    numbers = np.unique(honest.groups, return_inverse=True)[1]
    leaking = with_columns(honest, HRT__VAL=numbers.astype("float32"), EDA__VAL=(numbers % 3).astype("float32"))
    suspicious, note = found(leaking, FindingKind.IDENTIFIER)
    assert (suspicious.level, suspicious.names) == (Level.SUSPICION, ("EDA#VAL", "HRT#VAL"))
    assert suspicious.figures == {"different_profiles": 12, "participants": 12}
    assert (note.level, note.names) == (Level.NOTE, ("PIF#AGE",))


def test_a_constant_column_identifies_no_participant(honest: AttentionData) -> None:
    columns = {"HRT#VAL": np.zeros(len(honest.y), dtype="float32")}
    data = dataclasses.replace(honest, X=pd.DataFrame(columns))
    assert column_findings(data) == []

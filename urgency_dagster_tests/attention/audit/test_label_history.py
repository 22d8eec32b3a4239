import dataclasses
from pathlib import Path

import numpy as np
import pytest

from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level
from urgency_dagster.attention.audit.label_history import Histories, history_findings, recompute
from urgency_dagster.attention.reading.pickles import AttentionData, load_attention_pickle
from urgency_dagster.attention.reading.replicates import prompt_numbers
from urgency_dagster.demo.wearables import attention_pickle
from urgency_dagster_tests.attention.conftest import make_data, times
from urgency_dagster_tests.attention.honest import WINDOWS_S, history, honest_data, replicated, with_columns


@pytest.fixture(scope="module")
def honest() -> AttentionData:
    return honest_data()


def kinds(data: AttentionData) -> dict[FindingKind, Finding]:
    return {finding.kind: finding for finding in history_findings(data)}


def recomputed(data: AttentionData, window_s: float) -> Histories:
    return recompute(data, times(data), prompt_numbers(data, times(data)), int(window_s))


def test_the_recomputed_history_follows_the_definition(honest: AttentionData) -> None:
    for name, window_s in WINDOWS_S.items():
        np.testing.assert_allclose(recomputed(honest, window_s).honest, honest.X[name], atol=1e-6)


def test_an_honest_history_is_only_noted(honest: AttentionData) -> None:
    (finding,) = history_findings(honest)
    assert (finding.level, finding.kind) == (Level.NOTE, FindingKind.LABEL_HISTORY)
    assert finding.figures == {"ESM#LIK#H06": 1.0, "ESM#LIK#H24": 1.0}


def test_the_demo_s_history_is_honest(tmp_path: Path) -> None:
    path = tmp_path / "attention.pkl"
    path.write_bytes(attention_pickle(400))
    (finding,) = history_findings(load_attention_pickle(path))
    assert (finding.kind, finding.count) == (FindingKind.LABEL_HISTORY, 3)
    assert set(finding.figures.values()) == {1.0}


@pytest.mark.parametrize("name", WINDOWS_S)
def test_a_mean_that_includes_the_own_label_is_certain(honest: AttentionData, name: str) -> None:
    own = history(honest.y, honest.groups, times(honest), WINDOWS_S[name], own=True)
    finding = kinds(with_columns(honest, **{name: own}))[FindingKind.OWN_LABEL_IN_HISTORY]
    assert (finding.level, finding.names) == (Level.CERTAIN, (name,))
    assert finding.figures["rows_with_own_label"] == 1.0


def test_the_own_label_in_a_mixture_is_certain(honest: AttentionData) -> None:
    mixed = (0.5 * honest.X["ESM#LIK#H06"] + 0.5 * honest.y).to_numpy(dtype="float32")
    finding = kinds(with_columns(honest, ESM__LIK__H06=mixed))[FindingKind.OWN_LABEL_IN_HISTORY]
    assert finding.figures["gain_low"] > 0.1


def test_a_history_with_replicates_of_the_own_prompt_is_certain(honest: AttentionData) -> None:
    finding = kinds(replicated(honest))[FindingKind.OWN_LABEL_IN_HISTORY]
    assert finding.level == Level.CERTAIN
    assert finding.figures["rows_with_own_label"] == 1.0


def test_a_history_without_replicates_of_the_own_prompt_is_honest(honest: AttentionData) -> None:
    data = replicated(honest)
    honest_again = {name: recomputed(data, w).honest.astype("float32") for name, w in WINDOWS_S.items()}
    assert set(kinds(with_columns(data, **honest_again))) == {FindingKind.LABEL_HISTORY}


def test_a_history_with_answers_outside_the_data_is_suspicious_not_certain(
    honest: AttentionData,
) -> None:
    # Every other prompt is left out, the columns are those of all.
    kept = np.arange(0, len(honest.y), 2)
    fewer = dataclasses.replace(
        honest,
        X=honest.X.iloc[kept].reset_index(drop=True),
        y=honest.y[kept],
        groups=honest.groups[kept],
        t_s=times(honest)[kept],
    )
    findings = kinds(fewer)
    assert set(findings) == {FindingKind.LABEL_HISTORY, FindingKind.UNVERIFIED_HISTORY}
    assert findings[FindingKind.UNVERIFIED_HISTORY].level == Level.SUSPICION


def test_without_times_or_window_a_history_cannot_be_verified(honest: AttentionData) -> None:
    untimed = kinds(dataclasses.replace(honest, t_s=None))[FindingKind.UNVERIFIED_HISTORY]
    assert untimed.names == tuple(WINDOWS_S)
    unnamed = kinds(with_columns(honest, ESM__LIK=honest.X["ESM#LIK#H06"].to_numpy()))[FindingKind.UNVERIFIED_HISTORY]
    assert unnamed.names == ("ESM#LIK",)


def test_few_rows_or_participants_give_no_certain_finding() -> None:
    few = honest_data(participants=2, rows=8)
    own = history(few.y, few.groups, times(few), WINDOWS_S["ESM#LIK#H06"], own=True)
    findings = kinds(with_columns(few, ESM__LIK__H06=own))
    assert FindingKind.OWN_LABEL_IN_HISTORY not in findings
    assert FindingKind.UNVERIFIED_HISTORY in findings


def test_data_without_label_history_has_no_finding(honest: AttentionData) -> None:
    assert history_findings(dataclasses.replace(honest, X=honest.X.drop(columns=list(WINDOWS_S)))) == []


def test_noise_in_a_history_column_is_suspicious_not_certain() -> None:
    """Of labels that do not depend on each other, the honest history orders less than half of the pairs."""
    found = kinds(make_data(rows=2500))
    assert FindingKind.OWN_LABEL_IN_HISTORY not in found
    assert found[FindingKind.UNVERIFIED_HISTORY].names == ("ESM#LIK#H06",)

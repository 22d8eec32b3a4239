import dataclasses
from typing import Any

import numpy as np
import pytest

from urgency_dagster.attention.audit.findings import FindingKind, Level
from urgency_dagster.attention.audit.label_history import every_history_column, history_findings
from urgency_dagster.attention.audit.running_shares import followed_shares
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.reading.replicates import numbers_of_prompts
from urgency_dagster_tests.attention.conftest import make_data, times
from urgency_dagster_tests.attention.honest import DAY_S, HOUR_S, WINDOWS_S, history, honest_data


@pytest.fixture(scope="module")
def honest() -> AttentionData:
    data = honest_data()
    return dataclasses.replace(data, X=data.X.drop(columns=list(WINDOWS_S)))


def with_column(data: AttentionData, name: str, values: Any) -> AttentionData:
    return dataclasses.replace(data, X=data.X.assign(**{name: np.asarray(values, dtype="float32")}))


def in_time(data: AttentionData, hours: float, own: bool) -> Any:
    return history(data.y, data.groups, times(data), hours * HOUR_S, own=own)


def last(data: AttentionData, count: int, own: bool) -> Any:
    """The share among the last answers."""
    shares = np.zeros(len(data.y))
    for row in range(len(data.y)):
        earlier = [i for i in range(max(row - count, 0), row + own) if data.groups[i] == data.groups[row]]
        shares[row] = data.y[earlier].mean() if earlier else 0
    return shares


def of_part(data: AttentionData, start: int, end: int, own: bool) -> Any:
    """The share among the answers of today between two hours, up to the row."""
    t = times(data)
    shares = np.zeros(len(data.y))
    for row in range(len(data.y)):
        first, past = (t[row] // DAY_S * DAY_S + hour * HOUR_S for hour in (start, end))
        known = (data.groups == data.groups[row]) & (t >= first) & (t < past) & (t < t[row])
        known[row] = own and first <= t[row] < past
        shares[row] = data.y[known].mean() if known.any() else 0
    return shares


def noise(data: AttentionData) -> Any:
    return np.random.default_rng(1).normal(0, 0.03, len(data.y))


KINDS: dict[str, Any] = {
    "hours": lambda data, own: in_time(data, 6, own),
    "hours between those that are tried": lambda data, own: in_time(data, 7, own),
    "the other class": lambda data, own: 1 - in_time(data, 24, own),
    "everything before": lambda data, own: in_time(data, 1e4, own),
    "the last answers": lambda data, own: last(data, 3, own),
    "a part of the day": lambda data, own: of_part(data, 9, 18, own),
    "standardised": lambda data, own: 3 * in_time(data, 12, own) - 7,
    "rounded": lambda data, own: in_time(data, 12, own).round(1),
    "with noise": lambda data, own: in_time(data, 12, own) + noise(data),
}


@pytest.mark.parametrize("name", ["ESM#LIK#H06#valence_bin", "ESM#LIK#TodayEvening", "anything"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_share_with_the_own_label_is_certain_whatever_its_name(honest: AttentionData, kind: str, name: str) -> None:
    found = history_findings(with_column(honest, name, KINDS[kind](honest, True)))
    (finding,) = [finding for finding in found if finding.level == Level.CERTAIN]
    assert (finding.kind, finding.names) == (FindingKind.OWN_LABEL_IN_HISTORY, (name,))


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_without_the_own_label_is_a_note(honest: AttentionData, kind: str) -> None:
    data = with_column(honest, "anything", KINDS[kind](honest, False))
    (finding,) = history_findings(data)
    assert (finding.level, finding.kind, finding.names) == (Level.NOTE, FindingKind.LABEL_HISTORY, ("anything",))
    assert every_history_column(data) == ["anything"]


@pytest.mark.parametrize("own", [True, False])
def test_without_times_the_order_of_the_rows_stands_for_them(honest: AttentionData, own: bool) -> None:
    data = dataclasses.replace(with_column(honest, "anything", last(honest, 5, own)), t_s=None)
    assert {name: share.has_own_label for name, share in followed_shares(data).items()} == {"anything": own}


@pytest.mark.parametrize("own", [True, False])
def test_the_share_of_class_0_under_its_original_name(honest: AttentionData, own: bool) -> None:
    of_0 = history(1 - honest.y, honest.groups, times(honest), 6 * HOUR_S, own=own)
    kinds = {finding.kind for finding in history_findings(with_column(honest, "ESM#LIK=0#H06", of_0))}
    assert kinds == {FindingKind.LABEL_HISTORY, *([FindingKind.OWN_LABEL_IN_HISTORY] if own else [])}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("persistence", [0.0, 0.8])
def test_honest_columns_follow_no_share(seed: int, persistence: float) -> None:
    data = honest_data(seed=seed, columns=200, persistence=persistence)
    rare = np.zeros(len(data.y))
    rare[seed] = 1
    found = followed_shares(with_column(data, "a rare event", rare))
    assert set(found) <= set(WINDOWS_S)
    assert not any(share.has_own_label for share in found.values())


def test_noise_and_informative_columns_follow_no_share() -> None:
    assert followed_shares(make_data(rows=1000)) == {}


@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_the_label_itself_is_no_share(honest: AttentionData, spread: float) -> None:
    """The shortest windows hold the own label only."""
    values = honest.y + spread * np.random.default_rng(0).normal(size=len(honest.y))
    assert followed_shares(with_column(honest, "HRT#VAL", values)) == {}


def test_replicates_in_a_random_order_have_the_order_of_the_file(honest: AttentionData) -> None:
    """Their prompts have no order, so windows of prompts count rows."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(len(honest.y)), 9)
    order = rng.permutation(len(rows))
    still = rng.normal(size=len(honest.y)).astype("float32")[rows]
    X = honest.X.iloc[rows].assign(**{"BAT_TMP#AVG#H03": still}).iloc[order].reset_index(drop=True)
    data = AttentionData(X, honest.y[rows][order], honest.groups[rows][order], None, "0" * 64)
    assert len(np.unique(numbers_of_prompts(data))) == len(honest.y)
    by_person = {person: np.flatnonzero(data.groups == person) for person in np.unique(data.groups)}
    shares = np.zeros(len(data.y))
    for of_person in by_person.values():
        ones = np.concatenate([[0], np.cumsum(data.y[of_person])])
        here = np.arange(len(of_person))
        first = np.maximum(here - 5, 0)
        shares[of_person] = (ones[here] - ones[first]) / np.maximum(here - first, 1)
    assert list(followed_shares(with_column(data, "HRT#HIST", shares))) == ["HRT#HIST"]

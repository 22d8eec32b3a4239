import pickle
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from urgency_dagster.demo.wearables import MIN_SAMPLES, PARTICIPANTS, SAMPLES, attention_pickle, draw_answers
from urgency_dagster.errors import SettingsError

NAME = re.compile(
    r"(EDA|HRT|STP)#(VAL|(AVG|STD|SKW|KUR|ASC|BEP|MED|TSC)#[SMH]\d\d)"
    r"|(ACT|CAE|RNG)#(VAL=[A-Z_]+|DSC(=[A-Z_]+)?|(ETP|ASC|DUR(=[A-Z_]+)?)#[SMH]\d\d)"
    r"|PIF#(AGE|BFI_[A-Z]{3}|PSS|PHQ|GHQ|GEN=[FM])"
    r"|ESM#(DOW=[A-Z]{3}|WKD=[YN]|HRN=[A-Z_]+|LIK#H\d\d)"
)


Data = tuple[Any, ...]
"""X, y, group, t, date_times."""


@pytest.fixture(scope="module")
def pickled() -> bytes:
    return attention_pickle(600)


@pytest.fixture(scope="module")
def data(pickled: bytes) -> Data:
    loaded: Data = pickle.loads(pickled)
    return loaded


def test_the_pickle_is_the_authors_tuple(data: Data) -> None:
    assert type(data) is tuple
    X, y, group, t, date_times = data
    assert type(X) is pd.DataFrame
    assert isinstance(X.index, pd.RangeIndex)
    assert len(X) == len(y) == len(group) == len(t) == len(date_times) == 600
    assert (y.dtype, group.dtype, t.dtype, date_times.dtype) == (np.int64, np.dtype("<U3"), np.float64, object)
    assert set(y.tolist()) == {0, 1}


def test_columns_follow_the_grammar_and_its_two_dtypes(data: Data) -> None:
    X = data[0]
    assert X.shape[1] == 368
    assert X.columns.is_unique
    assert [name for name in X.columns if not NAME.fullmatch(name)] == []
    categorical = {name for name, dtype in X.dtypes.items() if dtype.kind == "b"}
    assert {str(dtype) for dtype in X.dtypes} == {"bool", "float32"}
    assert categorical == {name for name in X.columns if re.search(r"#(VAL|GEN|DOW|WKD|HRN)=", name)}


def test_nothing_is_missing_or_infinite(data: Data) -> None:
    assert np.isfinite(data[0].to_numpy(dtype=np.float32)).all()


def test_one_hot_columns_have_one_value_per_row(data: Data) -> None:
    X = data[0]
    for prefix in ("ESM#DOW=", "ESM#WKD=", "ESM#HRN=", "PIF#GEN=", "ACT#VAL="):
        assert (X.filter(like=prefix).sum(axis=1) == 1).all(), prefix
    for prefix in ("CAE#VAL=", "RNG#VAL="):
        assert (X.filter(like=prefix).sum(axis=1) <= 1).all(), prefix


def test_participants_are_the_47_in_order(data: Data) -> None:
    group = data[2]
    assert len(PARTICIPANTS) == 47
    assert list(dict.fromkeys(group.tolist())) == list(PARTICIPANTS)
    assert (np.sort(group) == group).all()


def test_participant_features_are_constant_and_some_lack_a_stream(data: Data) -> None:
    X, _, group, *_ = data
    assert (X.filter(like="PIF#").groupby(group).nunique() == 1).all().all()
    absent = (X.filter(like="CAE#") == 0).all(axis=1).groupby(group).all()
    assert 0 < absent.sum() < len(PARTICIPANTS) / 2
    assert not (X.filter(like="ACT#") == 0).all(axis=1).any()


def test_times_are_whole_minutes_of_the_day_at_utc_plus_9(data: Data) -> None:
    _, _, group, t, date_times = data
    assert all(str(stamp.tz) == "pytz.FixedOffset(540)" for stamp in date_times)
    assert all(stamp.second == 0 and 10 <= stamp.hour < 22 for stamp in date_times)
    midnight = min(date_times).normalize()
    assert t.tolist() == [(stamp - midnight).total_seconds() for stamp in date_times]
    for code in PARTICIPANTS:
        assert (np.diff(t[group == code]) >= 40 * 60).all()
    assert t.max() < 23.1 * 86_400


def test_time_columns_describe_the_instant_before_the_prompt(data: Data) -> None:
    X, *_, date_times = data
    before = [stamp - pd.Timedelta(milliseconds=1) for stamp in date_times]
    days = [stamp.strftime("%a").upper() for stamp in before]
    assert X.filter(like="ESM#DOW=").idxmax(axis=1).tolist() == [f"ESM#DOW={day}" for day in days]
    assert X["ESM#WKD=Y"].tolist() == [stamp.weekday() >= 5 for stamp in before]
    assert X["ESM#HRN=MORNING"].tolist() == [9 <= stamp.hour < 12 for stamp in before]


def test_previous_labels_are_the_participants_own_and_earlier(data: Data) -> None:
    X, y, group, t, _ = data
    for tag, hours in (("H06", 6), ("H24", 24)):
        for i in range(0, len(y), 17):
            earlier = (group == group[i]) & (t < t[i]) & (t >= t[i] - hours * 3600)
            expected = y[earlier].mean() if earlier.any() else 0.0
            assert X[f"ESM#LIK#{tag}"][i] == pytest.approx(expected)


def test_a_few_participants_hardly_ever_change_their_answer(data: Data) -> None:
    rates: Any = pd.Series(data[1]).groupby(data[2]).mean()
    assert rates[PARTICIPANTS[1]] < 0.25
    assert rates[PARTICIPANTS[2]] > 0.75
    assert 0.4 < data[1].mean() < 0.6


def test_another_seed_gives_other_answers(pickled: bytes) -> None:
    assert attention_pickle(600, seed=8) != pickled


@pytest.mark.parametrize("seed", range(20))
def test_the_full_size_is_possible_with_any_seed(seed: int) -> None:
    answers = draw_answers(SAMPLES, seed)
    assert sum(one.y.size for one in answers.values()) == SAMPLES


@pytest.mark.parametrize("samples", [0, MIN_SAMPLES - 1, 100_000])
def test_an_impossible_number_of_samples_is_refused(samples: Any) -> None:
    with pytest.raises(SettingsError, match="wearable samples are asked for"):
        attention_pickle(samples)


@pytest.mark.slow
def test_the_signal_is_weak_but_there() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y, group, *_ = pickle.loads(attention_pickle())
    values = X.astype("float32").to_numpy()

    def auroc(labels: Any) -> Any:
        scores = []
        for train, test in StratifiedGroupKFold(5, shuffle=True, random_state=42).split(values, labels, group):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300))
            model.fit(values[train], labels[train])
            scores.append(roc_auc_score(labels[test], model.predict_proba(values[test])[:, 1]))
        return np.mean(scores)

    assert 0.55 < auroc(y) < 0.70
    assert 0.44 < auroc(np.random.default_rng(0).permutation(y)) < 0.56

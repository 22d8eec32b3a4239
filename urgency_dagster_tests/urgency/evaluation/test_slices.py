from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.urgency.evaluation.slices import MIN_CALLS, slice_labels, slice_scores


def rows(*changes: dict[str, Any]) -> pa.Table:
    row = {
        "archive": "T_광주_구급",
        "_id": "a",
        "endAt": 1000,
        "duration_s": 1.0,
        "speaker": 1,
        "gender": "F",
        "disasterMedium": "부상",
    }
    return pa.Table.from_pylist([{**row, **change} for change in changes])


def labels(name: str, *changes: dict[str, Any]) -> list[str]:
    names: list[str] = slice_labels(rows(*changes))[name].tolist()
    return names


def test_region_and_category_are_those_of_the_archive() -> None:
    archives = [{"archive": name} for name in ("T_광주_구급", "V_서울_화재", "T_x", "T")]
    assert labels("region", *archives) == ["광주", "서울", "x", "unknown"]
    assert labels("category", *archives) == ["구급", "화재", "unknown", "unknown"]


def test_an_unknown_value_is_its_own_slice() -> None:
    assert labels("gender", {"gender": "M"}, {"gender": None}) == ["M", "unknown"]
    assert labels("disasterMedium", {}, {"disasterMedium": None}) == ["부상", "unknown"]
    assert labels("speaker", {"speaker": 0}, {"speaker": 1}, {"speaker": None}) == ["call taker", "caller", "unknown"]


@pytest.mark.parametrize(
    ("seconds", "part"),
    [(0.5, "0 to 1 s"), (1.0, "1 to 2 s"), (1.99, "1 to 2 s"), (4.99, "2 to 5 s"), (5.0, "5 s and more")],
)
def test_a_length_on_a_bound_belongs_to_the_longer_slice(seconds: float, part: str) -> None:
    assert labels("segment_length", {"duration_s": seconds}) == [part]


def test_the_length_of_a_call_is_where_its_last_utterance_ends() -> None:
    found = labels("call_length", {"_id": "b", "endAt": 3000}, {"endAt": 2000}, {"_id": "b", "endAt": 50_000})
    assert found == ["45 to 90 s", "0 to 45 s", "45 to 90 s"]
    assert labels("call_length", {"endAt": 200_000}) == ["90 s and more"]


def test_the_scores_of_a_slice_use_its_rows_only() -> None:
    rng = np.random.default_rng(0)
    true, predicted, calls = rng.integers(0, 3, 300), rng.integers(0, 3, 300), np.repeat(np.arange(60), 5)
    parts = np.array(["one", "other", "one"])[calls % 3]
    scores = slice_scores(
        {"division": parts}, true, predicted, calls, classes=3, high=2, bootstrap=BootstrapConfig(200, 1)
    )["division"]
    assert list(scores) == ["one", "other"]
    for part, found in scores.items():
        here = parts == part
        assert (found["n"], found["calls"]) == (here.sum(), len(set(calls[here])))
        assert found["accuracy"] == pytest.approx(accuracy_score(true[here], predicted[here]))
        assert found["f1_macro"] == pytest.approx(f1_score(true[here], predicted[here], average="macro"))
        of_high = recall_score(true[here] == 2, predicted[here] == 2)
        assert found["recall_high"] == pytest.approx(of_high)
        for name in ("accuracy", "f1_macro", "recall_high"):
            low, high = found[f"{name}_interval"]
            assert low < found[name] < high


def test_a_slice_without_high_urgency_has_no_recall() -> None:
    scores = slice_scores(
        {"d": np.array(["x", "x"])}, np.array([0, 1]), np.array([0, 2]), np.array([5, 9]),
        classes=3, high=2, bootstrap=BootstrapConfig(5, 1),
    )  # fmt: skip
    assert (scores["d"]["x"]["recall_high"], scores["d"]["x"]["calls"]) == (None, 2)


@pytest.mark.parametrize(("calls", "known"), [(1, False), (MIN_CALLS - 1, False), (MIN_CALLS, True)])
def test_few_calls_have_no_interval(calls: int, known: bool) -> None:
    ids = np.arange(calls)
    scores = slice_scores(
        {"d": np.array(["x"] * calls)}, ids % 3, np.zeros(calls, np.int64), ids,
        classes=3, high=2, bootstrap=BootstrapConfig(50, 1),
    )  # fmt: skip
    assert (scores["d"]["x"]["f1_macro_interval"] is not None) is known

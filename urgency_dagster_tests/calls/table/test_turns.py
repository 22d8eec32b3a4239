from typing import Any

import pytest

from urgency_dagster.calls.table.labels import MAX_LABEL_BYTES
from urgency_dagster.calls.table.turns import read_turns
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.errors import Rejected
from urgency_dagster_tests.conftest import Builder


def test_utterances_are_sorted_by_start_and_id(build: Builder) -> None:
    entries = [build.utterance(2), build.utterance(0), build.utterance(1, startAt=0)]
    turns = read_turns(build.json(build.label("a", utterances=entries)), "a")
    assert [item.id for item in turns.utterances] == ["00000000", "00000001", "00000002"]
    assert not turns.rejected


@pytest.mark.parametrize("changed", [{"urgencyLevel": ...}, {"urgencyLevel": "?", "sentiment": None}, {"gender": 3}])
def test_classes_are_not_read(build: Builder, changed: dict[str, Any]) -> None:
    assert len(read_turns(build.json(build.label("a", **changed)), "a").utterances) == 3


def test_an_utterance_without_a_time_is_rejected_alone(build: Builder) -> None:
    entries = [build.utterance(0), build.utterance(1, startAt=None), build.utterance(2, id=None)]
    turns = read_turns(build.json(build.label("a", utterances=entries)), "a")
    assert [item.id for item in turns.utterances] == ["00000000"]
    assert {item.id: item.reason for item in turns.rejected} == {
        "00000001": RejectReason.BAD_TIMES,
        "#2": RejectReason.BAD_UTTERANCE,
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no json", RejectReason.UNREADABLE_LABEL),
        (b'{"_id": "b", "utterances": []}', RejectReason.ID_MISMATCH),
        (b'{"_id": "a", "utterances": []}', RejectReason.NO_UTTERANCES),
        (bytes(MAX_LABEL_BYTES + 1), RejectReason.TOO_LARGE),
    ],
)
def test_a_label_that_cannot_be_used_has_a_reason(content: bytes, reason: RejectReason) -> None:
    with pytest.raises(Rejected) as caught:
        read_turns(content, "a")
    assert caught.value.reason == reason

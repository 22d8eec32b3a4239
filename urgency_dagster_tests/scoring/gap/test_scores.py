import numpy as np
import pytest

from urgency_dagster.scoring.gap.characters import CharacterErrors
from urgency_dagster.scoring.gap.coverage import Coverage
from urgency_dagster.scoring.gap.listening_ways import ComparedCall
from urgency_dagster.scoring.gap.scores import gap_scores, heard_shares
from urgency_dagster.statistics.bootstrap import BootstrapConfig
from urgency_dagster.urgency import TaskLogits

BOOTSTRAP = BootstrapConfig(200, 1)


def logits(*classes: int) -> TaskLogits:
    """Logits of turns whose answers are these classes, in both tasks."""
    scores = np.eye(2, dtype=np.float32)[list(classes)].reshape(-1, 2)
    return TaskLogits(scores, scores)


def compared(true: int, labelled: list[int], found: list[int], has_label: list[bool] | None = None) -> ComparedCall:
    """A call with the answers for its utterances and for its found turns."""
    whole, some = np.ones(len(labelled), bool), np.array(has_label or [True] * len(found), bool)
    turns = len(found)
    return ComparedCall(
        {"urgency": true, "sentiment": true},
        {"label": logits(*labelled), "label_turns": logits(*labelled), "found_turns": logits(*found)},
        {"label": whole, "label_turns": whole, "found_turns": some},
        {"label_turns": CharacterErrors(1, 10), "found_turns": CharacterErrors(turns, 10)},
        Coverage(1000, 1000 if not turns else 0, len(labelled), len(labelled) if turns else 0, turns, int(some.sum())),
        0.0,
    )


CALLS = [compared(0, [0, 0], [0, 0]), compared(1, [0], [0]), compared(0, [0], [0]), compared(1, [1, 1, 1], [])]
"""The last call has no found turn."""


def test_a_call_without_a_found_turn_is_wrong_and_counts() -> None:
    scores = gap_scores(CALLS, {"urgency": 2}, BOOTSTRAP)
    label, found = (scores["ways"][way]["call"]["urgency"] for way in ("label", "found_turns"))
    assert (label["n"], label["accuracy"]) == (4, 0.75)
    assert (found["n"], found["accuracy"]) == (4, 0.5)
    assert scores["differences"]["found_turns"]["call"]["urgency"]["accuracy"] == -0.25
    assert scores["ways"]["label"]["call"]["sentiment"] is None, "it is left out"


def test_differences_are_paired_although_a_call_has_no_found_turn() -> None:
    """Both ways answer the other calls in the same way, so no sample can have a better score without labels."""
    difference = gap_scores(CALLS, {"urgency": 2}, BOOTSTRAP)["differences"]["found_turns"]["utterance"]["urgency"]
    assert difference["accuracy"] == pytest.approx(3 / 4 - 6 / 7)
    wide = gap_scores([*CALLS] * 5, {"urgency": 2}, BOOTSTRAP)["differences"]["found_turns"]["utterance"]["urgency"]
    assert wide["accuracy_interval"][1] <= 0


def test_equal_answers_have_differences_of_zero() -> None:
    scores = gap_scores(CALLS[:3], {"urgency": 2, "sentiment": 2}, BOOTSTRAP)["differences"]
    for way in ("label_turns", "found_turns"):
        for unit in ("utterance", "call"):
            for task in ("urgency", "sentiment"):
                assert set(map(str, scores[way][unit][task].values())) == {"0.0", "[0.0, 0.0]"}


def test_a_found_turn_without_a_label_does_not_count_by_utterance() -> None:
    calls = [compared(0, [0], [0, 1], [True, False]), compared(1, [1], [1])]
    found = gap_scores(calls, {"urgency": 2}, BOOTSTRAP)["ways"]["found_turns"]["utterance"]["urgency"]
    assert (found["n"], found["accuracy"]) == (2, 1.0)


def test_the_shares_are_those_of_all_calls_together() -> None:
    shares = heard_shares(CALLS, BOOTSTRAP, recognised=True)
    speech = shares["speech"]
    assert (speech["missed"], speech["covered_utterances"], speech["turns_without_label"]) == (0.25, 4 / 7, 0)
    assert (speech["utterances"], speech["turns"]) == (7, 4)
    assert shares["character_error_rate"]["label_turns"]["rate"] == 0.1
    assert heard_shares(CALLS, BOOTSTRAP, recognised=False)["character_error_rate"] is None

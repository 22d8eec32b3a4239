from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.listening import Turn
from urgency_dagster.scoring.gap.coverage import Coverage, best_utterances, coverage

LABEL = [Turn(0, 1000, "네"), Turn(900, 2000, "네"), Turn(3000, 5000, "네")]

TURNS = st.lists(st.builds(lambda start, length: Turn(start, start + length), st.integers(0, 60), st.integers(1, 30)))


def test_a_found_turn_belongs_to_the_utterance_that_it_overlaps_most() -> None:
    found = [Turn(0, 950), Turn(800, 1500), Turn(2000, 3000), Turn(1900, 3200)]
    assert best_utterances(found, LABEL).tolist() == [0, 1, -1, 2]
    assert best_utterances([], LABEL).tolist() == []


def test_the_figures_of_a_call() -> None:
    found = [Turn(0, 600), Turn(500, 1000), Turn(2100, 2900), Turn(3500, 3900)]
    assert coverage(found, LABEL, 4000) == Coverage(
        speech_ms=3000, missed_ms=1000 + 600, utterances=3, covered=1, turns=4, labelled_turns=3
    )


def test_without_a_found_turn_all_speech_is_missed() -> None:
    assert coverage([], LABEL, 5000) == Coverage(4000, 4000, 3, 0, 0, 0)


@given(TURNS, TURNS.filter(len))
def test_times_are_those_of_single_milliseconds(found: list[Turn], labelled: list[Turn]) -> None:
    def milliseconds(turns: list[Turn]) -> set[int]:
        return {time for turn in turns for time in range(turn.start_ms, turn.end_ms)}

    figures = coverage(found, labelled, 1000)
    assert figures.speech_ms == len(milliseconds(labelled))
    assert figures.missed_ms == len(milliseconds(labelled) - milliseconds(found))
    inside = [len(milliseconds([turn]) & milliseconds(found)) / (turn.end_ms - turn.start_ms) for turn in labelled]
    assert figures.covered == sum(share >= 0.5 for share in inside)
    assert figures.labelled_turns == sum(bool(milliseconds([turn]) & milliseconds(labelled)) for turn in found)

from itertools import combinations
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.errors import SettingsError, TrainingDataError
from urgency_dagster.urgency.configuration import SplitConfig, SplitMode
from urgency_dagster.urgency.data.splits import Split, split_rows
from urgency_dagster.urgency.data.tables import SIDES

MODES = get_args(SplitMode)

ARCHIVE_NAMES = ["T_광주_구급", "T_서울_화재", "V_광주_구급"]


def table(calls: list[tuple[str, int, int]]) -> pa.Table:
    """Rows of calls given as (archive, urgency, utterances)."""
    rows = []
    next_row = dict.fromkeys(ARCHIVE_NAMES, 0)
    for number, (archive, urgency, utterances) in enumerate(calls):
        for _ in range(utterances):
            row = {"archive": archive, "row": next_row.setdefault(archive, 0), "_id": f"{number:024x}"}
            rows.append(row | {"audio_sha256": f"sound {number}", "urgency_id": urgency})
            next_row[archive] += 1
    return pa.Table.from_pylist(rows)


def validating(rows: pa.Table, split: Split) -> set[tuple[str, int]]:
    return on_side(rows, split, "validation")


def on_side(rows: pa.Table, split: Split, side: str) -> set[tuple[str, int]]:
    picked = rows.filter(pa.array(split.sides == side))
    return set(zip(picked["archive"].to_pylist(), picked["row"].to_pylist(), strict=True))


def values_on(rows: pa.Table, split: Split, column: str) -> list[set[object]]:
    """The values of a column on the training, the development and the validation side."""
    of_rows = np.asarray(rows[column].to_pylist())
    return [set(of_rows[split.sides == side].tolist()) for side in SIDES]


def in_two(sets: list[set[object]]) -> set[object]:
    return {value for one, other in combinations(sets, 2) for value in one & other}


calls_strategy = st.lists(
    st.tuples(st.sampled_from(ARCHIVE_NAMES), st.integers(0, 2), st.integers(1, 5)), min_size=1, max_size=40
)


@given(calls=calls_strategy, mode=st.sampled_from(["official", "call"]), seed=st.integers(0, 5))
def test_no_call_is_on_two_sides(calls: list[tuple[str, int, int]], mode: SplitMode, seed: int) -> None:
    rows = table(calls)
    split = split_rows(rows, SplitConfig(mode=mode, seed=seed))
    assert not in_two(values_on(rows, split, "_id"))
    assert len(split.sides) == rows.num_rows


@given(calls=calls_strategy, sounds=st.lists(st.integers(0, 9), min_size=40, max_size=40), seed=st.integers(0, 5))
def test_copies_of_a_recording_under_other_ids_are_on_one_side(
    calls: list[tuple[str, int, int]], sounds: list[int], seed: int
) -> None:
    rows = table(calls)
    heard = [f"sound {sounds[int(call, 16)]}" for call in rows["_id"].to_pylist()]
    rows = rows.set_column(rows.schema.get_field_index("audio_sha256"), "audio_sha256", pa.array(heard))
    split = split_rows(rows, SplitConfig(mode="call", seed=seed))
    for key in ("_id", "audio_sha256"):
        assert not in_two(values_on(rows, split, key))


def test_a_copy_does_not_move_the_call_to_another_side() -> None:
    rows = table([("T_광주_구급", number % 3, 2) for number in range(60)])
    copies = table([("T_광주_구급", number % 3, 2) for number in range(60, 66)])
    heard = pa.array([f"sound {n}" for n in range(6) for _ in range(2)])
    copies = copies.set_column(copies.schema.get_field_index("audio_sha256"), "audio_sha256", heard)
    config = SplitConfig(mode="call")
    alone, together = (split_rows(some, config) for some in (rows, pa.concat_tables([rows, copies])))
    assert together.sides[: rows.num_rows].tolist() == alone.sides.tolist()
    assert together.sides[rows.num_rows :].tolist() == alone.sides[:12].tolist()


@given(calls=calls_strategy, mode=st.sampled_from(MODES), data=st.data())
def test_the_order_of_the_rows_changes_nothing(
    calls: list[tuple[str, int, int]], mode: SplitMode, data: st.DataObject
) -> None:
    rows = table(calls)
    shuffled = rows.take(data.draw(st.permutations(range(rows.num_rows))))
    first, second = (split_rows(some, SplitConfig(mode=mode)) for some in (rows, shuffled))
    for side in SIDES:
        assert on_side(rows, first, side) == on_side(shuffled, second, side)
    assert first.sha256 == second.sha256


@given(
    sizes=st.tuples(st.integers(2, 60), st.integers(2, 60), st.integers(2, 60)),
    share=st.floats(0.05, 0.95),
    mode=st.sampled_from(["call", "utterance"]),
)
def test_every_urgency_gives_its_share(sizes: list[int], share: float, mode: SplitMode) -> None:
    rows = table([("T_광주_구급", urgency, 1) for urgency, size in enumerate(sizes) for _ in range(size)])
    split = split_rows(rows, SplitConfig(mode=mode, validation_share=share, selection="validation"))
    drawn = np.bincount(rows["urgency_id"].to_numpy()[split.sides == "validation"], minlength=3)
    for size, count in zip(sizes, drawn, strict=True):
        assert 1 <= count <= size - 1
        assert abs(count - share * size) <= 1


def test_official_keeps_the_border_between_training_and_validation() -> None:
    rows = table([("T_광주_구급", 0, 3), ("V_광주_구급", 1, 2), ("T_서울_화재", 2, 2)])
    split = split_rows(rows, SplitConfig())
    assert split.mode == "official"
    assert split.note == ""
    assert validating(rows, split) == {("V_광주_구급", 0), ("V_광주_구급", 1)}


@pytest.mark.parametrize(("archive", "side"), [("T_광주_구급", "train"), ("V_광주_구급", "validation")])
def test_official_falls_back_to_calls_and_says_so(archive: str, side: str) -> None:
    rows = table([(archive, number % 3, 2) for number in range(30)])
    split = split_rows(rows, SplitConfig(mode="official"))
    assert split.mode == "call"
    assert side in split.note
    assert validating(rows, split) == validating(rows, split_rows(rows, SplitConfig(mode="call")))


def test_a_split_by_utterance_puts_calls_on_two_sides_and_still_develops_on_whole_calls() -> None:
    rows = table([("T_광주_구급", number % 3, 20) for number in range(9)])
    split = split_rows(rows, SplitConfig(mode="utterance"))
    training, development, validation = values_on(rows, split, "_id")
    assert training & validation
    assert development
    assert not training & development


def test_another_seed_draws_other_calls() -> None:
    rows = table([("T_광주_구급", number % 3, 1) for number in range(60)])
    first, second = (split_rows(rows, SplitConfig(mode="call", seed=seed)) for seed in (1, 2))
    assert validating(rows, first) != validating(rows, second)
    assert first.sha256 != second.sha256


def test_calls_that_are_added_do_not_move_the_others_to_training() -> None:
    few = table([("T_광주_구급", 0, 1) for _ in range(40)])
    many = table([("T_광주_구급", 0, 1) for _ in range(80)])
    ids = {}
    for name, rows in (("few", few), ("many", many)):
        split = split_rows(rows, SplitConfig(mode="call", validation_share=0.5))
        ids[name] = values_on(rows, split, "_id")[2]
    old = {call for call in ids["many"] if int(str(call), 16) < 40}
    assert len(ids["few"] & old) >= 0.7 * len(ids["few"])


def test_an_archive_without_a_side_is_refused() -> None:
    with pytest.raises(TrainingDataError, match="neither to Training nor to Validation"):
        split_rows(table([("X_광주_구급", 0, 1)]), SplitConfig(mode="official"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "random"},
        {"validation_share": 0.0},
        {"validation_share": 1.0},
        {"selection": "training"},
        {"development_share": 0.0},
        {"validation_share": 0.5, "development_share": 0.5},
    ],
    ids=str,
)
def test_a_wrong_configuration_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        SplitConfig(**wrong)


class TestDevelopmentSide:
    @given(
        sizes=st.tuples(st.integers(2, 60), st.integers(2, 60), st.integers(2, 60)),
        share=st.floats(0.05, 0.9),
        utterances=st.integers(1, 3),
    )
    def test_every_urgency_gives_its_share_of_the_training_calls(
        self, sizes: list[int], share: float, utterances: int
    ) -> None:
        calls = [("T_광주_구급", urgency, utterances) for urgency, size in enumerate(sizes) for _ in range(size)]
        rows = table([*calls, ("V_광주_구급", 0, 1)])
        split = split_rows(rows, SplitConfig(development_share=share, validation_share=0.05))
        drawn = np.bincount(rows["urgency_id"].to_numpy()[split.sides == "development"], minlength=3) / utterances
        for size, count in zip(sizes, drawn, strict=True):
            assert 1 <= count <= size - 1
            assert abs(count - share * size) <= 1

    @pytest.mark.parametrize("calls", [60, 600])
    def test_one_archive_is_divided_into_70_15_and_15_per_cent_of_its_calls(self, calls: int) -> None:
        rows = table([("T_광주_구급", number % 3, 2) for number in range(calls)])
        split = split_rows(rows, SplitConfig())
        sizes = [len(ids) for ids in values_on(rows, split, "_id")]
        assert sizes == [0.7 * calls, 0.15 * calls, 0.15 * calls]

    @pytest.mark.parametrize("mode", MODES)
    def test_the_border_of_the_validation_side_does_not_depend_on_it(self, mode: SplitMode) -> None:
        rows = table([(ARCHIVE_NAMES[number % 3], number % 4 % 3, 2) for number in range(60)])
        config = SplitConfig(mode=mode)
        one, other, none = (
            split_rows(rows, config.changed(**change))
            for change in ({}, {"development_share": 0.4}, {"selection": "validation"})
        )
        assert validating(rows, one) == validating(rows, other) == validating(rows, none)
        assert on_side(rows, one, "development") < on_side(rows, other, "development")
        assert not on_side(rows, none, "development")

    def test_the_original_has_none(self) -> None:
        rows = table([("T_광주_구급", number % 3, 2) for number in range(60)])
        assert set(split_rows(rows, SplitConfig(protocol="original")).sides) == {"train", "validation"}

    def test_a_single_call_of_an_urgency_trains(self) -> None:
        rows = table([*(("T_광주_구급", urgency, 1) for urgency in (0, 1, 1, 2, 2)), ("V_광주_구급", 0, 1)])
        split = split_rows(rows, SplitConfig())
        training = {rows["urgency_id"][i].as_py() for i in np.flatnonzero(split.sides == "train")}
        assert training == {0, 1, 2}
        assert (split.sides == "development").sum() == 2

    def test_it_is_drawn_independently_of_the_validation_side(self) -> None:
        """Else the calls that a smaller `validation_share` frees would all be drawn for development."""
        rows = table([("T_광주_구급", number % 3, 1) for number in range(300)])
        many = split_rows(rows, SplitConfig(mode="call", validation_share=0.3))
        few = split_rows(rows, SplitConfig(mode="call", validation_share=0.15))
        freed = validating(rows, many) - validating(rows, few)
        assert len(on_side(rows, few, "development") & freed) < len(freed) / 2

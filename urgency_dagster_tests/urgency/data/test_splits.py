from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.errors import SettingsError, TrainingDataError
from urgency_dagster.urgency.configuration import SplitConfig, SplitMode
from urgency_dagster.urgency.data.splits import Split, calibration_calls, split_rows

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
    picked = rows.filter(pa.array(split.validation))
    return set(zip(picked["archive"].to_pylist(), picked["row"].to_pylist(), strict=True))


calls_strategy = st.lists(
    st.tuples(st.sampled_from(ARCHIVE_NAMES), st.integers(0, 2), st.integers(1, 5)), min_size=1, max_size=40
)


@given(calls=calls_strategy, mode=st.sampled_from(["official", "call"]), seed=st.integers(0, 5))
def test_no_call_is_on_both_sides(calls: list[tuple[str, int, int]], mode: SplitMode, seed: int) -> None:
    rows = table(calls)
    split = split_rows(rows, SplitConfig(mode=mode, seed=seed))
    ids = np.asarray(rows["_id"].to_pylist())
    assert not set(ids[split.validation]) & set(ids[~split.validation])
    assert len(split.validation) == rows.num_rows


@given(calls=calls_strategy, sounds=st.lists(st.integers(0, 9), min_size=40, max_size=40), seed=st.integers(0, 5))
def test_copies_of_a_recording_under_other_ids_are_on_one_side(
    calls: list[tuple[str, int, int]], sounds: list[int], seed: int
) -> None:
    rows = table(calls)
    heard = [f"sound {sounds[int(call, 16)]}" for call in rows["_id"].to_pylist()]
    rows = rows.set_column(rows.schema.get_field_index("audio_sha256"), "audio_sha256", pa.array(heard))
    split = split_rows(rows, SplitConfig(mode="call", seed=seed))
    for key in ("_id", "audio_sha256"):
        of_rows = np.asarray(rows[key].to_pylist())
        assert not set(of_rows[split.validation]) & set(of_rows[~split.validation])


def test_a_copy_does_not_move_the_call_to_another_side() -> None:
    rows = table([("T_광주_구급", number % 3, 2) for number in range(60)])
    copies = table([("T_광주_구급", number % 3, 2) for number in range(60, 66)])
    heard = pa.array([f"sound {n}" for n in range(6) for _ in range(2)])
    copies = copies.set_column(copies.schema.get_field_index("audio_sha256"), "audio_sha256", heard)
    config = SplitConfig(mode="call")
    alone, together = (split_rows(some, config) for some in (rows, pa.concat_tables([rows, copies])))
    assert together.validation[: rows.num_rows].tolist() == alone.validation.tolist()
    assert together.validation[rows.num_rows :].tolist() == alone.validation[:12].tolist()


@given(calls=calls_strategy, mode=st.sampled_from(MODES), data=st.data())
def test_the_order_of_the_rows_changes_nothing(
    calls: list[tuple[str, int, int]], mode: SplitMode, data: st.DataObject
) -> None:
    rows = table(calls)
    shuffled = rows.take(data.draw(st.permutations(range(rows.num_rows))))
    first, second = (split_rows(some, SplitConfig(mode=mode)) for some in (rows, shuffled))
    assert validating(rows, first) == validating(shuffled, second)
    assert first.sha256 == second.sha256


@given(
    sizes=st.tuples(st.integers(2, 60), st.integers(2, 60), st.integers(2, 60)),
    share=st.floats(0.05, 0.95),
    mode=st.sampled_from(["call", "utterance"]),
)
def test_every_urgency_gives_its_share(sizes: list[int], share: float, mode: SplitMode) -> None:
    rows = table([("T_광주_구급", urgency, 1) for urgency, size in enumerate(sizes) for _ in range(size)])
    split = split_rows(rows, SplitConfig(mode=mode, validation_share=share))
    drawn = np.bincount(rows["urgency_id"].to_numpy()[split.validation], minlength=3)
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


def test_a_split_by_utterance_puts_calls_on_both_sides() -> None:
    rows = table([("T_광주_구급", number % 3, 20) for number in range(9)])
    split = split_rows(rows, SplitConfig(mode="utterance"))
    ids = np.asarray(rows["_id"].to_pylist())
    assert set(ids[split.validation]) & set(ids[~split.validation])


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
        ids[name] = set(np.asarray(rows["_id"].to_pylist())[split.validation])
    old = {call for call in ids["many"] if int(call, 16) < 40}
    assert len(ids["few"] & old) >= 0.7 * len(ids["few"])


def test_an_archive_without_a_side_is_refused() -> None:
    with pytest.raises(TrainingDataError, match="neither to Training nor to Validation"):
        split_rows(table([("X_광주_구급", 0, 1)]), SplitConfig(mode="official"))


@pytest.mark.parametrize("wrong", [{"mode": "random"}, {"validation_share": 0.0}, {"validation_share": 1.0}])
def test_a_wrong_configuration_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        SplitConfig(**wrong)


@given(calls=calls_strategy, share=st.floats(0, 0.9), seed=st.integers(0, 5))
def test_the_calibration_set_holds_whole_calls(calls: list[tuple[str, int, int]], share: float, seed: int) -> None:
    rows = table(calls)
    calibration = calibration_calls(rows, share, seed)
    ids = np.asarray(rows["_id"].to_pylist())
    assert not set(ids[calibration]) & set(ids[~calibration])
    assert share > 0 or not calibration.any()


def test_the_calibration_set_is_drawn_independently_of_the_sides() -> None:
    rows = table([("T_광주_구급", number % 3, 1) for number in range(300)])
    sides = split_rows(rows, SplitConfig(mode="call", validation_share=0.3)).validation
    calibration = calibration_calls(rows, 0.3, seed=SplitConfig().seed)
    assert 0.05 < (sides & calibration).mean() < 0.15

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from urgency_dagster.errors import ArtefactError, TrainingDataError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import URGENCY_LEVELS, UTTERANCES
from urgency_dagster.urgency.configuration import SplitConfig, SplitMode
from urgency_dagster.urgency.data.dataset import (
    build_training_set,
    call_codes,
    first_rows,
    read_training_set,
)
from urgency_dagster.urgency.data.tables import DEVELOPMENT, SIDES, TRAIN, TRAINING_ROWS, VALIDATION
from urgency_dagster.writing import write_table
from urgency_dagster_tests.urgency.conftest import (
    ARCHIVES,
    AUDIO_WIDTH,
    write_root,
    write_spans,
    write_vectors,
)

NAMES = list(ARCHIVES)


def stored_rows(paths: StoragePaths) -> pa.Table:
    return pq.read_table(paths.urgency.rows)


def test_every_utterance_is_kept_with_its_row_and_side(paths: StoragePaths) -> None:
    build_training_set(paths, NAMES, SplitConfig())
    rows = stored_rows(paths)
    assert rows.schema.equals(TRAINING_ROWS)
    for archive in NAMES:
        utterances = pq.read_table(paths.archive(archive).utterances)
        here = rows.filter(pc.equal(rows["archive"], archive))
        assert here["row"].to_pylist() == list(range(utterances.num_rows))
        for column in ("_id", "utterance_id", "text", "startAt", "endAt", "speaker"):
            assert here[column].to_pylist() == utterances[column].to_pylist()
        assert set(here["side"].to_pylist()) == ({VALIDATION} if archive.startswith("V_") else {TRAIN, DEVELOPMENT})


def test_ids_follow_the_stored_label_orders(paths: StoragePaths) -> None:
    summary = build_training_set(paths, NAMES, SplitConfig())
    assert summary.labels.urgency == ("하", "중", "상")
    assert summary.labels.sentiment == ("당황/난처", "불안/걱정")
    rows = stored_rows(paths).to_pylist()
    stored = {
        (archive, i): row
        for archive in NAMES
        for i, row in enumerate(pq.read_table(paths.archive(archive).utterances).to_pylist())
    }
    for row in rows:
        source = stored[row["archive"], row["row"]]
        assert row["urgency_id"] == source["urgency_label"]
        assert summary.labels.sentiment[row["sentiment_id"]] == source["sentiment"]


def test_the_split_file_accounts_for_calls_and_classes(paths: StoragePaths) -> None:
    summary = build_training_set(paths, NAMES, SplitConfig(mode="call"))
    stored = json.loads(paths.urgency.split.read_text(encoding="utf-8"))
    of_sides = [stored["call_ids"][side] for side in SIDES]
    assert len(set().union(*of_sides)) == sum(map(len, of_sides)) == sum(ARCHIVES.values())
    assert stored["calls"] == {side: len(ids) for side, ids in zip(SIDES, of_sides, strict=True)}
    rows = stored_rows(paths)
    for side in SIDES:
        here = rows.filter(pc.equal(rows["side"], side))
        assert stored["utterances"][side] == here.num_rows
        for task in ("urgency", "sentiment"):
            counts = np.bincount(here[f"{task}_id"].to_numpy(), minlength=len(getattr(summary.labels, task)))
            assert list(summary.class_counts[side][task].values()) == counts.tolist()
    assert stored["mode_asked"] == stored["mode_used"] == "call"


@pytest.mark.parametrize("mode", ["official", "call"])
def test_a_side_is_read_in_the_stored_order(paths: StoragePaths, mode: SplitMode) -> None:
    build_training_set(paths, NAMES, SplitConfig(mode=mode))
    training_set, rows = read_training_set(paths), stored_rows(paths)
    for side in SIDES:
        expected = rows.filter(pc.equal(rows["side"], side))
        assert training_set.side(side).equals(expected)
        assert training_set.side(side, ("text", "row")).equals(expected.select(["text", "row"]))


def test_calls_are_numbered_as_they_appear() -> None:
    rows = pa.table({"_id": pa.chunked_array([["b", "b"], ["a", "b", "c"]])})
    assert call_codes(rows).tolist() == [0, 0, 1, 0, 2]
    assert first_rows(call_codes(rows)).tolist() == [0, 2, 4]


def test_the_stored_summary_is_the_one_returned(paths: StoragePaths) -> None:
    assert build_training_set(paths, NAMES, SplitConfig()) == read_training_set(paths).summary


def test_one_sided_archives_are_split_by_call_and_say_so(paths: StoragePaths) -> None:
    summary = build_training_set(paths, ["T_광주_구급", "T_서울_화재"], SplitConfig())
    assert (summary.mode_asked, summary.mode_used) == ("official", "call")
    assert summary.note


def test_the_same_archives_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = write_root(tmp_path / "a"), write_root(tmp_path / "b")
    build_training_set(first, NAMES, SplitConfig())
    build_training_set(second, [*reversed(NAMES), NAMES[0]], SplitConfig())
    assert first.urgency.rows.read_bytes() == second.urgency.rows.read_bytes()
    assert first.urgency.split.read_bytes() == second.urgency.split.read_bytes()


def test_other_vectors_change_the_data_hash(paths: StoragePaths) -> None:
    before = build_training_set(paths, NAMES, SplitConfig())
    vectors = np.load(paths.archive(NAMES[0]).vectors)
    np.save(paths.archive(NAMES[0]).vectors, vectors + 1)
    after = build_training_set(paths, NAMES, SplitConfig())
    assert before.sha256 == after.sha256
    assert before.data_sha256 != after.data_sha256


def test_an_archive_without_utterances_adds_nothing(paths: StoragePaths) -> None:
    empty = paths.archive("T_인천_기타")
    write_table(empty.utterances, UTTERANCES.empty_table())
    write_vectors(paths, "T_인천_기타", np.zeros((0, AUDIO_WIDTH), np.float32))
    with_empty = build_training_set(paths, [*NAMES, "T_인천_기타"], SplitConfig())
    assert sum(with_empty.calls.values()) == sum(ARCHIVES.values())


@pytest.mark.parametrize("archives", [[], ["T_광주_구급"]])
def test_no_rows_are_refused(tmp_path: Path, archives: list[str]) -> None:
    paths = write_root(tmp_path, archives={"T_광주_구급": 0})
    with pytest.raises(TrainingDataError, match="no utterances"):
        build_training_set(paths, archives, SplitConfig())


def test_an_empty_side_is_refused(tmp_path: Path) -> None:
    paths = write_root(tmp_path, archives={"T_광주_구급": 1})
    with pytest.raises(TrainingDataError, match="validation side"):
        build_training_set(paths, ["T_광주_구급"], SplitConfig())


def test_an_empty_development_side_is_refused_with_the_way_on(tmp_path: Path) -> None:
    """Two archives with one call each: the only training call cannot be given away."""
    paths = write_root(tmp_path, archives={"T_광주_구급": 1, "V_광주_구급": 3})
    names = ["T_광주_구급", "V_광주_구급"]
    with pytest.raises(TrainingDataError, match=r"no call is left for the development side; .*`selection: validation`"):
        build_training_set(paths, names, SplitConfig())
    with pytest.raises(TrainingDataError, match="two classes"):  # so it is not the empty side that is refused
        build_training_set(paths, names, SplitConfig(selection="validation"))


def test_without_a_development_side_its_counts_are_zero(paths: StoragePaths) -> None:
    summary = build_training_set(paths, NAMES, SplitConfig(selection="validation"))
    assert (summary.selection, summary.calls[DEVELOPMENT], summary.utterances[DEVELOPMENT]) == ("validation", 0, 0)


def test_a_training_set_of_before_has_no_development_side(paths: StoragePaths) -> None:
    build_training_set(paths, NAMES, SplitConfig(selection="validation"))
    stored = json.loads(paths.urgency.split.read_text(encoding="utf-8"))
    del stored["selection"], stored["development_share"]
    paths.urgency.split.write_text(json.dumps(stored), encoding="utf-8")
    assert read_training_set(paths).summary.selection == "validation"


def edit(paths: StoragePaths, change: Callable[[list[dict[str, Any]]], None]) -> None:
    source = paths.archive(NAMES[0]).utterances
    rows = pq.read_table(source).to_pylist()
    change(rows)
    write_table(source, pa.Table.from_pylist(rows, schema=UTTERANCES))


def test_an_unknown_urgency_is_refused(paths: StoragePaths) -> None:
    edit(paths, lambda rows: rows[0].update(urgencyLevel="최상"))
    with pytest.raises(TrainingDataError, match="unknown urgency"):
        build_training_set(paths, NAMES, SplitConfig())


@pytest.mark.parametrize("column", ["urgencyLevel", "sentiment"])
def test_a_call_with_two_labels_is_refused(paths: StoragePaths, column: str) -> None:
    names = {"urgencyLevel": URGENCY_LEVELS, "sentiment": ("당황/난처", "불안/걱정")}[column]
    edit(paths, lambda rows: rows[0].update({column: next(name for name in names if name != rows[0][column])}))
    with pytest.raises(TrainingDataError, match="two different labels"):
        build_training_set(paths, NAMES, SplitConfig())


def test_missing_rows_of_vectors_are_refused(paths: StoragePaths) -> None:
    vectors = np.load(paths.archive(NAMES[1]).vectors)
    np.save(paths.archive(NAMES[1]).vectors, vectors[:-1])
    with pytest.raises(ArtefactError, match="one vector per utterance"):
        build_training_set(paths, NAMES, SplitConfig())


def test_vectors_of_another_width_are_refused(paths: StoragePaths) -> None:
    vectors = np.load(paths.archive(NAMES[1]).vectors)
    np.save(paths.archive(NAMES[1]).vectors, vectors[:, :-1])
    with pytest.raises(ArtefactError, match="made by 2 speech models"):
        build_training_set(paths, NAMES, SplitConfig())


def test_vectors_of_another_model_of_the_same_width_are_refused(paths: StoragePaths) -> None:
    write_vectors(paths, NAMES[1], np.load(paths.archive(NAMES[1]).vectors), speech_model="another")
    with pytest.raises(ArtefactError, match=r"another of width .* speech of width"):
        build_training_set(paths, NAMES, SplitConfig())


@pytest.mark.parametrize("tokens", [1, 4])
def test_the_number_of_vectors_per_utterance_is_stored(tmp_path: Path, tokens: int) -> None:
    paths = write_root(tmp_path, tokens=tokens)
    summary = build_training_set(paths, NAMES, SplitConfig())
    assert (summary.audio_width, summary.audio_tokens) == (AUDIO_WIDTH, tokens)
    assert read_training_set(paths).summary == summary


def test_archives_with_another_number_of_vectors_are_refused(paths: StoragePaths) -> None:
    write_spans(paths, NAMES[1], 4)
    message = "have 1 and 4 audio vectors for an utterance; .* of all archives with the same `audio_tokens`"
    with pytest.raises(ArtefactError, match=message):
        build_training_set(paths, NAMES, SplitConfig())


def test_a_training_set_without_audio_tokens_has_one_vector_each(paths: StoragePaths) -> None:
    summary = build_training_set(paths, NAMES, SplitConfig())
    stored = json.loads(paths.urgency.split.read_text(encoding="utf-8"))
    del stored["audio_tokens"]
    paths.urgency.split.write_text(json.dumps(stored), encoding="utf-8")
    assert read_training_set(paths).summary == summary


def test_the_speech_model_is_stored(paths: StoragePaths) -> None:
    summary = build_training_set(paths, NAMES, SplitConfig())
    assert summary.speech_model == {"name": "speech", "revision": "1", "weights_sha256": "0" * 64}


def test_missing_embeddings_are_an_error(paths: StoragePaths) -> None:
    paths.archive(NAMES[1]).embeddings.unlink()
    with pytest.raises(ArtefactError, match=r"has no embeddings\.parquet"):
        build_training_set(paths, NAMES, SplitConfig())


@pytest.mark.parametrize("name", ["utterances", "vectors"])
def test_a_missing_file_is_refused(paths: StoragePaths, name: str) -> None:
    getattr(paths.archive(NAMES[0]), name).unlink()
    with pytest.raises(ArtefactError):
        build_training_set(paths, NAMES, SplitConfig())


def test_a_table_without_a_column_is_refused(paths: StoragePaths) -> None:
    source = paths.archive(NAMES[0]).utterances
    write_table(source, pq.read_table(source).drop_columns(["sentiment"]))
    with pytest.raises(ArtefactError, match="utterance table"):
        build_training_set(paths, NAMES, SplitConfig())


def test_reading_before_building_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="no training set"):
        read_training_set(StoragePaths(tmp_path))

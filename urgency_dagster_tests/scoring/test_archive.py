import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import (
    SCORED_CALLS,
    SCORED_UTTERANCES,
    RejectReason,
    count_scored,
    scan_scoring,
    score_archive,
    write_recordings,
    write_scored_calls,
)
from urgency_dagster.scoring.tables import SENTIMENT_COLUMNS, URGENCY_COLUMNS
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster.tables import URGENCY_LEVELS
from urgency_dagster.urgency import Predictor
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.scoring.conftest import Landed, land_calls
from urgency_dagster_tests.urgency.spoken import SpokenRoot, logits_of

Rows = list[dict[str, Any]]


def scored(landed: Landed, predictor: Predictor) -> int:
    """Makes all tables; returns the number of recordings that were asked."""
    write_recordings(landed.paths, landed.archive)
    asked = score_archive(landed.paths, landed.archive, predictor)
    write_scored_calls(landed.paths, landed.archive.name)
    return asked


def rows(path: Path) -> Rows:
    return list(pq.read_table(path).to_pylist())


def written(landed: Landed) -> dict[str, bytes]:
    folder = landed.paths.scoring(landed.archive.name).folder
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class TestAnswers:
    def test_they_are_those_of_the_evaluation(self, landed: Landed, predictor: Predictor, spoken: SpokenRoot) -> None:
        scored(landed, predictor)
        table = rows(landed.paths.scoring("calls").utterances)
        expected = {(row["_id"], row["utterance_id"]): row for row in spoken.rows()}
        assert {(row["_id"], row["utterance_id"]) for row in table} == expected.keys()
        stored = [expected[row["_id"], row["utterance_id"]] for row in table]
        temperature = predictor.model.temperatures["utterance"]["urgency"]
        wanted = probabilities(logits_of(stored, "urgency"), temperature)
        answers = np.array([[row[URGENCY_COLUMNS[level]] for level in URGENCY_LEVELS] for row in table])
        np.testing.assert_allclose(answers, wanted, atol=1e-5)
        assert [row["text"] for row in table] == [row["text"] for row in stored]

    def test_probabilities_add_up_to_one_and_name_the_label(self, landed: Landed, predictor: Predictor) -> None:
        scored(landed, predictor)
        for row in rows(landed.paths.scoring("calls").calls):
            for task, columns in (("urgency", URGENCY_COLUMNS), ("sentiment", SENTIMENT_COLUMNS)):
                known = {name: row[column] for name, column in columns.items() if row[column] is not None}
                assert sum(known.values()) == pytest.approx(1)
                assert max(known, key=lambda name: known[name]) == row[task]

    def test_a_call_has_the_answer_that_stands_beside_its_utterances(
        self, landed: Landed, predictor: Predictor
    ) -> None:
        scored(landed, predictor)
        files = landed.paths.scoring("calls")
        calls = {row["file"]: row for row in rows(files.calls)}
        utterances = rows(files.utterances)
        assert calls.keys() == {row["file"] for row in utterances}
        for row in utterances:
            call = calls[row["file"]]
            assert [row[f"call_{name}"] for name in ("urgency", "sentiment", "abstain", "alarm")] == [
                call[name] for name in ("urgency", "sentiment", "abstain", "alarm")
            ]
        assert sum(call["utterances"] for call in calls.values()) == len(utterances)

    def test_the_csv_has_the_rows_of_the_table(self, landed: Landed, predictor: Predictor) -> None:
        scored(landed, predictor)
        files = landed.paths.scoring("calls")
        for table, schema in ((files.utterances, SCORED_UTTERANCES), (files.calls, SCORED_CALLS)):
            assert files.csv(table).read_bytes().startswith(b"\xef\xbb\xbf")
            with files.csv(table).open(encoding="utf-8-sig", newline="") as stream:
                read = list(csv.DictReader(stream))
            assert list(read[0]) == schema.names
            assert [row["urgency_high"] for row in read] == [str(row["urgency_high"]) for row in rows(table)]

    def test_every_column_has_a_unit_and_a_meaning(self) -> None:
        for field in (*SCORED_UTTERANCES, *SCORED_CALLS):
            assert field.metadata[b"description"].endswith(b".")
            assert field.metadata[b"unit"] in (b"none", b"1", b"ms")

    def test_a_zip_gives_the_answers_of_its_folder(self, landed: Landed, predictor: Predictor, build: Builder) -> None:
        scored(landed, predictor)
        members = {f"x/{path.name}": path.read_bytes() for path in sorted(landed.folder.iterdir())}
        build.zip(landed.paths.landing_scoring / "packed.zip", members)
        packed = scan_scoring(landed.paths.landing_scoring).archives["packed"]
        write_recordings(landed.paths, packed)
        score_archive(landed.paths, packed, predictor)
        tables = [pq.read_table(landed.paths.scoring(name).utterances) for name in ("calls", "packed")]
        one, other = (table.drop_columns(["archive", "file"]) for table in tables)
        assert one.equals(other)
        assert {str(name).rpartition("/")[0] for name in tables[1]["file"].to_pylist()} == {"packed.zip/x"}


class TestRejects:
    @pytest.fixture
    def mixed(self, landed: Landed, predictor: Predictor, build: Builder) -> Landed:
        """The calls beside recordings and files that cannot be scored."""
        landed.land("noise.wav", b"RIFF")
        landed.land("noise.json", build.json(build.label("noise")))
        landed.land("memo.m4a", b"")
        landed.land("list.txt", b"")
        landed.land("alone.json", build.json(build.label("alone")))
        entries = [build.utterance(0), build.utterance(1, endAt=1100), build.utterance(2, text=None)]
        label = build.label("short", utterances=entries)
        landed.land("short.wav", build.wav(900))
        landed.land("short.json", build.json(label))
        scored(landed, predictor)
        return landed

    def test_every_reason_is_told(self, mixed: Landed) -> None:
        rejects = rows(mixed.paths.scoring("calls").rejects)
        # The calls of the validation side have utterances that are too short.
        reasons = [(row["member"], row["reason"]) for row in rejects if "_20230101" not in row["member"]]
        assert len(reasons) == 6
        assert dict(reasons) == {
            "calls/noise.wav": RejectReason.UNREADABLE_AUDIO,
            "calls/memo.m4a": RejectReason.UNREAD_FORMAT,
            "calls/list.txt": RejectReason.UNKNOWN_TYPE,
            "calls/alone.json": RejectReason.MISSING_AUDIO,
            "calls/short.wav": RejectReason.OUTSIDE_AUDIO,
            "calls/short.json": RejectReason.BAD_UTTERANCE,
        }

    def test_counts_add_up(self, mixed: Landed) -> None:
        counts = count_scored(mixed.paths, "calls")
        assert (counts.lost_recordings, counts.lost_utterances) == (0, 0)
        assert counts.recordings == counts.calls + counts.rejected["recordings"].total() == 10
        assert counts.rejected["files"].total() == 3
        assert sum(counts.urgency.values()) == counts.calls == 9

    def test_a_lost_recording_and_a_lost_utterance_are_counted(self, mixed: Landed) -> None:
        files = mixed.paths.scoring("calls")
        table = pq.read_table(files.utterances)
        files_of = table["file"].to_pylist()
        kept = [name != files_of[0] for name in files_of]
        kept[-2] = False
        pq.write_table(table.filter(kept), files.utterances)
        counts = count_scored(mixed.paths, "calls")
        assert (counts.lost_recordings, counts.lost_utterances) == (1, 1)

    def test_calls_without_a_threshold_are_counted(self, landed: Landed, predictor: Predictor) -> None:
        scored(landed, replace(predictor, model=replace(predictor.model, thresholds={})))
        counts = count_scored(landed.paths, "calls")
        assert (counts.without_threshold, counts.abstained, counts.alarmed) == (8, 0, 0)

    def test_an_archive_without_an_answer_has_empty_tables(self, paths: StoragePaths, predictor: Predictor) -> None:
        landed = Landed(paths, paths.landing_scoring / "calls")
        landed.folder.mkdir(parents=True)
        landed.land("noise.wav", b"RIFF")
        scored(landed, predictor)
        files = paths.scoring("calls")
        assert rows(files.utterances) == rows(files.calls) == []
        assert files.csv(files.calls).read_text(encoding="utf-8-sig").startswith("archive,file,_id,utterances,")
        assert count_scored(paths, "calls").calls == 0


class TestAgain:
    def test_the_same_files_give_the_same_bytes(
        self, landed: Landed, predictor: Predictor, calls: Path, tmp_path: Path
    ) -> None:
        scored(landed, predictor)
        other = land_calls(calls, StoragePaths(tmp_path / "other"))
        scored(other, predictor)
        assert written(landed) == written(other)

    def test_only_a_new_recording_is_asked_and_the_tables_are_those_of_one_go(
        self, landed: Landed, predictor: Predictor, calls: Path, build: Builder, tmp_path: Path
    ) -> None:
        other = land_calls(calls, StoragePaths(tmp_path / "other"))
        label = build.label("0", utterances=[build.utterance(0), build.utterance(1, endAt=1100)])
        assert scored(landed, predictor) == 8
        for root in (landed, other):
            root.land("0_new.wav", build.wav(2000))
            root.land("0_new.json", build.json(label))
        assert scored(landed, predictor) == 1
        assert scored(other, predictor) == 9
        assert written(landed) == written(other)

    @pytest.mark.parametrize("change", ["audio", "label"])
    def test_a_changed_recording_or_label_is_asked_again(
        self, landed: Landed, predictor: Predictor, build: Builder, change: str
    ) -> None:
        scored(landed, predictor)
        if change == "audio":
            next(landed.folder.glob("*.wav")).write_bytes(build.wav(6000, seed=99))
        else:
            path = next(landed.folder.glob("*.json"))
            path.write_text(json.dumps({**json.loads(path.read_text()), "gender": "M"}))
        assert scored(landed, predictor) == 1

    def test_another_model_scores_all_again(
        self, landed: Landed, predictor: Predictor, spoken: SpokenRoot, tmp_path: Path
    ) -> None:
        named = replace(predictor, speech_model=str(spoken.speech_model.folder), recogniser="none")
        assert [scored(landed, named), scored(landed, named)] == [8, 0]
        shutil.copytree(predictor.folder, tmp_path / "model")
        (tmp_path / "model" / "more.txt").write_text("")
        assert scored(landed, replace(named, folder=tmp_path / "model")) == 8

    def test_a_model_that_was_replaced_meanwhile_is_refused(self, landed: Landed, predictor: Predictor) -> None:
        other = replace(predictor, provenance=replace(predictor.provenance, weights_sha256="0" * 64))
        with pytest.raises(ArtefactError, match="was replaced while it was loaded"):
            scored(landed, other)

    def test_another_recogniser_scores_all_again(self, landed: Landed, predictor: Predictor) -> None:
        scored(landed, predictor)
        assert scored(landed, replace(predictor, recogniser="http:http://127.0.0.1:9")) == 8

    def test_a_deleted_recording_leaves_the_tables(self, landed: Landed, predictor: Predictor) -> None:
        scored(landed, predictor)
        gone = next(landed.folder.glob("*.wav"))
        gone.unlink()
        assert scored(landed, predictor) == 0
        files = landed.paths.scoring("calls")
        assert gone.name not in {Path(row["file"]).name for row in rows(files.calls)}
        assert {row["reason"] for row in rows(files.rejects)} >= {RejectReason.MISSING_AUDIO}


def test_progress_counts_the_recordings_that_are_asked(landed: Landed, predictor: Predictor) -> None:
    told: list[tuple[int, int]] = []
    write_recordings(landed.paths, landed.archive)
    score_archive(landed.paths, landed.archive, predictor, lambda done, total, **_: told.append((done, total)))
    assert told == [(number, 8) for number in range(1, 9)]


@pytest.mark.parametrize("step", [lambda landed, predictor: score_archive(landed.paths, landed.archive, predictor)])
def test_a_missing_table_says_what_to_make(
    landed: Landed, predictor: Predictor, step: Callable[[Landed, Predictor], object]
) -> None:
    with pytest.raises(ArtefactError, match="materialize scoring_recordings"):
        step(landed, predictor)
    with pytest.raises(ArtefactError, match="materialize scored_utterances"):
        write_scored_calls(landed.paths, landed.archive.name)


def test_no_text_leaves_its_column(landed: Landed, predictor: Predictor, spoken: SpokenRoot) -> None:
    scored(landed, predictor)
    texts = {str(row["text"]).strip() for row in spoken.rows()}
    files = landed.paths.scoring("calls")
    for path in (files.recordings, files.calls, files.rejects):
        content = repr(rows(path)) + repr(pq.read_schema(path).metadata)
        assert not [text for text in texts if text in content]

import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import (
    MONITORED_CALLS,
    Monitoring,
    monitor_archive,
    score_archive,
    write_recordings,
    write_scored_calls,
)
from urgency_dagster.scoring.monitoring import archive as monitoring
from urgency_dagster.urgency import Predictor, call_vector, count_validation_calls, training_call_vectors
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.scoring.conftest import Landed, land_calls
from urgency_dagster_tests.urgency.spoken import SpokenRoot

FEW = 5
"""Calls that are enough in these tests: the training side has 11."""

TRAINING_CALLS = 11
"""Calls of the training side: 14 of the archive, less 3 for development."""


@pytest.fixture
def root(spoken: SpokenRoot, calls: Path, tmp_path: Path) -> Landed:
    """A copy of the trained root, in which the validation calls have landed for scoring."""
    shutil.copytree(spoken.paths.root, tmp_path / "root")
    return land_calls(calls, StoragePaths(tmp_path / "root"))


def monitored(root: Landed, predictor: Predictor) -> Monitoring:
    write_recordings(root.paths, root.archive)
    score_archive(root.paths, root.archive, predictor)
    write_scored_calls(root.paths, root.archive.name)
    return monitor_archive(root.paths, root.archive.name)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "MIN_CALLS", FEW)


class TestShares:
    def test_the_validation_calls_have_their_own_shares(self, root: Landed, predictor: Predictor) -> None:
        found = monitored(root, predictor)
        assert {"하", "중", "상", "unknown_tokens", "clipped", "tone_660hz"} <= {share.name for share in found.shares}
        for share in found.shares:
            assert share.archive == share.validation, share.name
            assert not share.apart

    def test_clipped_and_masked_recordings_warn(self, root: Landed, predictor: Predictor, build: Builder) -> None:
        for path in root.folder.glob("*"):
            path.unlink()
        for number in range(40):
            root.land(f"loud{number}_1.wav", loud_tone(number))
            root.land(f"loud{number}_1.json", label_of(build, f"loud{number}"))
        apart = {share.name for share in monitored(root, predictor).shares if share.apart}
        assert {"clipped", "tone_660hz"} <= apart

    def test_without_an_evaluation_the_audio_is_compared(self, root: Landed, predictor: Predictor) -> None:
        shutil.rmtree(root.paths.urgency.evaluation)
        found = monitored(root, predictor)
        assert {share.name for share in found.shares} == {"unknown_tokens", "clipped", "tone_660hz"}
        assert found.no_shares["상"] == "the validation side does not have it"

    def test_an_evaluation_of_other_rows_is_not_used(self, root: Landed) -> None:
        path = root.paths.urgency.evaluation / "predictions.parquet"
        pq.write_table(pq.read_table(path).slice(1), path)
        assert "상" not in count_validation_calls(root.paths, 0)

    def test_flags_of_a_table_without_recordings_are_not_used(self, root: Landed) -> None:
        for archive in ("T_광주_구급", "V_광주_구급"):
            members = root.paths.archive(archive).members
            pq.write_table(pq.read_table(members).slice(0, 0), members)
        assert "clipped" not in count_validation_calls(root.paths, 0)

    def test_without_text_unknown_tokens_are_not_compared(self, root: Landed, predictor: Predictor) -> None:
        for path in root.folder.glob("*.json"):
            path.unlink()
        found = monitored(root, predictor)
        assert not [share for share in found.shares if share.name == "unknown_tokens"]


class TestDrift:
    @pytest.mark.usefixtures("few")
    def test_calls_like_those_of_the_training_do_not_warn(self, root: Landed, predictor: Predictor) -> None:
        drift = monitored(root, predictor).drift
        assert drift is not None
        assert (drift.training_calls, drift.calls) == (TRAINING_CALLS, 8)
        assert not drift.drifted

    @pytest.mark.usefixtures("few")
    def test_recordings_of_another_kind_warn(self, root: Landed, predictor: Predictor) -> None:
        for number, path in enumerate(sorted(root.folder.glob("*.wav"))):
            path.write_bytes(loud_tone(number))
        drift = monitored(root, predictor).drift
        assert drift is not None
        assert drift.drifted

    def test_few_calls_give_no_verdict(self, root: Landed, predictor: Predictor) -> None:
        found = monitored(root, predictor)
        assert found.drift is None
        assert found.no_drift == "the archive has 8 different recordings with scores; at least 20 are needed"

    def test_a_recording_that_occurs_twice_counts_once(self, root: Landed, predictor: Predictor) -> None:
        first = next(root.folder.glob("*.wav"))
        root.land("again_1.wav", first.read_bytes())
        assert monitored(root, predictor).no_drift.startswith("the archive has 8 different")

    @pytest.mark.usefixtures("few")
    def test_vectors_of_another_width_are_not_compared(
        self, root: Landed, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = np.zeros((TRAINING_CALLS, 3), np.float32)
        monkeypatch.setattr(monitoring, "training_call_vectors", lambda *_: other)
        assert "the present training set 3" in monitored(root, predictor).no_drift


class TestNothing:
    def test_one_call_passes_without_a_verdict_on_drift(self, root: Landed, predictor: Predictor) -> None:
        for path in sorted(root.folder.glob("*.wav"))[1:]:
            path.unlink()
        found = monitored(root, predictor)
        assert found.drift is None
        assert not [share for share in found.shares if share.apart]

    def test_an_archive_without_calls_has_no_shares(self, root: Landed, predictor: Predictor) -> None:
        for path in root.folder.glob("*.wav"):
            path.write_bytes(b"RIFF")
        found = monitored(root, predictor)
        assert (found.drift, found.shares) == (None, ())
        assert set(found.no_shares.values()) >= {"no call of the archive has it"}

    @pytest.mark.usefixtures("few")
    def test_without_a_training_set_nothing_is_measured(self, root: Landed, predictor: Predictor) -> None:
        shutil.rmtree(root.paths.urgency.training_set)
        found = monitored(root, predictor)
        assert (found.drift, found.shares) == (None, ())
        assert "no training set" in found.no_drift
        assert "no training set" in found.no_shares["all"]

    def test_an_archive_that_was_not_scored_says_what_to_make(self, paths: StoragePaths) -> None:
        with pytest.raises(ArtefactError, match="materialize scored_utterances"):
            monitor_archive(paths, "none")


class TestMeasures:
    def test_a_call_has_the_vector_of_the_embedding(self, root: Landed, predictor: Predictor) -> None:
        monitored(root, predictor)
        rows = {row["file"]: row for row in pq.read_table(root.paths.scoring("calls").monitored).to_pylist()}
        archive = root.paths.archive("V_광주_구급")
        utterances, vectors = pq.read_table(archive.utterances).to_pylist(), np.load(archive.vectors)
        assert len(rows) == 8
        for file, row in rows.items():
            of_call = [n for n, item in enumerate(utterances) if item["_id"] == Path(file).name.partition("_")[0]]
            durations = np.array([utterances[n]["duration_s"] for n in of_call])
            expected = call_vector(vectors[of_call].reshape(len(of_call), 1, -1), durations)
            np.testing.assert_allclose(row["vector"], expected, atol=1e-4)

    def test_former_scores_without_measures_are_asked_again(self, root: Landed, predictor: Predictor) -> None:
        monitored(root, predictor)
        files = root.paths.scoring("calls")
        before = files.monitored.read_bytes()
        pq.write_table(pq.read_table(files.monitored).slice(3), files.monitored)
        assert score_archive(root.paths, root.archive, predictor) == 3
        assert files.monitored.read_bytes() == before
        files.monitored.unlink()
        assert score_archive(root.paths, root.archive, predictor) == 8
        assert files.monitored.read_bytes() == before

    def test_no_text_and_no_path_of_the_root_is_in_the_table(self, root: Landed, predictor: Predictor) -> None:
        monitored(root, predictor)
        assert pq.read_schema(root.paths.scoring("calls").monitored).equals(MONITORED_CALLS)
        assert "text" not in MONITORED_CALLS.names

    def test_a_long_recording_is_not_analysed(
        self, root: Landed, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("urgency_dagster.scoring.monitoring.measures.MAX_ANALYSED_MS", 1000)
        found = monitored(root, predictor)
        assert {found.no_shares["clipped"], found.no_shares["tone_660hz"]} == {"no call of the archive has it"}


def test_the_vector_of_a_call_depends_on_durations_and_not_on_cuts() -> None:
    whole, parts = np.array([[[0.0]], [[1.0]]], np.float32), np.array([[[0.0]], [[0.0]], [[1.0]]], np.float32)
    vectors = call_vector(whole, np.array([3.0, 1.0])), call_vector(parts, np.array([2.0, 1.0, 1.0]))
    assert [vector.tolist() for vector in vectors] == [[0.25], [0.25]]
    assert vectors[0].dtype == np.float32


def test_the_training_calls_are_drawn_by_seed(spoken: SpokenRoot) -> None:
    drawn, again, other = (training_call_vectors(spoken.paths, 5, seed) for seed in (0, 0, 1))
    assert len(drawn) == 5
    np.testing.assert_array_equal(drawn, again)
    assert not np.array_equal(drawn, other)
    assert len(training_call_vectors(spoken.paths, 99, 0)) == TRAINING_CALLS


def loud_tone(seed: int) -> bytes:
    """Six seconds of a tone of 660 Hz at 44.1 kHz; the first half is clipped."""
    rate, rng = 44_100, np.random.default_rng(seed)
    time = np.arange(6 * rate) / rate
    tone = np.sin(2 * np.pi * 660 * time) * 0.5 + 0.01 * rng.normal(size=len(time))
    tone[: rate * 3] = np.clip(4 * tone[: rate * 3], -1, 1)
    stream = io.BytesIO()
    soundfile.write(stream, tone, rate, format="WAV")
    return stream.getvalue()


def label_of(build: Builder, call_id: str) -> bytes:
    """A label of both halves of a recording of six seconds."""
    halves = [build.utterance(0, endAt=2900), build.utterance(1, startAt=3000, endAt=6000)]
    return build.json(build.label(call_id, utterances=halves))

"""The recordings of some sources are answered one by one, or rejected with a reason."""

import dataclasses
import gc
import json
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from urgency_dagster import scoring
from urgency_dagster.errors import (
    ArtefactError,
    AudioError,
    DeviceMemoryError,
    InputError,
    NoRecogniserError,
    NoSpeechError,
    RecognitionError,
    SettingsError,
    UrgencyError,
)
from urgency_dagster.listening import HeardCall
from urgency_dagster.scoring import PredictedRecording, Rejection, RejectReason, find_recordings, predict_recordings
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster.urgency import Predictor, load_model
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.listening.syllables import silence, syllables
from urgency_dagster_tests.urgency.spoken import SpokenRoot, logits_of


def answers(predictor: Predictor, *sources: Path) -> list[PredictedRecording | Rejection]:
    return list(predict_recordings(predictor, find_recordings(sources)))


def predicted(predictor: Predictor, *sources: Path) -> dict[str, PredictedRecording]:
    return {answer.id: answer for answer in answers(predictor, *sources) if isinstance(answer, PredictedRecording)}


def rejections(predictor: Predictor, *sources: Path) -> list[Rejection]:
    return [answer for answer in answers(predictor, *sources) if isinstance(answer, Rejection)]


def test_recordings_with_labels_are_answered_as_in_the_pipeline(
    spoken: SpokenRoot, predictor: Predictor, calls: Path
) -> None:
    by_call = predicted(predictor, calls)
    rows = spoken.rows()
    assert by_call.keys() == {row["_id"] for row in rows}
    names = predictor.model.labels.urgency
    for call_id, answer in by_call.items():
        logits = logits_of([row for row in rows if row["_id"] == call_id], "urgency")
        expected = probabilities(logits.mean(axis=0, keepdims=True), predictor.model.temperatures["call"]["urgency"])[0]
        assert answer.prediction.urgency
        assert answer.prediction.urgency.probabilities == pytest.approx(
            dict(zip(names, expected, strict=True)), abs=1e-5
        )
        assert len(answer.prediction.utterances) == len(logits)


def test_a_zip_and_a_file_alone_have_the_answers_of_the_folder(
    predictor: Predictor, calls: Path, tmp_path: Path
) -> None:
    target = tmp_path / "calls.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for path in calls.iterdir():
            archive.write(path, path.name)
    expected = {call_id: answer.prediction for call_id, answer in predicted(predictor, calls).items()}
    assert {call_id: answer.prediction for call_id, answer in predicted(predictor, target).items()} == expected
    alone = min(calls.glob("*.wav"))
    assert [answer.prediction for answer in predicted(predictor, alone).values()] == [
        expected[alone.stem.partition("_")[0]]
    ]


def test_an_utterance_that_cannot_be_used_is_named_with_its_id(predictor: Predictor, calls: Path) -> None:
    answer = predicted(predictor, calls)[min(calls.glob("*.wav")).stem.partition("_")[0]]
    (refused,) = answer.rejected
    assert (refused.reason, refused.utterance_id) == (RejectReason.TOO_SHORT, "00000003")
    assert refused.file == answer.file


def test_a_label_without_speakers_keeps_its_ids(predictor: Predictor, calls: Path, tmp_path: Path) -> None:
    """The model fills in who speaks: a heard turn is not the turn of the label."""
    folder = tmp_path / "calls"
    folder.mkdir()
    recording = min(calls.glob("*.wav"))
    label = next(path for path in calls.glob("*.json") if path.stem.startswith(recording.stem.partition("_")[0]))
    content = json.loads(label.read_text(encoding="utf-8"))
    for utterance in content["utterances"]:
        del utterance["speaker"]
    (folder / recording.name).write_bytes(recording.read_bytes())
    (folder / label.name).write_text(json.dumps(content), encoding="utf-8")
    (expected,) = predicted(predictor, recording).values()
    found = answers(predictor, folder)
    (answer,) = [item for item in found if isinstance(item, PredictedRecording)]
    assert answer.utterance_ids == expected.utterance_ids
    assert len(answer.utterance_ids) == len(answer.prediction.utterances)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no recording", RejectReason.UNREADABLE_AUDIO),
        (b"RIFF", RejectReason.UNREADABLE_AUDIO),
    ],
)
def test_a_broken_recording_costs_only_itself(
    predictor: Predictor, calls: Path, tmp_path: Path, build: Builder, content: bytes, reason: RejectReason
) -> None:
    broken = tmp_path / f"{build.call_id(1)}_1.wav"
    broken.write_bytes(content)
    (tmp_path / f"{build.call_id(1)}_1.json").write_bytes(build.json(build.label(build.call_id(1))))
    both = answers(predictor, broken, calls)
    (rejected,) = [answer for answer in both if isinstance(answer, Rejection)]
    assert (rejected.file, rejected.reason, rejected.id) == (broken.as_posix(), reason, build.call_id(1))
    assert len(both) == 1 + len(list(calls.glob("*.wav")))


def test_a_recording_none_of_whose_utterances_can_be_used_is_rejected(
    predictor: Predictor, tmp_path: Path, build: Builder
) -> None:
    call_id = build.call_id(2)
    label = build.label(call_id, utterances=[build.utterance(0, startAt=900, endAt=100), build.utterance(9)])
    (tmp_path / f"{call_id}.wav").write_bytes(build.wav(3000))
    (tmp_path / f"{call_id}.json").write_bytes(build.json(label))
    (rejected,) = rejections(predictor, tmp_path)
    assert rejected.reason == RejectReason.NO_SPEECH
    assert "none of the 2 turns can be used (bad_times; outside_audio)" in rejected.detail
    assert "발화" not in rejected.detail


def test_a_recording_without_a_label_is_answered_or_has_no_speech(predictor: Predictor, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.concatenate([silence(500), syllables(2000), silence(500)]), 16_000)
    soundfile.write(tmp_path / "b.wav", np.zeros((24_000, 2)), 8000)
    spoken, silent = answers(predictor, tmp_path)
    assert isinstance(spoken, PredictedRecording)
    assert (spoken.id, spoken.prediction.listening, spoken.rejected) == ("a", "none", ())
    assert isinstance(silent, Rejection)
    assert silent.reason == RejectReason.NO_SPEECH


def test_a_label_without_urgency_is_enough(predictor: Predictor, calls: Path, tmp_path: Path) -> None:
    """The turns and the text are needed. The classes are what is asked for."""
    recording = min(calls.glob("*.wav"))
    label = json.loads(recording.with_suffix(".json").read_text(encoding="utf-8"))
    del label["urgencyLevel"], label["sentiment"]
    (tmp_path / recording.name).write_bytes(recording.read_bytes())
    (tmp_path / recording.name).with_suffix(".json").write_text(json.dumps(label), encoding="utf-8")
    assert [answer.prediction for answer in predicted(predictor, tmp_path).values()] == [
        answer.prediction for answer in predicted(predictor, recording).values()
    ]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NoSpeechError("it"), RejectReason.NO_SPEECH),
        (AudioError("it"), RejectReason.UNREADABLE_AUDIO),
        (RecognitionError("it"), RejectReason.NOT_RECOGNISED),
        (DeviceMemoryError("it"), RejectReason.OUT_OF_MEMORY),
        (InputError("it"), RejectReason.UNUSABLE_VECTORS),
    ],
)
def test_an_error_of_a_recording_has_its_own_reason(
    predictor: Predictor, calls: Path, monkeypatch: pytest.MonkeyPatch, error: UrgencyError, reason: RejectReason
) -> None:
    listen = Predictor.listen

    def first_fails(self: Predictor, *given: Any) -> HeardCall:
        monkeypatch.setattr(Predictor, "listen", listen)
        raise error

    monkeypatch.setattr(Predictor, "listen", first_fails)
    first, *others = answers(predictor, calls)
    assert first == Rejection(min(calls.glob("*.wav")).as_posix(), reason, "it", first.id)
    assert {type(answer) for answer in others} == {PredictedRecording}


def test_an_error_of_no_recording_ends_the_run(
    predictor: Predictor, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Predictor, *given: Any) -> HeardCall:
        raise ArtefactError("the model was replaced")

    monkeypatch.setattr(Predictor, "listen", fails)
    with pytest.raises(ArtefactError, match="was replaced"):
        answers(predictor, calls)


class TestARecogniserThatCannotBeLoaded:
    """It is no fault of a recording: it is said once, before the first answer, and only if a recording needs it."""

    @pytest.fixture
    def headless(self, spoken: SpokenRoot) -> Predictor:
        return load_model(spoken.model, "cpu", speech_model=spoken.speech_model.folder, recogniser="ctc")

    @pytest.fixture
    def folder(self, calls: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(calls, tmp_path / "calls"))

    def test_is_not_needed_if_every_recording_has_its_label(
        self, headless: Predictor, predictor: Predictor, folder: Path
    ) -> None:
        assert answers(headless, folder) == answers(predictor, folder)
        (folder / "notes.txt").write_text("text", encoding="utf-8")
        assert [entry.reason for entry in rejections(headless, folder)] == [RejectReason.UNKNOWN_TYPE]

    @pytest.mark.parametrize("change", [Path.unlink, lambda label: label.write_text("no label", encoding="utf-8")])
    def test_ends_the_run_before_the_first_answer(
        self, headless: Predictor, folder: Path, change: Callable[[Path], object]
    ) -> None:
        change(max(folder.glob("*.json")))
        with pytest.raises(NoRecogniserError, match="has no CTC head"):
            predict_recordings(headless, find_recordings([folder]))

    def test_is_not_needed_by_another_recording_that_is_not_asked(self, headless: Predictor, folder: Path) -> None:
        max(folder.glob("*.json")).unlink()
        found = find_recordings([folder])
        asked = dataclasses.replace(found, audio=found.audio[:-1])
        assert len(list(predict_recordings(headless, asked))) == 7


def test_other_files_are_rejected_first(predictor: Predictor, tmp_path: Path, build: Builder) -> None:
    (tmp_path / "readme.txt").write_text("text", encoding="utf-8")
    (tmp_path / "b.zip").write_bytes(build.zipped({"notes.txt": b"text"}))
    (tmp_path / "c.zip").write_bytes(b"PK no zip")
    assert [entry.reason for entry in rejections(predictor, tmp_path)] == [
        RejectReason.UNKNOWN_TYPE,
        RejectReason.CORRUPT,
        RejectReason.UNKNOWN_TYPE,
    ]


def test_progress_counts_the_recordings(predictor: Predictor, calls: Path) -> None:
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int, **figures: float) -> None:
        seen.append((done, total))

    list(predict_recordings(predictor, find_recordings([calls]), progress))
    assert seen == [(done, 8) for done in range(1, 9)]


def test_memory_does_not_grow_with_the_recordings(predictor: Predictor, tmp_path: Path, build: Builder) -> None:
    """Neither an answer nor a rejection keeps a waveform alive."""
    for number in range(12):
        call_id = build.call_id(number)
        (tmp_path / f"{call_id}.wav").write_bytes(build.wav(3000, seed=number))
        label = build.label(call_id) if number % 2 else build.label(call_id, utterances=[build.utterance(90)])
        (tmp_path / f"{call_id}.json").write_bytes(build.json(label))
    kept, used_bytes = [], []
    tracemalloc.start()
    try:
        for answer in predict_recordings(predictor, find_recordings([tmp_path])):
            kept.append(answer)
            gc.collect()
            used_bytes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    waveform_bytes = 3 * 16_000 * 4
    assert len(used_bytes) == 12
    assert used_bytes[-1] - used_bytes[3] < 2 * waveform_bytes


class TestTheModel:
    def test_is_that_of_the_storage_root(self, spoken: SpokenRoot, calls: Path) -> None:
        predictor = scoring.load_predictor(spoken.paths.root)
        assert predictor.provenance == load_model(spoken.model, "cpu").provenance

    def test_may_be_another_folder_with_the_settings_of_the_root(
        self, spoken: SpokenRoot, calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("URGENCY_SPEECH_MODEL", raising=False)
        folder = tmp_path / "elsewhere"
        folder.symlink_to(spoken.model)
        moved = tmp_path / "copy"
        moved.mkdir()
        for path in spoken.model.rglob("*"):
            target = moved / path.relative_to(spoken.model)
            target.mkdir(parents=True, exist_ok=True) if path.is_dir() else target.write_bytes(path.read_bytes())
        assert predicted(scoring.load_predictor(spoken.paths.root, moved), min(calls.glob("*.wav")))
        assert predicted(scoring.load_predictor(None, folder), min(calls.glob("*.wav")))
        with pytest.raises(SettingsError, match="of a local folder"):
            predict_recordings(scoring.load_predictor(None, moved), find_recordings([calls]))

    def test_names_a_precision_that_recordings_do_not_have(self, predictor: Predictor) -> None:
        def line(*precisions: str) -> str:
            provenance = replace(predictor.provenance, vector_precisions=precisions)
            return scoring.precision_line(replace(predictor, provenance=provenance))

        assert line() == line("float32") == ""
        assert line("bfloat16", "float32") == (
            "the model was trained on vectors in bfloat16; those of recordings are computed in float32 and differ by "
            "about 0.01"
        )

    def test_is_missing_in_one_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(ArtefactError, match=r"the model folder .* cannot be loaded"):
            scoring.load_predictor(tmp_path)

    def test_without_recordings_loads_no_speech_model(self, spoken: SpokenRoot, tmp_path: Path) -> None:
        predictor = load_model(spoken.model, "cpu", speech_model=tmp_path)
        soundfile.write(tmp_path / "a.wav", np.zeros(8000), 8000)
        assert answers(predictor, tmp_path / "no.txt")
        assert "listener" not in vars(predictor)

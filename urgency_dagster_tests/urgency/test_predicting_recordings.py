"""A predictor that is asked about recordings: it answers what the pipeline answers, or says why not."""

import dataclasses
import json
import shutil
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from urgency_dagster import urgency
from urgency_dagster.errors import (
    AudioError,
    InputError,
    ModelError,
    NoRecogniserError,
    NoSpeechError,
    SettingsError,
)
from urgency_dagster.listening import Turn
from urgency_dagster.paths import StoragePaths
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster.urgency import LabelFreeGap, RecordingPrediction, RejectedRecording
from urgency_dagster.urgency.predictor import Predictor
from urgency_dagster_tests.calls.conftest import LAYER, save_speech_model
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.listening.syllables import silence, syllables
from urgency_dagster_tests.urgency.spoken import SpokenRoot, logits_of, write_spoken_root

TASKS = ("urgency", "sentiment")


@pytest.fixture(scope="module")
def predictor(spoken: SpokenRoot) -> Predictor:
    return urgency.load_model(spoken.model, "cpu", speech_model=spoken.speech_model.folder, recogniser="none")


@dataclasses.dataclass(frozen=True)
class ValidationCall:
    """A call of the validation side, its recording and the turns of its label."""

    rows: list[dict[str, Any]]
    recording: Path

    @property
    def turns(self) -> list[tuple[int, int, str, str]]:
        return [(row["startAt"], row["endAt"], row["text"], str(row["speaker"])) for row in self.rows]


def validation_calls(spoken: SpokenRoot) -> list[ValidationCall]:
    calls = groupby(spoken.rows(), key=lambda row: row["_id"])
    listed = [list(rows) for _, rows in calls]
    return [ValidationCall(rows, spoken.paths.root / str(rows[0]["wav_file_path"])) for rows in listed]


@pytest.fixture(scope="module")
def call(spoken: SpokenRoot) -> ValidationCall:
    return validation_calls(spoken)[0]


def assert_is_that_of_the_pipeline(answer: RecordingPrediction, call: ValidationCall, predictor: Predictor) -> None:
    model = predictor.model
    for task in TASKS:
        logits, names = logits_of(call.rows, task), getattr(model.labels, task)
        by_turn = probabilities(logits, model.temperatures["utterance"][task])
        for utterance, expected in zip(answer.utterances, by_turn, strict=True):
            assert getattr(utterance, task).probabilities == pytest.approx(
                dict(zip(names, expected, strict=True)), abs=1e-5
            )
        of_call = probabilities(logits.mean(axis=0, keepdims=True), model.temperatures["call"][task])[0]
        assert getattr(answer, task).probabilities == pytest.approx(dict(zip(names, of_call, strict=True)), abs=1e-5)
        assert getattr(answer, task).label == names[int(of_call.argmax())]


def test_every_validation_call_is_answered_as_in_the_pipeline(spoken: SpokenRoot, predictor: Predictor) -> None:
    calls = validation_calls(spoken)
    assert len(calls) == 8
    for call in calls:
        answer = predictor.predict(call.recording, call.turns)
        assert_is_that_of_the_pipeline(answer, call, predictor)
        assert [dataclasses.astuple(utterance.turn) for utterance in answer.utterances] == call.turns
        assert answer.provenance == predictor.provenance
        assert (answer.listening, answer.duration_ms) == ("label", 6000)
        assert answer.urgency
        confidence = max(answer.urgency.probabilities.values())
        assert answer.abstain == (confidence < predictor.model.thresholds["answer_from"])
        assert answer.alarm == (answer.urgency.probabilities["상"] >= predictor.model.thresholds["alarm_from"])


def test_a_model_of_several_vectors_answers_as_in_the_pipeline(
    tmp_path: Path, build: Builder, request: pytest.FixtureRequest
) -> None:
    spoken = write_spoken_root(tmp_path, build, request.getfixturevalue("text_model"), audio_tokens=3)
    predictor = urgency.load_model(spoken.model, "cpu", speech_model=spoken.speech_model.folder, recogniser="none")
    call = validation_calls(spoken)[0]
    assert_is_that_of_the_pipeline(predictor.predict(call.recording, call.turns), call, predictor)


def test_the_exported_folder_answers_every_validation_call_through_openvino(spoken: SpokenRoot, tmp_path: Path) -> None:
    """It finds the speech model by the settings of its storage root, as the model folder does."""
    paths = StoragePaths(shutil.copytree(spoken.paths.root, tmp_path / "root"))
    urgency.export_model(paths)
    exported = urgency.load_model(paths.urgency.export, engine="openvino")
    for call in validation_calls(spoken):
        assert_is_that_of_the_pipeline(exported.predict(call.recording, call.turns), call, exported)


def test_a_path_bytes_and_samples_have_one_answer(predictor: Predictor, call: ValidationCall) -> None:
    samples, rate = soundfile.read(call.recording, dtype="float32")
    expected = predictor.predict(call.recording, call.turns)
    for audio in (str(call.recording), call.recording.read_bytes(), (samples, rate)):
        assert predictor.predict(audio, call.turns) == expected


def test_turns_may_be_objects_without_a_speaker_and_in_any_order(predictor: Predictor, call: ValidationCall) -> None:
    turns = [Turn(start, end, text) for start, end, text, _ in reversed(call.turns)]
    answer = predictor.predict(call.recording, turns)
    assert [dataclasses.replace(utterance.turn, speaker=None) for utterance in answer.utterances] == turns[::-1]
    assert {utterance.turn.speaker for utterance in answer.utterances} <= {"caller", "call_taker"}
    assert_is_that_of_the_pipeline(answer, call, predictor)


def test_a_turn_that_cannot_be_used_costs_only_itself(predictor: Predictor, call: ValidationCall) -> None:
    bad = [(500, 100, "네"), (-5, 900, "네"), (100, 500, "네"), (90_000, 99_000, "네")]
    answer = predictor.predict(call.recording, [*bad, *call.turns])
    assert_is_that_of_the_pipeline(answer, call, predictor)
    reasons = ["bad_times", "bad_times", "too_short", "outside_audio"]
    assert [(turn.start_ms, reason) for turn, reason in answer.rejected] == [
        (turn[0], reason) for turn, reason in zip(bad, reasons, strict=True)
    ]


def test_without_a_usable_turn_there_is_no_answer(predictor: Predictor, call: ValidationCall) -> None:
    with pytest.raises(NoSpeechError, match=r"none of the 2 turns can be used \(bad_times; too_short\)"):
        predictor.predict(call.recording, [(500, 100, "비밀"), (0, 499, "비밀")])


def test_many_recordings_are_answered_in_order_and_a_bad_one_costs_only_itself(
    predictor: Predictor, call: ValidationCall, tmp_path: Path
) -> None:
    text = tmp_path / "call.wav"
    text.write_text("no recording", encoding="utf-8")
    given: list[tuple[Any, Any]] = [
        (call.recording, call.turns),
        (text, call.turns),
        (tmp_path / "missing.wav", call.turns),
        (call.recording, [("0", 900, "네")]),
        (np.zeros(4), call.turns),
        (call.recording, call.turns),
    ]
    answers = list(predictor.predict_many(iter(given)))
    assert [type(answer) for answer in answers[1:5]] == [RejectedRecording] * 4
    assert answers[0] == answers[5] == predictor.predict(call.recording, call.turns)
    reasons = [answer.reason for answer in answers if isinstance(answer, RejectedRecording)]
    expected = ["not decodable", "there is no file missing.wav", "turn 0 has a start_ms", "audio of type ndarray"]
    assert [want in reason for want, reason in zip(expected, reasons, strict=True)] == [True] * 4


def test_many_recordings_are_taken_one_by_one(predictor: Predictor, call: ValidationCall) -> None:
    taken = []

    def recordings() -> Any:
        for number in range(100):
            taken.append(number)
            yield call.recording, call.turns[:1]

    answers = predictor.predict_many(recordings())
    next(answers)
    next(answers)
    assert taken == [0, 1]


NAN: NDArray[np.float32] = np.full(16_000, np.nan, np.float32)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ((NAN, 16_000), "NaN"),
        ((np.full(16_000, np.inf), 16_000), "NaN or infinite"),
        ((np.zeros(0, np.float32), 16_000), "no samples"),
        ((np.zeros((2, 16_000), np.float32), 16_000), "transpose"),
        ((np.zeros(16_000, np.float32), 0), "0 samples per second"),
        ((np.zeros(16_000, np.float32), 16_000.0), "rate of type float"),
        (([0.0] * 16_000, 16_000), "samples of type list"),
        (b"", "not decodable"),
        (b"RIFF and no more", "not decodable"),
        ("missing.wav", "no file missing.wav"),
        (Path("/"), "no file"),
    ],
)
def test_audio_that_cannot_be_used_is_one_sentence(predictor: Predictor, audio: Any, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        predictor.predict(audio, [(0, 900, "네")])


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([], "empty list of turns"),
        ("네", "turns of type str"),
        (7, "turns of type int"),
        (Turn(0, 900, "네"), "turns of type Turn"),
        ([(0, 900)], r"turn 0 is a tuple; expected \(start_ms, end_ms, text\)"),
        ([(0, 900, "네"), "네"], "turn 1 has a start_ms of type str|turn 1 is a str"),
        ([(0, 900, "네"), None], "turn 1 is a NoneType"),
        ([(0.0, 900, "네")], "turn 0 has a start_ms of type float; expected whole milliseconds"),
        ([(0, True, "네")], "end_ms of type bool"),
        ([(0, 900, b"x")], "text of type bytes"),
        ([(0, 900, "네", 1)], "speaker of type int"),
        ([Turn(0, None, "네")], "end_ms of type NoneType"),  # type: ignore[arg-type]
    ],
)
def test_turns_of_another_type_are_one_sentence(
    predictor: Predictor, call: ValidationCall, turns: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        predictor.predict(call.recording, turns)
    assert "네" not in str(error.value)


def test_numbers_of_numpy_are_milliseconds(predictor: Predictor, call: ValidationCall) -> None:
    answer = predictor.predict(call.recording, [(np.int64(0), np.int32(900), "네")])
    assert json.dumps(dataclasses.asdict(answer.utterances[0].turn))


def test_thresholds_belong_to_a_way_of_listening(predictor: Predictor) -> None:
    """The thresholds of the training hold for the text of labels. Others are measured without labels."""
    thresholds = {"answer_from": 1.1, "alarm_from": 0.0}
    gap = LabelFreeGap("ctc", thresholds, "urgency", with_labels=1, without_labels=1, interval=None, calls=1)
    predictor = dataclasses.replace(predictor, label_free_gap=gap)
    heard = predictor.listener.listen(np.zeros(96_000, np.float32), [Turn(0, 900, "네")])
    answers = {
        way: predictor.predict_heard(dataclasses.replace(heard, listening=way)) for way in ("label", "ctc", "http")
    }
    assert (answers["ctc"].abstain, answers["ctc"].alarm) == (True, True)
    assert answers["http"].abstain is answers["http"].alarm is None
    assert answers["label"].abstain is not None
    assert len({str(answer.urgency) for answer in answers.values()}) == 1


def test_a_turn_without_text_counts_as_empty_text(predictor: Predictor, call: ValidationCall) -> None:
    without, empty = (predictor.predict(call.recording, [(0, 900, text)]) for text in (None, ""))
    assert without.urgency == empty.urgency
    assert (without.listening, without.abstain) == ("none", None)


class TestWithoutTurns:
    """The turns are found, and the recogniser gives their text. Here there is none, so that the audio alone counts."""

    def test_speech_is_answered_like_the_same_turns_without_text(self, predictor: Predictor) -> None:
        spoken = np.concatenate([silence(1000), syllables(3000), silence(1500), syllables(2000, seed=1), silence(500)])
        answer = predictor.predict((spoken, 16_000))
        assert len(answer.utterances) == 2
        assert (answer.listening, answer.abstain, answer.alarm) == ("none", None, None)
        turns = [utterance.turn for utterance in answer.utterances]
        assert predictor.predict((spoken, 16_000), turns) == answer

    @pytest.mark.parametrize("samples", [np.zeros(48_000), np.random.default_rng(0).normal(0, 0.01, 48_000)])
    def test_silence_and_noise_are_no_speech(self, predictor: Predictor, samples: NDArray[np.float64]) -> None:
        with pytest.raises(NoSpeechError, match="no speech was found"):
            predictor.predict((samples, 16_000))


class TestTheSpeechModelIsFoundAgain:
    def test_a_local_folder_is_stored_by_name_and_hash_without_its_path(self, spoken: SpokenRoot) -> None:
        stored = urgency.load_model(spoken.model, "cpu").provenance.speech_model
        assert stored["name"] == spoken.speech_model.folder.name
        assert len(stored["weights_sha256"]) == 64
        written = b"".join(path.read_bytes() for path in spoken.model.rglob("*.*"))
        assert str(spoken.speech_model.folder).encode() not in written

    def test_by_the_setting_of_the_environment(
        self, spoken: SpokenRoot, call: ValidationCall, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("URGENCY_SPEECH_MODEL", str(spoken.speech_model.folder))
        assert urgency.load_model(spoken.model, "cpu").predict(call.recording, call.turns)

    def test_by_the_settings_of_its_storage_root(
        self, spoken: SpokenRoot, call: ValidationCall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("URGENCY_SPEECH_MODEL", raising=False)
        folder = Path(shutil.copytree(spoken.model, tmp_path / "urgency" / "model"))
        shutil.copytree(spoken.speech_model.folder, tmp_path / "models" / "moved")
        (tmp_path / "settings.env").write_text(
            "URGENCY_SPEECH_MODEL=./models/moved\nURGENCY_RECOGNISER=none\n", encoding="utf-8"
        )
        assert urgency.load_model(folder, "cpu").predict(call.recording, call.turns)

    def test_without_its_place_it_is_asked_for(
        self, spoken: SpokenRoot, call: ValidationCall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("URGENCY_SPEECH_MODEL", raising=False)
        moved = shutil.copytree(spoken.model, tmp_path / "model")
        with pytest.raises(SettingsError, match=r"speech model 'speech' of a local folder.*set URGENCY_SPEECH_MODEL"):
            urgency.load_model(moved, "cpu").predict(call.recording, call.turns)

    def test_other_weights_are_refused_in_one_sentence(
        self, spoken: SpokenRoot, call: ValidationCall, tmp_path: Path
    ) -> None:
        other = save_speech_model(tmp_path / "speech", LAYER, initializer_range=0.5)
        predictor = urgency.load_model(spoken.model, "cpu", speech_model=other.folder, recogniser="none")
        message = "the speech model speech has the weights [0-9a-f]{12}; expected speech with the weights"
        with pytest.raises(ModelError, match=message):
            predictor.predict(call.recording, call.turns)
        with pytest.raises(ModelError, match=message):  # it is no fault of a recording
            next(predictor.predict_many([(call.recording, call.turns)]))

    def test_a_speech_model_without_a_ctc_head_is_refused_where_text_is_missing(
        self, spoken: SpokenRoot, call: ValidationCall, predictor: Predictor
    ) -> None:
        model = urgency.load_model(spoken.model, "cpu", speech_model=spoken.speech_model.folder, recogniser="ctc")
        message = r"has no CTC head.*set URGENCY_RECOGNISER to `none`"
        with_text = (call.recording, call.turns)
        assert model.predict(*with_text) == predictor.predict(*with_text)
        with pytest.raises(NoRecogniserError, match=message):
            model.predict(call.recording, [(0, 900, None)])
        answers = model.predict_many([with_text, (call.recording, [(0, 900, None)]), with_text])
        assert isinstance(next(answers), RecordingPrediction)
        with pytest.raises(NoRecogniserError, match=message):  # it is no fault of a recording
            next(answers)

    def test_vectors_of_another_width_are_refused_before_the_first_answer(
        self, spoken: SpokenRoot, call: ValidationCall, tmp_path: Path
    ) -> None:
        """An old checkpoint does not name the weights of its speech model."""
        other = save_speech_model(tmp_path / "speech", LAYER, hidden_size=32)
        model = urgency.load_model(spoken.model, "cpu", speech_model=other.folder, recogniser="none")
        model = dataclasses.replace(model, provenance=dataclasses.replace(model.provenance, speech_model={}))
        with pytest.raises(ModelError, match="the speech model speech makes vectors of 32 values; expected 16 values"):
            next(model.predict_many([(call.recording, call.turns)]))

    def test_no_folder_is_refused(self, spoken: SpokenRoot, call: ValidationCall, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"holds no config\.json"):
            urgency.load_model(spoken.model, "cpu", speech_model=tmp_path).predict(call.recording, call.turns)

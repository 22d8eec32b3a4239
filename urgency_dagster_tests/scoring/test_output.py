"""The formats of the command `predict`."""

import csv
import io
import json
from typing import Any

import pytest

from urgency_dagster.listening import Turn
from urgency_dagster.scoring import FORMATS, Format, PredictedRecording, Rejection, RejectReason, write_answers
from urgency_dagster.scoring.output import Answer
from urgency_dagster.urgency import ClassProbabilities, Predictor, RecordingPrediction, TurnPrediction

SECRET = "비밀 주소"


def classes(**probabilities: float) -> ClassProbabilities:
    return ClassProbabilities(max(probabilities, key=lambda name: probabilities[name]), probabilities)


def answer(predictor: Predictor, file: str = "a_1.wav", **changed: Any) -> PredictedRecording:
    urgency, sentiment = (
        classes(하=0.1, 중=0.2, 상=0.7),
        ClassProbabilities("당황/난처", {"기타부정": 0.25, "당황/난처": 0.75}),
    )
    prediction = RecordingPrediction(
        **{
            "urgency": urgency,
            "sentiment": sentiment,
            "abstain": False,
            "alarm": True,
            "listening": "label",
            "duration_ms": 3000,
            "utterances": (
                TurnPrediction(Turn(0, 900, SECRET, "caller"), urgency, sentiment),
                TurnPrediction(Turn(1000, 2500, "네\x1b[2J"), urgency, None),
            ),
            "rejected": (),
            "provenance": predictor.provenance,
            **changed,
        }
    )
    refused = Rejection(file, RejectReason.TOO_SHORT, "3000 to 3300 ms", "a", "0003")
    return PredictedRecording(file, "a", prediction, (refused,))


BROKEN = Rejection("b_1.wav", RejectReason.UNREADABLE_AUDIO, "not decodable", "b")


def written(predictor: Predictor, form: Format, *answers: Answer, text: bool = False) -> tuple[str, int]:
    stream = io.StringIO()
    unused = write_answers(iter(answers), predictor, form, stream, text=text).unused
    return stream.getvalue(), unused


@pytest.mark.parametrize("form", FORMATS)
def test_text_is_written_only_if_it_is_asked_for(predictor: Predictor, form: Format) -> None:
    assert SECRET not in written(predictor, form, answer(predictor), BROKEN)[0]
    assert SECRET in written(predictor, form, answer(predictor), BROKEN, text=True)[0]


@pytest.mark.parametrize("form", FORMATS)
def test_only_files_count_as_unused(predictor: Predictor, form: Format) -> None:
    label = Rejection("a_1.json", RejectReason.UNREADABLE_LABEL, "no JSON", "a")
    with_label = PredictedRecording("a_1.wav", "a", answer(predictor).prediction, (label,))
    assert written(predictor, form, answer(predictor))[1] == 0
    assert written(predictor, form, answer(predictor), BROKEN)[1] == 1
    assert written(predictor, form, with_label, BROKEN)[1] == 2


@pytest.mark.parametrize("form", FORMATS)
def test_every_file_is_named(predictor: Predictor, form: Format) -> None:
    said, _ = written(predictor, form, answer(predictor), BROKEN)
    assert all(name in said for name in ("a_1.wav", "b_1.wav", "unreadable_audio"))


def test_json_is_the_documented_document(predictor: Predictor) -> None:
    said, _ = written(predictor, "json", BROKEN, answer(predictor), answer(predictor, "c.wav", abstain=None))
    document = json.loads(said)
    urgency = {"label": "상", "probabilities": {"하": 0.1, "중": 0.2, "상": 0.7}}
    sentiment = {"label": "당황/난처", "probabilities": {"기타부정": 0.25, "당황/난처": 0.75}}
    first = {"start_ms": 0, "end_ms": 900, "speaker": "caller", "urgency": urgency, "sentiment": sentiment}
    second = {"start_ms": 1000, "end_ms": 2500, "speaker": None, "urgency": urgency, "sentiment": None}
    expected = {
        "file": "a_1.wav",
        "_id": "a",
        "urgency": urgency,
        "sentiment": sentiment,
        "abstain": False,
        "alarm": True,
        "listening": "label",
        "utterances": [first, second],
    }
    short = {"utterance_id": "0003", "reason": "too_short", "detail": "3000 to 3300 ms"}
    assert document == {
        "calls": [expected, expected | {"file": "c.wav", "abstain": None}],
        "rejected": [
            {"file": "b_1.wav", "reason": "unreadable_audio", "detail": "not decodable"},
            {"file": "a_1.wav", **short},
            {"file": "c.wav", **short},
        ],
        "model": {
            "sha256": predictor.provenance.weights_sha256,
            "speech_model": predictor.provenance.speech_model,
        },
    }
    assert predictor.provenance.speech_model.keys() == {"name", "revision", "weights_sha256"}


def test_json_with_text_has_it_in_each_utterance(predictor: Predictor) -> None:
    (call,) = json.loads(written(predictor, "json", answer(predictor), text=True)[0])["calls"]
    assert [utterance["text"] for utterance in call["utterances"]] == [SECRET, "네\x1b[2J"]


@pytest.mark.parametrize("answers", [(), (BROKEN,)])
def test_json_without_calls_is_a_document_too(predictor: Predictor, answers: tuple[Rejection, ...]) -> None:
    document = json.loads(written(predictor, "json", *answers)[0])
    assert document["calls"] == []
    assert len(document["rejected"]) == len(answers)


def test_json_is_written_call_by_call(predictor: Predictor) -> None:
    """The memory of thousands of calls does not grow."""
    stream = io.StringIO()

    def answers() -> Any:
        yield answer(predictor)
        assert "a_1.wav" in stream.getvalue()
        yield BROKEN

    write_answers(answers(), predictor, "json", stream)


def test_csv_has_a_row_for_each_answer_and_each_rejection(predictor: Predictor) -> None:
    said, _ = written(predictor, "csv", BROKEN, answer(predictor, abstain=None), text=True)
    broken, call, short = csv.DictReader(io.StringIO(said))
    assert [row["reason"] for row in (broken, call, short)] == ["unreadable_audio", "", "too_short"]
    assert (call["urgency"], call["urgency_상"], call["sentiment_당황/난처"]) == ("상", "0.700000", "0.750000")
    assert (call["abstain"], call["alarm"], call["listening"], call["utterances"]) == ("", "true", "label", "2")
    assert call["text"].splitlines()[0] == SECRET
    assert short["detail"] == "utterance 0003: 3000 to 3300 ms"
    labels = predictor.model.labels
    assert {f"urgency_{name}" for name in labels.urgency} <= call.keys()


def test_a_task_that_was_left_out_is_empty(predictor: Predictor) -> None:
    without = answer(predictor, sentiment=None)
    assert json.loads(written(predictor, "json", without)[0])["calls"][0]["sentiment"] is None
    assert next(csv.DictReader(io.StringIO(written(predictor, "csv", without)[0])))["sentiment"] == ""
    assert "상 70%   -  " in written(predictor, "table", without)[0]


def test_a_table_is_aligned_in_a_terminal(predictor: Predictor) -> None:
    said, _ = written(predictor, "table", answer(predictor), answer(predictor, "긴_이름.wav"), BROKEN)
    header, first, second, *rest = said.splitlines()
    assert header.split() == ["file", "urgency", "sentiment", "abstain", "alarm", "listening", "utterances"]
    assert first == "a_1.wav      상 70%   당황/난처 75%  no       yes    label      2 of 3"
    assert second == "긴_이름.wav  상 70%   당황/난처 75%  no       yes    label      2 of 3"
    assert rest[:2] == ["rejected:", "  b_1.wav: unreadable_audio: not decodable"]
    assert rest[2] == f"model {predictor.provenance.weights_sha256[:12]}"


def test_a_table_with_text_sends_no_control_characters(predictor: Predictor) -> None:
    said, _ = written(predictor, "table", answer(predictor), text=True)
    assert "\x1b" not in said
    assert f"       0.0 s      0.9 s  상 70%  caller  {SECRET}" in said

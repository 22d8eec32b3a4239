"""The answers of the command `predict` in its formats: one JSON document, CSV with a row per file, or a table.

Text of a call is written only if the caller asks for it.
"""

import csv
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TextIO, TypeAlias, get_args

from urgency_dagster.calls import printable
from urgency_dagster.listening import Listening
from urgency_dagster.scoring.rejects import Rejection
from urgency_dagster.urgency import TASKS

if TYPE_CHECKING:
    from urgency_dagster.scoring.prediction import PredictedRecording
    from urgency_dagster.urgency import ClassProbabilities, Predictor, TurnPrediction

Format = Literal["table", "json", "csv"]

FORMATS: tuple[Format, ...] = get_args(Format)

Answer: TypeAlias = "PredictedRecording | Rejection"

TABLE_HEADER = ("file", *TASKS, "abstain", "alarm", "listening", "utterances")

UNKNOWN = "-"
"""What a table shows for None."""


class Written(NamedTuple):
    """What was written.

    Attributes:
        unused: number of files that were not used. An utterance that was rejected does not count.
        listening: the ways in which the answered recordings were heard.
    """

    unused: int
    listening: frozenset[Listening]


def write_answers(
    answers: Iterable[Answer], predictor: "Predictor", form: Format, stream: TextIO, *, text: bool = False
) -> Written:
    """Writes answers and rejections. JSON and CSV are written as they arrive, a table at the end.

    Args:
        answers: what `predict_recordings` yields.
        predictor: the model that answers.
        form: the format.
        stream: receives the output.
        text: whether the text of the turns is written too.
    """
    unused, listening = 0, set[Listening]()

    def counted() -> Iterator[Answer]:
        nonlocal unused
        for answer in answers:
            unused += sum(rejection.utterance_id is None for rejection in _rejections(answer))
            if not isinstance(answer, Rejection):
                listening.add(answer.prediction.listening)
            yield answer

    WRITERS[form](counted(), predictor, stream, text)
    return Written(unused, frozenset(listening))


def _rejections(answer: Answer) -> Sequence[Rejection]:
    return (answer,) if isinstance(answer, Rejection) else answer.rejected


def call_object(answer: "PredictedRecording", *, text: bool = False) -> dict[str, Any]:
    """The JSON object of a recording with an answer.

    Args:
        answer: the recording.
        text: whether the utterances have their text.
    """
    prediction = answer.prediction
    return {
        "file": answer.file,
        "_id": answer.id,
        "urgency": _class_object(prediction.urgency),
        "sentiment": _class_object(prediction.sentiment),
        "abstain": prediction.abstain,
        "alarm": prediction.alarm,
        "listening": prediction.listening,
        "utterances": [_utterance_object(utterance, text) for utterance in prediction.utterances],
    }


def _utterance_object(utterance: "TurnPrediction", text: bool) -> dict[str, Any]:
    turn = utterance.turn
    return {
        "start_ms": turn.start_ms,
        "end_ms": turn.end_ms,
        "speaker": turn.speaker,
        **({"text": turn.text} if text else {}),
        "urgency": _class_object(utterance.urgency),
        "sentiment": _class_object(utterance.sentiment),
    }


def _class_object(answer: "ClassProbabilities | None") -> dict[str, Any] | None:
    return None if answer is None else {"label": answer.label, "probabilities": answer.probabilities}


def _rejection_object(rejection: Rejection) -> dict[str, Any]:
    utterance = {} if rejection.utterance_id is None else {"utterance_id": rejection.utterance_id}
    return {"file": rejection.file, **utterance, "reason": rejection.reason, "detail": rejection.detail}


def _write_json(answers: Iterable[Answer], predictor: "Predictor", stream: TextIO, text: bool) -> None:
    """One document, with a call per line. Only the rejections stay in memory until the end."""
    rejected: list[dict[str, Any]] = []
    before = "\n"
    stream.write('{"calls": [')
    for answer in answers:
        rejected += map(_rejection_object, _rejections(answer))
        if not isinstance(answer, Rejection):
            stream.write(before + _json(call_object(answer, text=text)))
            before = ",\n"
    provenance = predictor.provenance
    model = {"sha256": provenance.weights_sha256, "speech_model": provenance.speech_model}
    stream.write(f'\n],\n"rejected": {_json(rejected)},\n"model": {_json(model)}}}\n')


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _write_csv(answers: Iterable[Answer], predictor: "Predictor", stream: TextIO, text: bool) -> None:
    """A row per answer, rejected file and rejected utterance; the transcript has a line per turn."""
    classes = {task: getattr(predictor.model.labels, task) for task in TASKS}
    columns = [name for task in TASKS for name in (task, *(f"{task}_{label}" for label in classes[task]))]
    header = ["file", "_id", *columns, "abstain", "alarm", "listening", "utterances", "reason", "detail"]
    rows = csv.DictWriter(stream, [*header, *(["text"] if text else [])], lineterminator="\n")
    rows.writeheader()
    for answer in answers:
        if not isinstance(answer, Rejection):
            rows.writerow(_csv_row(answer) | ({"text": _transcript(answer)} if text else {}))
        rows.writerows(
            {"file": rejection.file, "_id": rejection.id, "reason": rejection.reason, "detail": _detail(rejection)}
            for rejection in _rejections(answer)
        )


def _csv_row(answer: "PredictedRecording") -> dict[str, Any]:
    prediction = answer.prediction
    row: dict[str, Any] = {"file": answer.file, "_id": answer.id, "listening": prediction.listening}
    for task in TASKS:
        predicted: ClassProbabilities | None = getattr(prediction, task)
        if predicted:
            row[task] = predicted.label
            row |= {f"{task}_{name}": f"{value:.6f}" for name, value in predicted.probabilities.items()}
    decisions = {"abstain": prediction.abstain, "alarm": prediction.alarm}
    row |= {name: "" if value is None else str(value).lower() for name, value in decisions.items()}
    return row | {"utterances": len(prediction.utterances)}


def _detail(rejection: Rejection) -> str:
    utterance = "" if rejection.utterance_id is None else f"utterance {rejection.utterance_id}"
    return ": ".join(part for part in (utterance, rejection.detail) if part)


def _transcript(answer: "PredictedRecording") -> str:
    return "\n".join(utterance.turn.text or "" for utterance in answer.prediction.utterances)


def _write_table(answers: Iterable[Answer], predictor: "Predictor", stream: TextIO, text: bool) -> None:
    """A line per answer, followed by its turns with their text; a line per rejected file; and the model."""
    rows: list[tuple[str, ...]] = []
    turns: list[list[str]] = []
    rejected: list[str] = []
    for answer in answers:
        files = (entry for entry in _rejections(answer) if entry.utterance_id is None)
        rejected += [f"{entry.file}: {entry.reason}: {entry.detail}" for entry in files]
        if not isinstance(answer, Rejection):
            rows.append(_table_row(answer))
            turns.append([_turn_line(utterance) for utterance in answer.prediction.utterances] if text else [])
    widths = [max(map(_width, column)) for column in zip(TABLE_HEADER, *rows, strict=True)]
    lines = [_table_line(TABLE_HEADER, widths)] if rows else []
    for row, of_row in zip(rows, turns, strict=True):
        lines += [_table_line(row, widths), *of_row]
    lines += ["rejected:", *(f"  {line}" for line in rejected)] if rejected else []
    lines.append(f"model {predictor.provenance.weights_sha256[:12]}")
    stream.writelines(f"{line}\n" for line in lines)


def _table_row(answer: "PredictedRecording") -> tuple[str, ...]:
    prediction = answer.prediction
    labels = [UNKNOWN if found is None else _label(found) for found in (prediction.urgency, prediction.sentiment)]
    decisions = [_yes_or_no(value) for value in (prediction.abstain, prediction.alarm)]
    return (answer.file, *labels, *decisions, prediction.listening, _utterances(answer))


def _utterances(answer: "PredictedRecording") -> str:
    used, refused = len(answer.prediction.utterances), sum(entry.utterance_id is not None for entry in answer.rejected)
    return f"{used} of {used + refused}" if refused else str(used)


def _label(predicted: "ClassProbabilities") -> str:
    return f"{predicted.label} {predicted.probabilities[predicted.label]:.0%}"


def _yes_or_no(value: bool | None) -> str:
    return UNKNOWN if value is None else "yes" if value else "no"


def _turn_line(utterance: "TurnPrediction") -> str:
    turn = utterance.turn
    interval = f"{turn.start_ms / 1000:8.1f} s {turn.end_ms / 1000:8.1f} s"
    label = UNKNOWN if utterance.urgency is None else _label(utterance.urgency)
    return f"  {interval}  {label}  {turn.speaker or UNKNOWN}  {printable(turn.text or UNKNOWN)}"


def _table_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _width(text: str) -> int:
    """The columns of a terminal that a text takes: Hangul takes two."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


WRITERS: dict[Format, Callable[[Iterable[Answer], "Predictor", TextIO, bool], None]] = {
    "table": _write_table,
    "json": _write_json,
    "csv": _write_csv,
}

"""The tables of scoring: what an archive holds, scored utterances, scored calls. Columns have a unit and a meaning."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from urgency_dagster.tables import ENGLISH, SENTIMENTS, URGENCY_LEVELS
from urgency_dagster.urgency import ClassProbabilities


def _columns(task: str, classes: Iterable[str]) -> dict[str, str]:
    return {name: f"{task}_{ENGLISH[name].replace(' ', '_')}" for name in classes}


URGENCY_COLUMNS = _columns("urgency", URGENCY_LEVELS)
SENTIMENT_COLUMNS = _columns("sentiment", SENTIMENTS)
"""The column of each class, with its calibrated probability."""


def _field(name: str, kind: pa.DataType, description: str, *, unit: str = "none", nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"unit": unit, "description": description})


def _answer(of: str, prefix: str = "") -> list[pa.Field]:
    """The columns of an answer: both labels, and the probability of each class."""
    fields = []
    for task, columns in (("urgency", URGENCY_COLUMNS), ("sentiment", SENTIMENT_COLUMNS)):
        label = f"Predicted {task} of the {of}: {', '.join(columns)}. Null if the model has no {task}."
        fields.append(_field(prefix + task, pa.string(), label, nullable=True))
        for name, column in columns.items():
            probability = f"Probability that the {of} has the {task} {name}. Null if the model does not know it."
            fields.append(_field(prefix + column, pa.float64(), probability, unit="1", nullable=True))
    return fields


def _decision(prefix: str = "") -> list[pa.Field]:
    return [
        _field(
            f"{prefix}abstain",
            pa.bool_(),
            "Whether a person should decide: the confidence is below the threshold. Null without a threshold.",
            nullable=True,
        ),
        _field(
            f"{prefix}alarm",
            pa.bool_(),
            "Whether the probability of 상 reaches the alarm threshold. Null without a threshold.",
            nullable=True,
        ),
    ]


ARCHIVE = _field("archive", pa.string(), "Name of the ZIP or folder in landing/scoring, without `.zip`.")
FILE = _field("file", pa.string(), "The recording, relative to landing/scoring. A member is below its ZIP.")
CALL_ID = _field("_id", pa.string(), "Start of the file's name, up to the first underscore.")
FILE_SHA256 = _field("file_sha256", pa.string(), "SHA-256 of the file of the recording.")
LABEL_SHA256 = _field(
    "label_sha256", pa.string(), "SHA-256 of the label that was used. Null without one.", nullable=True
)
PROVENANCE = [
    _field(
        "listening",
        pa.string(),
        "Where the text comes from: label, ctc, whisper, http or none.",
    ),
    _field("duration_ms", pa.int64(), "Length of the recording.", unit="ms"),
    FILE_SHA256,
    LABEL_SHA256,
    _field("model_sha256", pa.string(), "SHA-256 of the weights of the urgency model."),
    _field("speech_model", pa.string(), "Name of the speech model, and its revision if it is of the hub."),
    _field("scored_with", pa.string(), "Equal in all rows that the same models and the same code made."),
]

RECORDINGS = pa.schema(
    [
        ARCHIVE,
        FILE.with_metadata({**FILE.metadata, b"description": b"The file, relative to landing/scoring."}),
        CALL_ID.with_nullable(True),
        _field("utterance_id", pa.string(), "Id of a rejected utterance of a label, otherwise null.", nullable=True),
        _field("turns", pa.int64(), "Utterances of the label that are used. Null without one.", nullable=True),
        FILE_SHA256.with_nullable(True),
        LABEL_SHA256,
        _field("reason", pa.string(), "Why it is rejected. Null for a recording that is used.", nullable=True),
        _field("detail", pa.string(), "More about the reason.", nullable=True),
    ]
)
"""One row per recording, and one per rejected file, label or utterance of a label; in the order of files."""

SCORED_UTTERANCES = pa.schema(
    [
        ARCHIVE,
        FILE,
        CALL_ID,
        _field("utterance_id", pa.string(), "Id of the utterance in its label; without a label its number, from 1."),
        _field("start_ms", pa.int64(), "Start of the utterance in the recording.", unit="ms"),
        _field("end_ms", pa.int64(), "End of the utterance in the recording.", unit="ms"),
        _field("speaker", pa.string(), "Who speaks: caller or call_taker. Null if it is not known.", nullable=True),
        _field("text", pa.string(), "What is said, as labelled or recognised. Null without text.", nullable=True),
        *_answer("utterance"),
        *_answer("call", "call_"),
        *_decision("call_"),
        *PROVENANCE,
    ]
)
"""One row per scored utterance with the answer for its call, in the order of files, then of time."""

SCORED_CALLS = pa.schema(
    [
        ARCHIVE,
        FILE,
        CALL_ID,
        _field("utterances", pa.int64(), "Scored utterances of the call."),
        *_answer("call"),
        *_decision(),
        *PROVENANCE,
    ]
)
"""One row per scored call, in the order of files."""

MONITORED_CALLS = pa.schema(
    [
        FILE,
        FILE_SHA256,
        LABEL_SHA256,
        _field("scored_with", pa.string(), "As in the rows of the utterances of the call."),
        _field("vector", pa.list_(pa.float32()), "Mean of the audio vectors of the utterances, weighted by duration."),
        _field(
            "unknown_tokens",
            pa.bool_(),
            "Whether the text model does not know a token of the text. Null if an utterance has no text.",
            nullable=True,
        ),
        *(
            _field(name, pa.bool_(), f"{meaning} Null for a recording that is not analysed.", nullable=True)
            for name, meaning in (
                ("clipped", "Whether the audio of an utterance is cut off at full scale."),
                ("tone_660hz", "Whether the audio of an utterance has a steady tone of 660 Hz."),
            )
        ),
    ]
)
"""One row per scored call with what monitoring compares, in the order of files."""


def answer_columns(
    urgency: ClassProbabilities | None, sentiment: ClassProbabilities | None, prefix: str = ""
) -> Mapping[str, Any]:
    """The values of the columns of an answer."""
    columns: dict[str, Any] = {}
    for task, names, answer in (
        ("urgency", URGENCY_COLUMNS, urgency),
        ("sentiment", SENTIMENT_COLUMNS, sentiment),
    ):
        probabilities = answer.probabilities if answer else {}
        columns[prefix + task] = answer.label if answer else None
        columns |= {prefix + column: probabilities.get(name) for name, column in names.items()}
    return columns

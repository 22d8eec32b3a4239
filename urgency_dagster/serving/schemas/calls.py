"""Recordings and utterances: what is sent, and urgency and sentiment as they are answered."""

from typing import Annotated, Literal

from pydantic import Field

from urgency_dagster.listening import Listening
from urgency_dagster.serving.schemas import examples
from urgency_dagster.serving.schemas.strict import StrictModel, shown

MAX_TIME_MS = 24 * 60 * 60 * 1000
"""Maximum time of a turn in milliseconds. A recording is shorter than a day."""

Milliseconds = Annotated[int, Field(ge=-MAX_TIME_MS, le=MAX_TIME_MS)]

Probability = Annotated[float, Field(ge=0, le=1)]


class TurnInput(StrictModel):
    """One utterance of a recording."""

    model_config = shown(examples.TURN)

    start_ms: Milliseconds = Field(
        description="Start in milliseconds from the start of the recording.", examples=[1200]
    )
    end_ms: Milliseconds = Field(description="End in milliseconds.", examples=[4800])
    text: str | None = Field(None, description="What is said. Without it, the recogniser of the server listens.")
    speaker: str | None = Field(None, description="Who speaks.", examples=["신고자"])


class ClassAnswer(StrictModel):
    """A predicted class."""

    label: str = Field(description="The most probable class.", examples=["상"])
    probabilities: dict[str, Probability] = Field(
        description="Calibrated probability of each class.", examples=[{"하": 0.08, "중": 0.21, "상": 0.71}]
    )


class UrgencyModelAnswer(StrictModel):
    """The urgency model that answered."""

    sha256: str = Field(description="SHA-256 of the weights.")
    data_sha256: str = Field(description="SHA-256 of the training set; empty if the model's file does not say it.")
    speech_model: dict[str, str] = Field(description="Name, revision and SHA-256 of the speech model.")


class TurnAnswer(StrictModel):
    """One utterance of a recording with its prediction."""

    start_ms: int = Field(description="Start in milliseconds.")
    end_ms: int = Field(description="End in milliseconds.")
    speaker: str | None = Field(description="Who speaks; null if it is not known.")
    text: str | None = Field(None, description="What is said. Only with `text=true`.")
    urgency: ClassAnswer | None = Field(description="Null if the training left it out.")
    sentiment: ClassAnswer | None = Field(description="Null if the training left it out.")


class RejectedTurn(StrictModel):
    """A given turn without a prediction."""

    start_ms: int = Field(description="Start in milliseconds, as given.")
    end_ms: int = Field(description="End in milliseconds, as given.")
    reason: str = Field(description="Why, as in the reject tables.", examples=["too_short"])


class CallAnswer(StrictModel):
    """Urgency and sentiment of a recording and of its utterances."""

    model_config = shown(examples.CALL_ANSWER)

    file: str = Field(description="Name of the recording, as sent; empty without one.", examples=["call.wav"])
    id: str = Field(alias="_id", description="The name up to its first `_`.", examples=["call"])
    urgency: ClassAnswer | None = Field(description="Of the call. Null if the training left it out.")
    sentiment: ClassAnswer | None = Field(description="Of the call. Null if the training left it out.")
    abstain: bool | None = Field(description="True if a person should decide; null without a threshold.")
    alarm: bool | None = Field(description="True if 상 is probable enough for an alarm; null without a threshold.")
    listening: Listening = Field(description="Where the text comes from: given, a recogniser, or nowhere.")
    utterances: list[TurnAnswer] = Field(description="In the order of time.")
    duration_ms: int = Field(description="Length of the recording in milliseconds.")
    rejected: list[RejectedTurn] = Field(description="Given turns that cannot be used.")
    model: UrgencyModelAnswer = Field(description="The model that answered.")


class UtteranceInput(StrictModel):
    """One utterance that is already cut and embedded."""

    text: str = Field(description="The transcript.", examples=["사람이 쓰러졌어요"])
    vector: list[float] | list[list[float]] = Field(
        description="Vector of the speech model that `GET /v1/models` names: D numbers, or T lists of D numbers.",
        examples=[[0.12, -0.5, 0.03]],
    )
    call: str | None = Field(None, description="The call it belongs to. Give it for all utterances or for none.")


class UtterancesInput(StrictModel):
    """Utterances of one or many calls, for a client that embeds speech itself, such as the pipeline."""

    model_config = shown(examples.UTTERANCES)

    utterances: list[UtteranceInput] = Field(min_length=1)


class UtteranceAnswer(StrictModel):
    """The prediction for one utterance."""

    urgency: ClassAnswer | None = Field(description="Null if the training left it out.")
    sentiment: ClassAnswer | None = Field(description="Null if the training left it out.")


class CallOfUtterances(StrictModel):
    """The prediction for one call, from the mean logits of its utterances."""

    call: str = Field(description="As given.")
    urgency: ClassAnswer | None = Field(description="Null if the training left it out.")
    sentiment: ClassAnswer | None = Field(description="Null if the training left it out.")
    abstain: bool | None = Field(description="True if a person should decide; null without a threshold.")
    alarm: bool | None = Field(description="True if 상 is probable enough for an alarm; null without a threshold.")


class UtterancesAnswer(StrictModel):
    """Urgency and sentiment of utterances and of their calls."""

    model_config = shown(examples.UTTERANCES_ANSWER)

    utterances: list[UtteranceAnswer] = Field(description="One for each utterance, in their order.")
    calls: list[CallOfUtterances] = Field(description="In the order of their first utterances.")
    listening: Literal["label"] = Field(description="The text was given.")
    model: UrgencyModelAnswer = Field(description="The model that answered.")

"""The problem document, as the OpenAPI document describes it. See `serving.problems`."""

from pydantic import BaseModel, Field


class FaultAnswer(BaseModel):
    """One fault of the request."""

    detail: str = Field(description="What is wrong. The value that was received is not repeated.")
    pointer: str | None = Field(None, description="JSON pointer into the body.", examples=["#/turns/3/start_ms"])
    parameter: str | None = Field(None, description="Name of a parameter or header.", examples=["text"])


class ProblemAnswer(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(description="The kind of problem.", examples=["urn:urgency-dagster:problem:no-speech"])
    title: str = Field(description="What went wrong, the same for every occurrence of the kind.")
    status: int = Field(description="The HTTP status.", examples=[422])
    detail: str = Field(description="What is wrong with this request, without text or other values of it.")
    instance: str = Field(description="This occurrence, as the log of the server names it.")
    error: str = Field(description="The detail, where clients of the Open Inference Protocol look for it.")
    errors: list[FaultAnswer] = Field([], description="The places of the request that are wrong, 20 at most.")

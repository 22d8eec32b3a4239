"""The objects of the Open Inference Protocol v2, with its names.

Source: KServe, open-inference-protocol, `specification/protocol/inference_rest.md`.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from urgency_dagster.serving.schemas import examples
from urgency_dagster.serving.schemas.strict import StrictModel, shown

DataType = Literal["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64"]
"""The accepted data types. Columns are numbers; BYTES holds text, and FP16 has no form in JSON."""

Size = Annotated[int, Field(ge=0, lt=2**64)]

Element = bool | int | float

Parameters = dict[str, bool | int | float | str]


class OpenModel(StrictModel):
    """A part of the protocol. The protocol has extensions, so unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore")


class ServerMetadata(OpenModel):
    """`GET /v2`."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(OpenModel):
    """`GET /v2/health/live`."""

    live: bool


class ServerReady(OpenModel):
    """`GET /v2/health/ready`. The protocol names the member `live`, as of the other probe."""

    live: bool


class ModelReady(OpenModel):
    """`GET /v2/models/{name}/ready`."""

    name: str
    ready: bool


class TensorMetadata(OpenModel):
    """An input or output of a model."""

    name: str
    datatype: str
    shape: list[int] = Field(description="-1 is any size.")


class ModelMetadata(OpenModel):
    """`GET /v2/models/{name}`."""

    model_config = shown(examples.MODEL_METADATA)

    name: str
    versions: list[str] = Field(description="The version is the SHA-256 of the model's file.")
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InferenceInput(OpenModel):
    """One input tensor: a column with a value for each row."""

    name: str = Field(description="The column.", examples=["HRT#AVG#M05"])
    shape: list[Size] = Field(min_length=1, max_length=2, description="[N] or [N, 1].", examples=[[2]])
    datatype: DataType
    parameters: Parameters | None = None
    data: list[Element | list[Element]] = Field(description="Row by row, flat or nested.", examples=[[71.5, 68.0]])


class InferenceOutput(OpenModel):
    """An output that is asked for."""

    name: str
    parameters: Parameters | None = None


class InferenceRequest(OpenModel):
    """`POST /v2/models/{name}/infer`."""

    model_config = shown(examples.INFERENCE)

    id: str | None = None
    parameters: Parameters | None = None
    inputs: list[InferenceInput] = Field(min_length=1)
    outputs: list[InferenceOutput] | None = None


class OutputTensor(OpenModel):
    """An output tensor."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float | int]


class InferenceAnswer(OpenModel):
    """The answer to an inference request."""

    model_config = shown(examples.INFERENCE_ANSWER)

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, str]
    outputs: list[OutputTensor]

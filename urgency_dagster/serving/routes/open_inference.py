"""The attention models by the Open Inference Protocol v2, which clients of KServe, Triton and Seldon speak.

Source: KServe, open-inference-protocol, `specification/protocol/inference_rest.md`.
"""

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pandas as pd
from fastapi import APIRouter
from fastapi.responses import Response

from urgency_dagster.serving.problems import (
    INVALID_REQUEST,
    NO_MODEL,
    UNKNOWN_MODEL,
    UNUSABLE_ROWS,
    Fault,
    Problem,
    at_field,
)
from urgency_dagster.serving.routes.answers import EVERY_BODY, described, json_answer
from urgency_dagster.serving.routes.json_bodies import JsonRoute
from urgency_dagster.serving.routes.lending import Models, ServerLimits
from urgency_dagster.serving.schemas.open_inference import (
    InferenceAnswer,
    InferenceInput,
    InferenceRequest,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)

if TYPE_CHECKING:
    from urgency_dagster.attention import Prediction, Predictor

router = APIRouter(prefix="/v2", tags=["open inference protocol"], route_class=JsonRoute)

PLATFORM = "sklearn_pickle"

OUTPUTS: Mapping[str, str] = {"label": "INT64", "probability": "FP64"}
"""The output tensors with their data types, each of shape [N]."""


@router.get("/", include_in_schema=False)
@router.get("", responses=described(ServerMetadata), summary="Server metadata")
async def server_metadata() -> Response:
    """Name and version of the server. It has no extensions of the protocol."""
    return json_answer({"name": "urgency-dagster", "version": version("urgency-dagster"), "extensions": []})


@router.get("/health/live", responses=described(ServerLive), summary="Server live")
async def server_live() -> Response:
    """Whether the process answers."""
    return json_answer({"live": True})


@router.get("/health/ready", responses=described(ServerReady, NO_MODEL), summary="Server ready")
async def server_ready(models: Models) -> Response:
    """Whether the attention models answer."""
    with models.attention() as by_name:
        if not by_name:
            raise Problem(NO_MODEL, "There is no attention model yet.")
    return json_answer({"live": True})


METADATA: dict[str, Any] = {
    "responses": described(ModelMetadata, UNKNOWN_MODEL, INVALID_REQUEST),
    "summary": "Model metadata",
}

READY: dict[str, Any] = {
    "responses": described(ModelReady, UNKNOWN_MODEL, INVALID_REQUEST),
    "summary": "Model ready",
}

INFER: dict[str, Any] = {
    "responses": described(InferenceAnswer, *EVERY_BODY, UNKNOWN_MODEL, UNUSABLE_ROWS),
    "summary": "Inference",
}


@router.get("/models/{name}", **METADATA)
@router.get("/models/{name}/versions/{version}", **METADATA)
async def model_metadata(models: Models, name: str, version: str | None = None) -> Response:
    """The columns that a model needs, and its outputs. The version is the SHA-256 of its file."""
    with models.attention() as by_name:
        model = _named(by_name, name, version)
        inputs = [{"name": column, "datatype": "FP64", "shape": [-1]} for column in model.used_columns]
    outputs = [{"name": output, "datatype": datatype, "shape": [-1]} for output, datatype in OUTPUTS.items()]
    versions = [model.provenance.model_sha256]
    document = {"name": name, "versions": versions, "platform": PLATFORM, "inputs": inputs, "outputs": outputs}
    return json_answer(document)


@router.get("/models/{name}/ready", **READY)
@router.get("/models/{name}/versions/{version}/ready", **READY)
async def model_ready(models: Models, name: str, version: str | None = None) -> Response:
    """Whether a model answers."""
    with models.attention() as by_name:
        _named(by_name, name, version)
    return json_answer({"name": name, "ready": True})


@router.post("/models/{name}/infer", **INFER)
@router.post("/models/{name}/versions/{version}/infer", **INFER)
async def infer(
    body: InferenceRequest, models: Models, limits: ServerLimits, name: str, version: str | None = None
) -> Response:
    """Label and probability of class 1 of N rows. Each input is a column, of shape [N] or [N, 1]."""
    asked = _asked_outputs(body)
    frame = _frame(body.inputs, limits.rows)
    with models.attention() as by_name, at_field("#/inputs"):
        model = _named(by_name, name, version)
        prediction = await asyncio.to_thread(model.predict, frame)
    return json_answer(_answer(name, body.id, asked, prediction))


def _named(by_name: "Mapping[str, Predictor]", name: str, version: str | None) -> "Predictor":
    model = by_name.get(name)
    if model is None:
        raise Problem(UNKNOWN_MODEL, "There is no such model.", [Fault("is no model", parameter="name")])
    if version not in (None, model.provenance.model_sha256):
        raise Problem(UNKNOWN_MODEL, "The model has another version.", [Fault("is no version", parameter="version")])
    return model


def _asked_outputs(body: InferenceRequest) -> list[str]:
    """The names of the outputs that a request asks for; all without any."""
    asked = [output.name for output in body.outputs or ()]
    faults = [
        Fault("is no output", f"#/outputs/{place}/name") for place, name in enumerate(asked) if name not in OUTPUTS
    ]
    if faults:
        raise Problem(INVALID_REQUEST, f"The outputs are {' and '.join(OUTPUTS)}.", faults)
    return asked or list(OUTPUTS)


def _frame(inputs: list[InferenceInput], max_rows: int) -> pd.DataFrame:
    """The columns of N rows."""
    rows = inputs[0].shape[0]
    if rows > max_rows:
        fault = Fault(f"more than {max_rows} rows", "#/inputs/0/shape")
        raise Problem(INVALID_REQUEST, f"A request has up to {max_rows} rows.", [fault])
    columns: dict[str, list[bool | int | float]] = {}
    for place, tensor in enumerate(inputs):
        if tensor.name in columns:
            raise Problem(INVALID_REQUEST, "An input occurs twice.", [Fault("occurs twice", f"#/inputs/{place}/name")])
        columns[tensor.name] = _column(tensor, rows, f"#/inputs/{place}")
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})


def _column(tensor: InferenceInput, rows: int, pointer: str) -> list[bool | int | float]:
    """The values of a tensor, flat.

    Raises:
        Problem: its shape is another, its data do not fit the shape, or a value is not of its data type.
    """
    if tensor.shape not in ([rows], [rows, 1]):
        detail = "Each input has the shape [N] or [N, 1], with the same N."
        raise Problem(INVALID_REQUEST, detail, [Fault("another shape", f"{pointer}/shape")])
    nested = [value if isinstance(value, list) else [value] for value in tensor.data]
    if len(nested) != rows or any(len(values) != 1 for values in nested):
        raise Problem(
            INVALID_REQUEST, "The data do not fit the shape.", [Fault(f"not {rows} values", f"{pointer}/data")]
        )
    flat = [value for (value,) in nested]
    kind = _python_type(tensor.datatype)
    if not all(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) for value in flat):
        fault = Fault(f"a value is no {tensor.datatype}", f"{pointer}/data")
        raise Problem(INVALID_REQUEST, "The data are not of their data type.", [fault])
    return flat


def _python_type(datatype: str) -> Any:
    if datatype == "BOOL":
        return bool
    return int | float if datatype.startswith("FP") else int


def _answer(name: str, request_id: str | None, asked: list[str], prediction: "Prediction") -> dict[str, Any]:
    """The inference response. The model's version is its hash; the parameters hold the hash of the data."""
    provenance = prediction.provenance
    return {
        "model_name": name,
        "model_version": provenance.model_sha256,
        **({} if request_id is None else {"id": request_id}),
        "parameters": {"data_sha256": provenance.data_sha256},
        "outputs": [
            {
                "name": output,
                "shape": [len(prediction.rows)],
                "datatype": OUTPUTS[output],
                "data": [getattr(row, output) for row in prediction.rows],
            }
            for output in asked
        ],
    }

"""`GET /v1/models`: the models that answer now."""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import Response

from urgency_dagster.errors import ArtefactError
from urgency_dagster.serving.routes.answers import described, json_answer, urgency_model
from urgency_dagster.serving.routes.lending import Models
from urgency_dagster.serving.schemas.models import ModelsAnswer

if TYPE_CHECKING:
    from urgency_dagster import attention, urgency
    from urgency_dagster.serving.served_models import ServedModels

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/models", responses=described(ModelsAnswer), summary="The models that answer now")
async def list_models(models: Models) -> Response:
    """The urgency model and the attention models, with their hashes, classes, columns and thresholds."""
    with models.attention() as by_name:
        described_models = {name: _attention(predictor) for name, predictor in sorted(by_name.items())}
    return json_answer({"urgency": _urgency_or_none(models), "attention": described_models})


def _urgency_or_none(models: "ServedModels") -> dict[str, Any] | None:
    try:
        with models.urgency() as served:
            return _urgency(served.predictor)
    except ArtefactError:
        return None


def _urgency(predictor: "urgency.Predictor") -> dict[str, Any]:
    labels, gap, provenance = predictor.model.labels, predictor.label_free_gap, predictor.provenance
    return {
        **urgency_model(provenance),
        "audio_width": provenance.audio_width,
        "audio_tokens": provenance.audio_tokens,
        "classes": {task: list(getattr(labels, task)) for task in labels.tasks},
        "thresholds": {"label": dict(predictor.model.thresholds)}
        | ({gap.listening: dict(gap.thresholds)} if gap else {}),
        "versions": provenance.versions,
    }


def _attention(predictor: "attention.Predictor") -> dict[str, Any]:
    return {
        "sha256": predictor.provenance.model_sha256,
        "data_sha256": predictor.provenance.data_sha256,
        "threshold": predictor.threshold,
        "columns": list(predictor.used_columns),
        "versions": predictor.provenance.versions,
    }

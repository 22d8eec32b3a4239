"""Loading a trained model that answers: from a model folder, an exported one, or a checkpoint of the original."""

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from urgency_dagster.devices import AUTO, resolve_device
from urgency_dagster.errors import ArtefactError
from urgency_dagster.listening import Recogniser
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.urgency.package.engines import TORCH, Engine, engine_device
from urgency_dagster.urgency.package.label_free_gap import read_label_free_gap
from urgency_dagster.urgency.package.model_folder import WEIGHTS, UrgencyModel, load_urgency_model, read_card
from urgency_dagster.urgency.package.original import checkpoint_model, read_original
from urgency_dagster.urgency.package.speech_model import settings_of, speech_model_name
from urgency_dagster.urgency.prediction import Provenance
from urgency_dagster.urgency.predictor import Predictor
from urgency_dagster.writing import file_hash


def load_model(
    folder: str | Path,
    device: str = AUTO,
    *,
    engine: Engine = TORCH,
    speech_model: str | Path | None = None,
    recogniser: str | Recogniser | None = None,
) -> Predictor:
    """The predictor of a model folder.

    Args:
        folder: the model folder that `train` wrote, `<storage>/urgency/model`, or an exported one,
            `<storage>/urgency/export`.
        device: `auto` (CUDA, else MPS, else CPU) or a torch device.
        engine: `torch`, or `openvino` for an exported folder. OpenVINO computes on the CPU.
        speech_model: a hub id, `id@revision`, or a local folder with the speech model of the training. None is the
            setting URGENCY_SPEECH_MODEL, or the hub id on the model card. Another model is refused at first use.
        recogniser: where the text of turns without text comes from, see `listening.load_listener`. None is the setting
            URGENCY_RECOGNISER.

    Raises:
        ArtefactError: a file is missing or damaged, or the weights do not fit the configuration.
        MissingExtraError: `openvino` is not installed.
        SettingsError: this machine has no such device, there is no such engine, OpenVINO has no such device, or a
            setting cannot be used.
    """
    place = engine_device(engine, device)
    model, card = load_urgency_model(Path(folder), engine), read_card(Path(folder))
    return _predictor(model, card, Path(folder) / WEIGHTS, place, speech_model=speech_model, recogniser=recogniser)


def load_original_checkpoint(
    source: str | Path,
    text_model: PretrainedModel,
    device: str = AUTO,
    *,
    speech_model: str | Path | None = None,
    recogniser: str | Recogniser | None = None,
) -> Predictor:
    """The predictor of a `best_model.pt`, made by the original pipeline or by this one.

    It has no temperatures and no thresholds: probabilities are not calibrated, and calls neither abstain nor alarm.

    Args:
        source: the checkpoint.
        text_model: the pretrained text encoder that it was trained from.
        device: `auto` (CUDA, else MPS, else CPU) or a torch device.
        speech_model: see `load_model`.
        recogniser: see `load_model`.

    Raises:
        ArtefactError: the checkpoint is missing or damaged, holds more than tensors and plain values, does not name
            classes other than the original's, or does not fit the text model.
        ModelError: the text model cannot be loaded.
        SettingsError: this machine has no such device, or a setting cannot be used.
    """
    place = resolve_device(device)
    checkpoint = read_original(Path(source))
    model = checkpoint_model(checkpoint, text_model)
    return _predictor(model, checkpoint, Path(source), place, speech_model=speech_model, recogniser=recogniser)


def _predictor(
    model: UrgencyModel,
    facts: dict[str, Any],
    weights: Path,
    device: str,
    *,
    speech_model: str | Path | None,
    recogniser: str | Recogniser | None,
) -> Predictor:
    settings = settings_of(weights.parent)
    hearing = recogniser or settings.recogniser
    provenance = _provenance(model, facts, weights)
    model.network.to(device)
    return Predictor(
        model,
        provenance,
        weights.parent,
        device,
        speech_model=speech_model_name(speech_model, provenance.speech_model, settings),
        recogniser=hearing,
        label_free_gap=read_label_free_gap(weights.parent, provenance.weights_sha256, hearing),
    )


def _provenance(model: UrgencyModel, facts: dict[str, Any], weights: Path) -> Provenance:
    """What a model is, from its file of weights and the facts on its card or in its checkpoint.

    Raises:
        ArtefactError: a fact is of another type than the training stored.
    """
    stored = {name: facts[name] for name in ("speech_model", "data_sha256", "versions") if name in facts}
    try:
        made = TypeAdapter(tuple[dict[str, str], ...]).validate_python(facts.get("arithmetic", ()))
        precisions = sorted({one.get("precision", "") for one in made} - {""})
        return TypeAdapter(Provenance).validate_python(
            {"speech_model": {}, "data_sha256": "", "versions": {}, **stored}
            | {"weights_sha256": file_hash(weights), "vector_precisions": precisions}
            | {"audio_width": model.config.audio_width, "audio_tokens": model.config.audio_tokens}
        )
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        received = f"the facts about {weights.name} are damaged, at {place!r}"
        raise ArtefactError(received, "those that training stored", "train the model again") from error

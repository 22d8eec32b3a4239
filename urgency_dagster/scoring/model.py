"""The model that scores recordings, by default that of the storage root, and how its vectors differ from theirs."""

from pathlib import Path

from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import SPEECH_MODEL, Settings
from urgency_dagster.urgency import OPENVINO, PREDICTED_IN, TORCH, Engine, Predictor, load_model


def load_predictor(storage: Path | None = None, folder: Path | None = None, engine: Engine = TORCH) -> Predictor:
    """The predictor of a storage root, or of another model folder.

    Args:
        storage: the storage root; None for URGENCY_STORAGE or the default. Its settings hold for `folder` too.
        folder: the model folder; None for that of the storage root, or for its exported one if the engine is
            `openvino`.
        engine: the library that computes the network.

    Raises:
        ArtefactError, MissingExtraError, SettingsError: see `urgency.load_model`.
    """
    settings = Settings.load(storage)
    if folder is None:
        urgency = StoragePaths(settings.storage).urgency
        return load_model(urgency.export if engine == OPENVINO else urgency.model, engine=engine)
    if storage is None:
        return load_model(folder, engine=engine)
    named = None if settings.speech_model == SPEECH_MODEL else settings.speech_model
    return load_model(folder, engine=engine, speech_model=named, recogniser=settings.recogniser)


def precision_line(predictor: Predictor) -> str:
    """How the vectors of recordings differ from those of the training, in one line; empty if they do not.

    Source of the difference: measured on the demo, see docs/listening.md.
    """
    reduced = ", ".join(predictor.provenance.reduced_precisions)
    if not reduced:
        return ""
    return (
        f"the model was trained on vectors in {reduced}; those of recordings are computed in {PREDICTED_IN} and differ "
        "by about 0.01"
    )

"""The model that scores recordings, by default that of the storage root."""

from pathlib import Path

from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import SPEECH_MODEL, Settings
from urgency_dagster.urgency import Predictor, load_model


def load_predictor(storage: Path | None = None, folder: Path | None = None) -> Predictor:
    """The predictor of a storage root, or of another model folder.

    Args:
        storage: the storage root; None for URGENCY_STORAGE or the default. Its setting of the speech model holds for
            `folder` too.
        folder: the model folder; None for that of the storage root.

    Raises:
        ArtefactError, SettingsError: see `urgency.load_model`.
    """
    settings = Settings.load(storage)
    if folder is None:
        return load_model(StoragePaths(settings.storage).urgency.model)
    named = storage is not None and settings.speech_model != SPEECH_MODEL
    return load_model(folder, speech_model=settings.speech_model if named else None)

"""The speech model of a trained model: what is stored of it, how it is found again, and that it is the same.

A hub id is stored with its revision, a local folder with its name alone: a path of the machine of the training is
personal, and wrong on another machine. The hash of the weights is stored for both.
"""

from collections.abc import Mapping
from pathlib import Path

from urgency_dagster.errors import ModelError, SettingsError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel, find_pretrained, weights_hash
from urgency_dagster.settings import SPEECH_MODEL, Settings, model_path

VARIABLE = "URGENCY_SPEECH_MODEL"

LOCAL_REVISION_LENGTH = 64
"""Characters of the revision of a local folder, a SHA-256. A revision of the hub is a commit of 40."""


def settings_of(folder: Path) -> Settings:
    """The settings of a model folder or an exported one: those of its storage root, else the default ones.

    Raises:
        SettingsError: see `Settings.load`.
    """
    root = folder.resolve().parent.parent
    urgency = StoragePaths(root).urgency
    return Settings.load(root if folder.resolve() in (urgency.model, urgency.export) else None)


def speech_model_name(asked: str | Path | None, stored: Mapping[str, str], settings: Settings) -> str | None:
    """The name under which a speech model is looked for: the first of these that there is.

    The name that the caller asks for, the setting URGENCY_SPEECH_MODEL unless it is the default, and the hub id and the
    revision on the card.

    Args:
        asked: a hub id, `id@revision`, or a local folder.
        stored: `name` and `revision` on the card.
        settings: see `settings_of`.

    Returns:
        A hub id, `id@revision`, or an absolute path; None if only the name of a local folder is known.
    """
    if isinstance(asked, Path):
        return str(asked.expanduser().resolve())
    if asked is not None:
        return model_path(asked, Path.cwd())
    return _name_on_card(stored) if settings.speech_model == SPEECH_MODEL else settings.speech_model


def _name_on_card(stored: Mapping[str, str]) -> str | None:
    name, revision = stored.get("name"), stored.get("revision")
    if not name or len(revision or "") == LOCAL_REVISION_LENGTH:
        return None
    return f"{name}@{revision}" if revision else name


def find_speech_model(name: str | None, stored: Mapping[str, str]) -> PretrainedModel:
    """The speech model of a trained model, after a comparison of its weights with the stored hash.

    Args:
        name: see `speech_model_name`.
        stored: `name`, `revision` and `weights_sha256` on the model card; without a hash nothing is compared.

    Raises:
        SettingsError: there is no name.
        ModelError: the model is neither a folder, nor cached, nor reachable, or it has other weights.
    """
    if name is None:
        known = f"was trained with the speech model {stored['name']!r} of a local folder" if stored.get("name") else ""
        raise SettingsError(
            f"the model {known or 'does not name its speech model'}",
            "its place on this machine",
            f"set {VARIABLE}, or pass `speech_model`",
        )
    source = find_pretrained(name, VARIABLE)
    expected = stored.get("weights_sha256")
    if expected and (found := weights_hash(source.folder)) != expected:
        raise ModelError(
            f"the speech model {source.name} has the weights {found[:12]}",
            f"{stored['name']} with the weights {expected[:12]}, which made the vectors of the training",
            f"set {VARIABLE} to it, or pass it as `speech_model`",
        )
    return source

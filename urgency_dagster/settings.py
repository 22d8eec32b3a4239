"""The settings of the environment. Hyperparameters are run configuration and are not settings."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from urgency_dagster.errors import SettingsError
from urgency_dagster.paths import StoragePaths

SPEECH_MODEL = "kresnik/wav2vec2-large-xlsr-korean"
TEXT_MODEL = "monologg/koelectra-base-v3-discriminator"
EXECUTORS = ("local", "ray")
AUTO = "auto"
RECOGNISERS = ("ctc", "none", "whisper", "http")

UI_ADDRESS = "127.0.0.1"
"""The address on which the UI listens: this machine only."""


@dataclass(frozen=True)
class Settings:
    """The settings from the environment and `<storage>/settings.env`.

    Attributes:
        storage: absolute path of the storage root.
        speech_model: hub id, `id@revision`, or absolute path of a local folder.
        text_model: the same for the text model.
        executor: `local` or `ray`.
        gpus: maximum steps that use a GPU at the same time, or None for the number of GPUs.
        recogniser: what turns speech without a transcript into text, see `recogniser_parts`.
    """

    storage: Path
    speech_model: str
    text_model: str
    executor: str
    gpus: int | None = None
    recogniser: str = RECOGNISERS[0]

    @classmethod
    def load(cls, storage: Path | None = None, environment: Mapping[str, str] | None = None) -> "Settings":
        """The settings of one storage root. The process environment wins over `settings.env`, which wins over defaults.

        Args:
            storage: the storage root, or None for URGENCY_STORAGE or the default.
            environment: the process environment, or None for `os.environ`.

        Raises:
            SettingsError: the executor is neither `local` nor `ray`, the number of GPUs is none, or the recogniser is
                unknown.
        """
        env = os.environ if environment is None else environment
        root = Path(storage or env.get("URGENCY_STORAGE") or default_storage()).expanduser().resolve()
        settings_env = StoragePaths(root).settings_env
        stored = {k: v for k, v in dotenv_values(settings_env).items() if v} if settings_env.is_file() else {}

        def value(name: str, default: str, absolute: Callable[[str, Path], str] = model_path) -> str:
            return absolute(env[name], Path.cwd()) if env.get(name) else absolute(stored.get(name, default), root)

        executor = env.get("URGENCY_EXECUTOR") or stored.get("URGENCY_EXECUTOR") or EXECUTORS[0]
        if executor not in EXECUTORS:
            raise SettingsError(f"URGENCY_EXECUTOR is {executor!r}", f"one of {', '.join(EXECUTORS)}", "correct it")
        models = value("URGENCY_SPEECH_MODEL", SPEECH_MODEL), value("URGENCY_TEXT_MODEL", TEXT_MODEL)
        gpus = _gpus(env.get("URGENCY_GPUS") or stored.get("URGENCY_GPUS") or AUTO)
        return cls(root, *models, executor, gpus, value("URGENCY_RECOGNISER", RECOGNISERS[0], _recogniser))

    @property
    def pretrained(self) -> dict[str, str]:
        """The names of the pretrained models and of the recogniser by kind."""
        return {"speech": self.speech_model, "text": self.text_model, "recogniser": self.recogniser}

    def environment(self) -> dict[str, str]:
        """The environment variables with which another process loads the same settings."""
        return {
            "URGENCY_STORAGE": str(self.storage),
            "URGENCY_SPEECH_MODEL": self.speech_model,
            "URGENCY_TEXT_MODEL": self.text_model,
            "URGENCY_EXECUTOR": self.executor,
            "URGENCY_GPUS": AUTO if self.gpus is None else str(self.gpus),
            "URGENCY_RECOGNISER": self.recogniser,
        }


def default_storage() -> Path:
    """`storage` in the repository, or in the working folder when the package is installed elsewhere."""
    repository = Path(__file__).resolve().parent.parent
    return (repository if (repository / "pyproject.toml").is_file() else Path.cwd()) / "storage"


def _gpus(text: str) -> int | None:
    """The number of GPUs of a setting, or None for `auto`."""
    if text == AUTO:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise SettingsError(f"URGENCY_GPUS is {text!r}", f"`{AUTO}` or a number of at least 1", "correct it")
    return int(text)


def recogniser_parts(name: str) -> tuple[str, str]:
    """The kind of a recogniser, one of RECOGNISERS, and its model or address; that of `ctc` and `none` is empty.

    Args:
        name: `ctc`, `none`, `whisper:<hub id or folder>`, `http:<url>`, or a URL alone.

    Raises:
        SettingsError: the name is another one, or lacks its model or address.
    """
    kind, _, target = name.partition(":")
    if target.startswith("//"):  # a URL alone
        kind, target = "http", name
    if kind not in RECOGNISERS or bool(target) != (kind in ("whisper", "http")):
        raise SettingsError(
            f"URGENCY_RECOGNISER is {name!r}", "ctc, none, whisper:<hub id or folder> or http:<url>", "correct it"
        )
    return kind, target


def _recogniser(name: str, folder: Path) -> str:
    """The name of a recogniser; a path becomes absolute from `folder`."""
    kind, target = recogniser_parts(name)
    return f"{kind}:{model_path(target, folder)}" if kind == "whisper" else name


def model_path(name: str, folder: Path) -> str:
    """The name of a pretrained model; a path, which starts with `.`, `/` or `~`, becomes absolute from `folder`."""
    if not name.startswith((".", "/", "~")):
        return name
    return str((folder / Path(name).expanduser()).resolve())

"""Locating a pretrained model: a local folder, the hub's cache, or the hub itself, in this order.

Models are always loaded from a folder, so `from_pretrained` never opens a connection.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from urgency_dagster.errors import ModelError
from urgency_dagster.writing import file_hash, text_hash

PATTERNS = ("*.json", "*.txt", "*.model", "*.safetensors")
"""The files of a model that are downloaded."""

PICKLED_WEIGHTS = "pytorch_model*.bin"
"""Weights in pickle format. They are downloaded only for a model without safetensors."""

HUB_TIMEOUT_S = 10.0
"""Maximum seconds to wait for the hub's first answer."""


@dataclass(frozen=True)
class PretrainedModel:
    """The local files of a pretrained model.

    Attributes:
        name: the hub id without its revision, or the name of the local folder.
        folder: the local folder to load from.
        revision: the hub's commit, or a hash of the local folder's files.
    """

    name: str
    folder: Path
    revision: str


def find_pretrained(name: str, variable: str) -> PretrainedModel:
    """The local files of a model. A model that is neither a folder nor cached is downloaded.

    Args:
        name: a hub id, `id@revision`, or an absolute path of a local folder.
        variable: the setting that names the model, for the error.

    Raises:
        ModelError: the folder has no `config.json`, or the model is neither cached nor reachable.
    """
    if name.startswith("/"):
        return _local_folder(Path(name), variable)
    hub_id, _, revision = name.partition("@")
    folder = _cached(hub_id, revision or None) or _downloaded(hub_id, revision or None, variable)
    return PretrainedModel(hub_id, folder, folder.name)


def _local_folder(folder: Path, variable: str) -> PretrainedModel:
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{variable} names the folder {folder}, which holds no config.json",
            "a folder written by save_pretrained, or a hub id",
            f"set {variable} to one",
        )
    # The path is not part of the identity: the same files in another folder are the same model.
    return PretrainedModel(folder.name, folder, model_identity(str(folder)))


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors")) or any(folder.glob(PICKLED_WEIGHTS))


def _cached(hub_id: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hub_id, revision=revision, local_files_only=True, allow_patterns=[*PATTERNS]))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return folder if _has_weights(folder) else None


def _downloaded(hub_id: str, revision: str | None, variable: str) -> Path:
    import httpx2
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        # One short request first, because the downloader tries an unreachable hub for minutes.
        info = HfApi().model_info(hub_id, revision=revision, timeout=HUB_TIMEOUT_S)
        names = {sibling.rfilename for sibling in info.siblings or ()}
        safe = any(name.endswith(".safetensors") for name in names)
        patterns = [*PATTERNS, *([] if safe else [PICKLED_WEIGHTS])]
        # By branch and not by commit: the cache then stores the commit of the branch.
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, httpx2.HTTPError, OSError) as error:
        raise ModelError(
            f"the model {hub_id!r} is neither in the local cache nor reachable on the hub ({type(error).__name__})",
            "a cached or reachable hub id, or a local folder",
            f"connect to the hub once, or set {variable} to a local folder with the model",
        ) from error


def present_pretrained(name: str, variable: str) -> PretrainedModel | None:
    """The local files of a model, or None if it is neither a folder nor cached. Nothing is downloaded.

    Raises:
        ModelError: the folder has no `config.json`.
    """
    if name.startswith("/"):
        return _local_folder(Path(name), variable)
    hub_id, _, revision = name.partition("@")
    folder = _cached(hub_id, revision or None)
    return PretrainedModel(hub_id, folder, folder.name) if folder else None


def loading_errors() -> tuple[type[Exception], ...]:
    """What transformers raises when it cannot load the files of a folder."""
    from pickle import UnpicklingError

    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    unusable_files = (OSError, ValueError, TypeError, KeyError, RuntimeError, ImportError)
    damaged_pickles = (EOFError, UnpicklingError)  # `pytorch_model.bin`
    return (*unusable_files, *damaged_pickles, SafetensorError, StrictDataclassError)


@contextmanager
def without_notices() -> Iterator[None]:
    """Suppresses the notices of transformers, such as its table of weights without a place. Errors still come.

    A head that is not loaded fills that table in every log. `check_weights` raises where a weight is needed.
    """
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def check_weights(name: str, network: Any, report: Mapping[str, Any], *, unused: Collection[str], remedy: str) -> None:
    """Compares the weights of a folder with the parameters of the network that was loaded from it.

    transformers fills missing parameters with random numbers, and drops weights that have no place. A head, which the
    network does not have, is no fault.

    Args:
        name: the name of the model.
        network: the loaded network.
        report: its loading info of transformers.
        unused: first parts of the names of parameters that are not needed.
        remedy: what the reader can do.

    Raises:
        ModelError: parameters have no weights, or weights inside the network have no place.
    """
    missing = [key for key in sorted(report["missing_keys"]) if key.split(".")[0] not in unused]
    parts = {part for part, _ in network.named_children()} - set(unused)
    others = sorted(report["unexpected_keys"])
    unplaced = [key for key in others if key.removeprefix(f"{network.base_model_prefix}.").split(".")[0] in parts]
    expected = f"weights of a {type(network).__name__} as save_pretrained writes them"
    if missing:
        names = f"it has none for {missing[0]}" + (f", but one named {others[0]}" if others else "")
        raise ModelError(f"{name} holds no weights for {len(missing)} of its parameters: {names}", expected, remedy)
    if unplaced:
        raise ModelError(
            f"{name} holds {len(unplaced)} weights without a place in its network, such as {unplaced[0]}",
            expected,
            remedy,
        )


def weights_hash(folder: Path) -> str:
    """The SHA-256 of the weights in a folder. For several files, the SHA-256 of their names and hashes.

    Raises:
        ModelError: the folder holds no weights.
    """
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob(PICKLED_WEIGHTS))
    if not files:
        raise ModelError(
            f"{folder.name} holds no weights", f"*.safetensors or {PICKLED_WEIGHTS}", "fetch the model again"
        )
    hashes = [(path.name, file_hash(path)) for path in files]
    return hashes[0][1] if len(hashes) == 1 else text_hash(*chain.from_iterable(hashes))


def model_identity(name: str) -> str:
    """The identity of a model's weights: the hub id, or a hash of a local folder's files.

    A hub id without a revision has one identity for every revision. Pin a revision with `id@revision`.
    """
    folder = Path(name)
    if not name.startswith("/") or not folder.is_dir():
        return name
    stats = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file())
    return _content_identity(folder, tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats))


@lru_cache(maxsize=8)
def _content_identity(folder: Path, files: tuple[tuple[str, int, int], ...]) -> str:
    """The hash of a model's files, cached because the sensor needs it for every archive at every tick."""
    return text_hash(*(part for name, _, _ in files for part in (name, file_hash(folder / name))))

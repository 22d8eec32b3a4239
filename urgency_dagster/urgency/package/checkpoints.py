"""`best_model.pt`: the checkpoint of the best epoch in the original's format, with labels and facts added.

It holds tensors, numbers, strings, lists and dicts only, so `torch.load(weights_only=True)` reads it.
"""

import sys
from pathlib import Path
from typing import Any

from urgency_dagster.errors import ArtefactError


def write_checkpoint(target: Path, checkpoint: dict[str, Any]) -> None:
    """Writes a checkpoint with its tensors on the CPU; the same content gives the same bytes."""
    import torch

    # From a path, torch takes the name of the folder inside the file, so a temporary name would change the bytes.
    with target.open("wb") as stream:
        torch.save(_plain(checkpoint), stream)


def read_checkpoint(source: Path) -> dict[str, Any]:
    """The stored checkpoint, with its tensors on the CPU.

    Raises:
        ArtefactError: the file is missing or damaged, or holds other objects than tensors and plain values.
    """
    import pickle

    import torch

    try:
        checkpoint: dict[str, Any] = torch.load(source, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise ArtefactError(
            f"the checkpoint {source.name} cannot be read ({type(error).__name__})",
            "a checkpoint of tensors and plain values",
            "train the model again",
        ) from error
    return checkpoint


def _plain(value: Any) -> Any:
    """The value with its tensors on the CPU and equal strings as one object.

    A pickle refers to a repeated object by reference. So without this, a checkpoint that was read back would have
    other bytes.
    """
    import torch

    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value

"""The state of an unfinished training after each epoch, so that an interrupted training continues.

The best epoch so far is stored here too. `best_model.pt` exists only after the last epoch.
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urgency_dagster.errors import ArtefactError
from urgency_dagster.urgency.package.checkpoints import read_checkpoint, write_checkpoint
from urgency_dagster.writing import replacing, text_hash

if TYPE_CHECKING:
    from urgency_dagster.urgency.training.learner import Learner

LAST, BEST = "last.pt", "best.pt"


def save_best(folder: Path, checkpoint: dict[str, Any]) -> None:
    """Stores the best epoch so far. Call it before `save_epoch`, which marks the epoch as complete."""
    with replacing(folder / BEST) as temporary:
        write_checkpoint(temporary, checkpoint)


def save_epoch(folder: Path, facts: dict[str, Any], learner: "Learner", history: list[dict[str, Any]]) -> None:
    """Stores the state of a training after a complete epoch.

    Args:
        folder: folder of the unfinished training.
        facts: what identifies the training; one with other facts cannot continue it.
        learner: the network and its optimiser.
        history: the scores of every epoch so far.
    """
    with replacing(folder / LAST) as temporary:
        write_checkpoint(temporary, {"identity": _identity(facts), "history": history, **learner.state()})


def resume_training(folder: Path, facts: dict[str, Any], learner: "Learner") -> list[dict[str, Any]]:
    """The scores of the complete epochs, after restoring the learner; none if there is nothing to continue."""
    try:
        last = read_checkpoint(folder / LAST)
    except ArtefactError:
        return []
    if last.get("identity") != _identity(facts) or not (folder / BEST).is_file():
        return []
    learner.restore(last)
    history: list[dict[str, Any]] = last["history"]
    return history


def take_best(folder: Path, target: Path) -> dict[str, Any]:
    """The best epoch's checkpoint, after copying it to `target`. The folder stays until the model folder is written."""
    with replacing(target) as temporary:
        shutil.copyfile(folder / BEST, temporary)
    return read_checkpoint(target)


def _identity(facts: dict[str, Any]) -> str:
    return text_hash(json.dumps(facts, sort_keys=True))

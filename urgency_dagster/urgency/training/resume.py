"""Where a training stands after each epoch, so that one that is interrupted goes on and nothing is trained twice.

The best epoch so far waits here too: `best_model.pt` is there only when all epochs are.
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


def keep_best(folder: Path, checkpoint: dict[str, Any]) -> None:
    """Keeps the best epoch so far; before `keep_epoch`, which says that the epoch is over."""
    with replacing(folder / BEST) as temporary:
        write_checkpoint(temporary, checkpoint)


def keep_epoch(folder: Path, facts: dict[str, Any], learner: "Learner", history: list[dict[str, Any]]) -> None:
    """Keeps what a training is after a whole epoch.

    Args:
        folder: of the training.
        facts: what it is a training of; another one cannot go on from it.
        learner: the network and its optimiser.
        history: the scores of every epoch so far.
    """
    with replacing(folder / LAST) as temporary:
        write_checkpoint(temporary, {"identity": _identity(facts), "history": history, **learner.state()})


def resume_training(folder: Path, facts: dict[str, Any], learner: "Learner") -> list[dict[str, Any]]:
    """The scores of the epochs that are over, after bringing the learner there; none for a training of its own."""
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
    """The best epoch, after putting it in its place. The folder stays until the model is written too."""
    with replacing(target) as temporary:
        shutil.copyfile(folder / BEST, temporary)
    return read_checkpoint(target)


def _identity(facts: dict[str, Any]) -> str:
    return text_hash(json.dumps(facts, sort_keys=True))

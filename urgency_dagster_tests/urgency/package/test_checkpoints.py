from pathlib import Path
from typing import Any

import pytest
import torch

from urgency_dagster.errors import ArtefactError
from urgency_dagster.urgency.package.checkpoints import read_checkpoint, write_checkpoint
from urgency_dagster_tests.urgency.conftest import FAST, Trained

ORIGINAL_KEYS = {
    "epoch",
    "model_state_dict",
    "optimizer_state_dict",
    "scheduler_state_dict",
    "best_val_f1",
    "val_metrics",
}


@pytest.fixture(scope="module")
def checkpoint(trained: Trained) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(trained.paths.urgency.checkpoint, weights_only=True)
    return content


def test_the_originals_keys_are_there(checkpoint: dict[str, Any]) -> None:
    assert checkpoint.keys() >= ORIGINAL_KEYS
    tasks = {f"{name}_{task}" for task in ("sent", "urg") for name in ("preds", "trues")}
    assert checkpoint["val_metrics"].keys() == tasks | {"sent_acc", "sent_f1", "urg_acc", "urg_f1"}


def test_the_checkpoint_holds_labels_and_facts(checkpoint: dict[str, Any], trained: Trained) -> None:
    assert checkpoint["labels"] == {"urgency": ["하", "중", "상"], "sentiment": ["당황/난처", "불안/걱정"]}
    assert checkpoint["text_model"] == {"name": "tiny-electra", "revision": "local"}
    assert checkpoint["split"]["sha256"] == trained.summary.split_sha256
    assert checkpoint["config"]["learning_rate"] == FAST.learning_rate
    stored, running = (version.split("+")[0] for version in (checkpoint["versions"]["torch"], torch.__version__))
    assert stored == running  # what follows names the build; pip drops it for some


def test_the_stored_scores_are_those_of_the_stored_epoch(checkpoint: dict[str, Any], trained: Trained) -> None:
    best = trained.summary.best
    assert checkpoint["epoch"] == best.epoch
    assert checkpoint["best_val_f1"] == best.average_f1
    right = [p == t for p, t in zip(*(checkpoint["val_metrics"][f"{n}_urg"] for n in ("preds", "trues")), strict=True)]
    assert sum(right) / len(right) == best.urg_acc


def test_an_optimiser_can_continue_from_the_checkpoint(checkpoint: dict[str, Any]) -> None:
    parameters = [torch.nn.Parameter(torch.zeros_like(t)) for t in checkpoint["model_state_dict"].values()]
    optimiser = torch.optim.AdamW(parameters)
    optimiser.load_state_dict(checkpoint["optimizer_state_dict"])
    assert optimiser.param_groups[0]["weight_decay"] == FAST.weight_decay


def test_the_file_name_does_not_change_the_bytes(tmp_path: Path) -> None:
    content = {"tensor": torch.arange(3), "nested": [{"a": 1.5}]}
    for name in ("one.pt", "another.tmp"):
        write_checkpoint(tmp_path / name, content)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "another.tmp").read_bytes()


def test_code_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"path": tmp_path}, tmp_path / "evil.pt")
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_checkpoint(tmp_path / "evil.pt")


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_a_missing_or_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "best_model.pt").write_bytes(content)
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_checkpoint(tmp_path / "best_model.pt")

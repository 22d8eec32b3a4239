"""Training with CUDA graphs; skipped without a CUDA device."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import ElectraModel

from urgency_dagster.devices import reproducible
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.urgency.configuration import SplitConfig, TrainingConfig
from urgency_dagster.urgency.data.batches import UtteranceDataset, tokenise
from urgency_dagster.urgency.data.dataset import build_training_set, read_training_set
from urgency_dagster.urgency.data.tables import TRAIN
from urgency_dagster.urgency.training.fit import train, untrained_model
from urgency_dagster.urgency.training.learner import Learner
from urgency_dagster_tests.urgency.conftest import ARCHIVES, FAST
from urgency_dagster_tests.urgency.training.test_fit import Killed

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

ON_CUDA = FAST.changed(device="cuda")


@pytest.fixture
def still_model(text_model: PretrainedModel, tmp_path: Path) -> PretrainedModel:
    """The text model without dropout."""
    folder = shutil.copytree(text_model.folder, tmp_path / "still")
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    ElectraModel.from_pretrained(text_model.folder, local_files_only=True, **dropout).save_pretrained(folder)
    return PretrainedModel("still", folder, "local")


def losses(
    paths: StoragePaths, text_model: PretrainedModel, config: TrainingConfig, *, epochs: int = 2, graphs: bool = True
) -> NDArray[np.float64]:
    """The loss of each step of some epochs."""
    training_set = read_training_set(paths)
    with reproducible(config.seed, config.device):
        model = untrained_model(training_set, text_model, config)
        rows = training_set.side(TRAIN)
        train = UtteranceDataset(paths, rows, tokenise(rows["text"], model.tokenizer, model.max_length))
        learner = Learner(model, train, config, config.device)
        learner._graphs = learner._graphs if graphs else None
        return np.array([loss for epoch in range(1, epochs + 1) for loss in learner.epoch(train, epoch)])


STILL = ON_CUDA.changed(dropout=0.0, batch_size=7, learning_rate=1e-3)


@pytest.mark.parametrize(("precision", "tolerance"), [("no", 1e-4), ("bf16", 0.02), ("fp16", 2e-3)])
def test_the_losses_are_those_without_cuda_graphs(
    paths: StoragePaths, still_model: PretrainedModel, precision: str, tolerance: float
) -> None:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    config = STILL.changed(mixed_precision=precision)
    expected = losses(paths, still_model, config, graphs=False)
    np.testing.assert_allclose(losses(paths, still_model, config), expected, rtol=tolerance)


def test_the_losses_are_those_on_a_cpu(paths: StoragePaths, still_model: PretrainedModel) -> None:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    expected = losses(paths, still_model, STILL.changed(device="cpu"))
    np.testing.assert_allclose(losses(paths, still_model, STILL), expected, rtol=1e-4)


def test_dropout_differs_from_step_to_step_and_repeats_with_the_seed(
    paths: StoragePaths, text_model: PretrainedModel
) -> None:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    frozen = ON_CUDA.changed(learning_rate=1e-12, weight_decay=0, min_learning_rate=0, batch_size=10**6)
    once = losses(paths, text_model, frozen, epochs=4)
    assert len(set(once)) == 4
    np.testing.assert_array_equal(losses(paths, text_model, frozen, epochs=4), once)


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_an_interrupted_training_goes_on_with_the_same_result(
    paths: StoragePaths, text_model: PretrainedModel, precision: str, tmp_path: Path
) -> None:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    again = StoragePaths(shutil.copytree(paths.root, tmp_path / "again"))
    config = ON_CUDA.changed(mixed_precision=precision)
    summary = train(paths, text_model, config)

    def stop_in_the_third_epoch(done: int, total: int, **figures: float) -> None:
        if done > total // 2:
            raise Killed

    with pytest.raises(Killed):
        train(again, text_model, config, stop_in_the_third_epoch)
    assert train(again, text_model, config) == summary
    assert again.urgency.checkpoint.read_bytes() == paths.urgency.checkpoint.read_bytes()

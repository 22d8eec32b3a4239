from pathlib import Path

import numpy as np
import pytest
from torch import nn

from benchmarks.train import (
    OriginalTraining,
    TextShape,
    TrainSize,
    as_dataset,
    compare_training,
    draw_utterances,
    untrained_model,
)
from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.configuration import TrainingConfig
from urgency_dagster.urgency.data.batches import bucketed_batches
from urgency_dagster.urgency.training.learner import Learner

TINY = TextShape(vocab_size=1000, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
SMALL = TrainSize(shape=TINY, audio_width=16, steps=3, reference_steps=1, rows=1000)


def test_the_benchmark_runs_and_returns_its_details(monkeypatch: pytest.MonkeyPatch) -> None:
    # Memory is measured in `test_training_memory`.
    monkeypatch.setattr("benchmarks.train.memory_of_training", lambda rows, folder: {"utterances": rows})
    comparison = compare_training(SMALL)
    assert (comparison.name, comparison.unit) == ("train", "utterances/s")
    assert (comparison.ours.runs, comparison.reference.runs) == (3, 1)
    assert comparison.details["tokens_of_a_batch_mean"] < 40
    assert comparison.details["tokens_of_a_reference_batch"] == 512
    assert comparison.details["characters_mean"] == pytest.approx(15, abs=1)
    assert comparison.ratio == comparison.ours.median / comparison.reference.median
    assert comparison.details["memory"] == {"utterances": SMALL.rows}
    assert comparison.details["bf16"]["utterances_per_s"]["runs"] == 3


def test_enough_utterances_are_drawn() -> None:
    utterances = draw_utterances(500, audio_width=4)
    assert len(utterances.texts) >= 500
    assert utterances.vectors.shape == (len(utterances.texts), 4)
    assert set(utterances.urgency) == {0, 1, 2}


def test_a_whole_epoch_has_the_same_losses_as_with_padding_to_512(tmp_path: Path) -> None:
    config, utterances = TrainingConfig(), draw_utterances(32, SMALL.audio_width)
    model = untrained_model(utterances, SMALL, tmp_path, config)
    without_dropout(model.network)
    train = as_dataset(utterances, model, StoragePaths(tmp_path))
    batches = bucketed_batches(train.lengths, config.batch_size, seed=config.seed, epoch=1)
    learner = Learner(model, train, config, "cpu")
    original = OriginalTraining(model, utterances, learner)
    ours = list(learner.epoch(train, epoch=1))
    reference = [original.step(batch) for batch in batches]
    assert ours == pytest.approx(reference, rel=1e-4)
    assert len(set(np.round(ours, 4))) > 1


def without_dropout(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0

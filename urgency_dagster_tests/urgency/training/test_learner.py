import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight
from transformers import ElectraModel

from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.urgency.configuration import SplitConfig
from urgency_dagster.urgency.data.batches import UtteranceDataset, tokenise
from urgency_dagster.urgency.data.dataset import build_training_set, read_training_set
from urgency_dagster.urgency.data.tables import TRAIN
from urgency_dagster.urgency.network.inference import predict_logits
from urgency_dagster.urgency.training.fit import untrained_model
from urgency_dagster.urgency.training.learner import Learner, class_weights
from urgency_dagster_tests.urgency.conftest import ARCHIVES, FAST


def test_the_loss_is_the_described_formula(paths: StoragePaths, text_model: PretrainedModel, tmp_path: Path) -> None:
    still = ElectraModel.from_pretrained(
        text_model.folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, local_files_only=True
    )
    shutil.copytree(text_model.folder, tmp_path / "still")
    still.save_pretrained(tmp_path / "still")
    config = FAST.changed(dropout=0.0, batch_size=1000)
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    training_set = read_training_set(paths)
    model = untrained_model(training_set, PretrainedModel("still", tmp_path / "still", "local"), config)
    rows = training_set.side(TRAIN)
    train = UtteranceDataset(paths, rows, tokenise(rows["text"], model.tokenizer, model.max_length))
    logits = predict_logits(model.network, train, batch_size=1000, device="cpu")
    expected = sum(
        share * weighted_cross_entropy(of_task, rows[f"{task}_id"].to_numpy())
        for task, share, of_task in (("sentiment", 0.4, logits.sentiment), ("urgency", 0.6, logits.urgency))
    )
    (loss,) = Learner(model, train, config, "cpu").epoch(train, 1)
    assert loss == pytest.approx(expected, rel=1e-5)


def weighted_cross_entropy(logits: np.ndarray, true: np.ndarray) -> float:
    """The mean negative log-likelihood, each row weighted by the balanced weight of its class."""
    weights = compute_class_weight("balanced", classes=np.arange(logits.shape[1]), y=true)[true]
    exact = logits.astype(np.float64)
    likelihood = np.exp(exact[np.arange(len(true)), true]) / np.exp(exact).sum(axis=1)
    return float(-(weights * np.log(likelihood)).sum() / weights.sum())


def test_class_weights_are_balanced() -> None:
    ids = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=ids)
    np.testing.assert_allclose(class_weights(ids, 3), expected, rtol=1e-6)


def test_a_class_without_rows_has_no_weight() -> None:
    np.testing.assert_allclose(class_weights(np.array([0, 0, 2, 2]), 3), [1, 0, 1])

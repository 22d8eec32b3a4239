"""`protocol: original`, held to a plain reimplementation after the description of the original's training script."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from transformers import AutoTokenizer, ElectraModel

from urgency_dagster.devices import reproducible
from urgency_dagster.errors import SettingsError, TrainingDataError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.tables import URGENCY_LEVELS
from urgency_dagster.urgency.configuration import SplitConfig, TrainingConfig
from urgency_dagster.urgency.data.batches import shuffled_batches
from urgency_dagster.urgency.data.dataset import build_training_set, read_training_set
from urgency_dagster.urgency.package.model_folder import load_urgency_model, read_card
from urgency_dagster.urgency.training.fit import train, untrained_model
from urgency_dagster_tests.urgency.conftest import ARCHIVES, AUDIO_WIDTH, FAST, write_root
from urgency_dagster_tests.urgency.package.test_original import Original

STILL = FAST.changed(dropout=0.0, epochs=3, attention_dropout=0.5, mixed_precision="bf16")
"""Without dropout a training is its batches. The original's protocol fixes the last two options."""

ORIGINAL = SplitConfig(protocol="original")


class Plain:
    """The original's training on the rows of a training set, with its label ids and its padding."""

    def __init__(self, paths: StoragePaths, text_model: PretrainedModel, config: TrainingConfig) -> None:
        self.config = config
        rows = pq.read_table(paths.urgency.rows).to_pandas()
        stored = read_training_set(paths)
        self.urgency = LabelEncoder().fit_transform([URGENCY_LEVELS[i] for i in rows["urgency_id"]])
        self.sentiment = LabelEncoder().fit_transform([stored.labels.sentiment[i] for i in rows["sentiment_id"]])
        vectors = {archive: np.load(paths.archive(archive).vectors) for archive in ARCHIVES}
        pairs = zip(rows["archive"], rows["row"], strict=True)
        self.audio = torch.from_numpy(np.stack([vectors[archive][row] for archive, row in pairs]))
        tokenizer = AutoTokenizer.from_pretrained(text_model.folder)
        self.tokens = tokenizer(
            rows["text"].tolist(), padding="max_length", truncation=True, max_length=64, return_tensors="pt"
        )
        self.train, self.validation = train_test_split(
            np.arange(len(rows)), test_size=0.15, random_state=42, stratify=self.urgency
        )
        self.network = Original(text_model.folder, sentiments=2, audio_width=AUDIO_WIDTH, dropout=0.0)
        with reproducible(config.seed, "cpu"):
            initial = untrained_model(stored, text_model, config.under("original")).network.state_dict()
        self.network.load_state_dict(initial | in_the_originals_order(initial))

    def logits(self, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        sentiment, urgency = self.network(
            self.tokens["input_ids"][indices], self.tokens["attention_mask"][indices], self.audio[indices]
        )
        return sentiment, urgency

    def fit(self) -> list[dict[str, float]]:
        """The scores of every epoch."""
        config = self.config
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=config.learning_rate, weight_decay=0.01)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=config.epochs, eta_min=1e-6)
        losses = [
            nn.CrossEntropyLoss(weight=torch.tensor(self.balanced(ids), dtype=torch.float32))
            for ids in (self.sentiment, self.urgency)
        ]
        history = []
        for epoch in range(1, config.epochs + 1):
            self.network.train()
            means = [self.step(optimizer, losses, batch) for batch in self.batches(epoch)]
            scheduler.step()
            history.append({"loss": float(np.mean(means)), **self.scores()})
        return history

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Any order is one that the original could have drawn; these are the ones that were drawn here."""
        side = np.sort(self.train)
        return [side[batch] for batch in shuffled_batches(len(side), 16, seed=self.config.seed, epoch=epoch)]

    @staticmethod
    def balanced(ids: np.ndarray) -> np.ndarray:
        weights: np.ndarray = compute_class_weight("balanced", classes=np.unique(ids), y=ids)
        return weights

    def step(self, optimizer: torch.optim.Optimizer, losses: list[nn.CrossEntropyLoss], batch: np.ndarray) -> float:
        optimizer.zero_grad()
        sentiment, urgency = self.logits(batch)
        loss = 0.4 * losses[0](sentiment, torch.from_numpy(self.sentiment[batch])) + 0.6 * losses[1](
            urgency, torch.from_numpy(self.urgency[batch])
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        optimizer.step()
        return float(loss.item())

    def scores(self) -> dict[str, float]:
        self.network.eval()
        with torch.no_grad():
            found = [logits.argmax(dim=1).numpy() for logits in self.logits(self.validation)]
        scores = {}
        for task, predicted, ids in zip(("sent", "urg"), found, (self.sentiment, self.urgency), strict=True):
            true = ids[self.validation]
            scores[f"{task}_acc"] = float(accuracy_score(true, predicted))
            scores[f"{task}_f1"] = float(f1_score(true, predicted, average="macro"))
        return scores


def in_the_originals_order(weights: dict[str, Any]) -> dict[str, Any]:
    """The urgency head with the classes 상, 중, 하."""
    return {name: weights[name].flip(0) for name in ("urg_head.weight", "urg_head.bias")}


@pytest.fixture
def still(text_model: PretrainedModel, tmp_path: Path) -> PretrainedModel:
    """The text model without dropout."""
    folder = shutil.copytree(text_model.folder, tmp_path / "still")
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    ElectraModel.from_pretrained(text_model.folder, local_files_only=True, **dropout).save_pretrained(folder)
    return PretrainedModel("still", folder, "local")


def test_a_training_is_the_plain_one(paths: StoragePaths, still: PretrainedModel) -> None:
    build_training_set(paths, list(ARCHIVES), ORIGINAL)
    plain = Plain(paths, still, STILL)
    sides = pq.read_table(paths.urgency.rows)["side"].to_pylist()
    assert np.flatnonzero(np.array(sides) == "validation").tolist() == sorted(plain.validation)
    summary = train(paths, still, STILL)
    history = plain.fit()
    for ours, theirs in zip(summary.history, history, strict=True):
        assert ours.loss == pytest.approx(theirs["loss"], rel=1e-4)
        for name in ("sent_acc", "sent_f1", "urg_acc", "urg_f1"):
            assert getattr(ours, name) == pytest.approx(theirs[name], abs=1e-9), name
    best = max(range(len(history)), key=lambda i: history[i]["sent_f1"] + history[i]["urg_f1"])
    assert summary.best.epoch == best + 1
    model = load_urgency_model(paths.urgency.model)
    assert model.thresholds == {}
    assert model.temperatures["call"] == {"urgency": 1.0, "sentiment": 1.0}


def test_card_and_set_name_the_protocol_and_its_choices(paths: StoragePaths, text_model: PretrainedModel) -> None:
    summary = build_training_set(paths, list(ARCHIVES), ORIGINAL)
    assert (summary.protocol, summary.mode_used) == ("original", "utterance")
    train(paths, text_model, FAST.changed(epochs=1))
    card = read_card(paths.urgency.model)
    assert card["protocol"] == "original"
    assert card["split"]["selection"] == "validation"
    assert card["calls"]["development"] == 0
    assert "| protocol | original |" in (paths.urgency.model / "README.md").read_text(encoding="utf-8")


def test_the_default_is_the_honest_one(paths: StoragePaths) -> None:
    summary = build_training_set(paths, list(ARCHIVES), SplitConfig())
    assert (summary.protocol, summary.mode_used) == ("honest", "official")
    assert TrainingConfig().under(summary.protocol) == TrainingConfig()


def test_a_split_by_call_contradicts_the_protocol() -> None:
    with pytest.raises(SettingsError, match="`protocol: original` splits by utterance"):
        SplitConfig(protocol="original", mode="call")


def test_fewer_drawn_utterances_than_classes_are_refused(tmp_path: Path) -> None:
    paths = write_root(tmp_path, archives={"T_광주_구급": 4})
    with pytest.raises(TrainingDataError, match="as the original draws them"):
        build_training_set(paths, ["T_광주_구급"], ORIGINAL.changed(validation_share=0.01))


def test_a_training_set_of_before_is_honest(paths: StoragePaths) -> None:
    import json

    build_training_set(paths, list(ARCHIVES), SplitConfig())
    stored = json.loads(paths.urgency.split.read_text(encoding="utf-8"))
    del stored["protocol"]
    paths.urgency.split.write_text(json.dumps(stored), encoding="utf-8")
    assert read_training_set(paths).summary.protocol == "honest"

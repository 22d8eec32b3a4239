"""The original's network, built from its description alone, and what becomes of its checkpoint here."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from urgency_dagster.errors import ArtefactError
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.tables import SENTIMENTS, URGENCY_LEVELS
from urgency_dagster.urgency.package.model_folder import UrgencyModel, load_urgency_model, read_card, save_urgency_model
from urgency_dagster.urgency.package.original import ORIGINAL_URGENCY, checkpoint_model, read_original
from urgency_dagster_tests.urgency.conftest import FILLERS, WORDS, Trained

AUDIO_WIDTH = 24
TEXTS = [" ".join(FILLERS[:n]) for n in range(1, 8)] + [" ".join(words) for words in WORDS.values()]


def original_model(source: Path, text_model: PretrainedModel) -> UrgencyModel:
    return checkpoint_model(read_original(source), text_model)


class Attention(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(embed_dim=width, num_heads=4, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        attended, _ = self.attn(query=query, key=key, value=key)
        output: torch.Tensor = self.norm(query + self.dropout(attended))
        return output


class Original(nn.Module):
    """CLS query; linear and ReLU of the audio vector as the only key; dropout; two heads."""

    def __init__(
        self, text_model: Path, sentiments: int = 4, *, audio_width: int = AUDIO_WIDTH, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.text_encoder = AutoModel.from_pretrained(text_model)
        width = self.text_encoder.config.hidden_size
        self.wav_fc = nn.Linear(audio_width, width)
        self.cross_attn = Attention(width, dropout)
        self.dropout = nn.Dropout(dropout)
        self.sent_head = nn.Linear(width, sentiments)
        self.urg_head = nn.Linear(width, 3)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, wav: torch.Tensor
    ) -> tuple[Tensor, Tensor]:
        text = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state[:, 0, :]
        audio = torch.relu(self.wav_fc(wav)).unsqueeze(1)
        fused = self.dropout(self.cross_attn(text.unsqueeze(1), audio).squeeze(1))
        return self.sent_head(fused), self.urg_head(fused)


def stored(network: nn.Module, **more: object) -> dict[str, object]:
    """What the original saves after an epoch: scores of scikit-learn and lists of NumPy numbers among it."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-5, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5, eta_min=1e-6)
    ids = list(np.array([0, 2, 1]))
    return {
        "epoch": 3,
        "model_state_dict": network.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler_state_dict": scheduler.state_dict(),
        "best_val_f1": np.float64(0.61),
        "val_metrics": {"sent_acc": 0.5, "sent_f1": np.float64(0.4), "preds_urg": ids, "trues_urg": ids},
        **more,
    }


@pytest.fixture
def original(text_model: PretrainedModel) -> Original:
    torch.manual_seed(3)
    return Original(text_model.folder).eval()


@pytest.fixture
def batch(text_model: PretrainedModel) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    tokens = AutoTokenizer.from_pretrained(text_model.folder)(TEXTS, padding=True, return_tensors="pt")
    audio = torch.from_numpy(np.random.default_rng(0).normal(size=(len(TEXTS), AUDIO_WIDTH)).astype(np.float32))
    return tokens["input_ids"], tokens["attention_mask"], audio


def test_the_logits_are_the_same_and_the_labels_in_this_projects_order(
    original: Original, batch: tuple[Tensor, Tensor, Tensor], text_model: PretrainedModel, tmp_path: Path
) -> None:
    torch.save(stored(original), tmp_path / "best_model.pt")
    model = original_model(tmp_path / "best_model.pt", text_model)
    assert (model.labels.urgency, model.labels.sentiment) == (("하", "중", "상"), SENTIMENTS)
    assert model.config.audio_tokens == 1
    input_ids, mask, audio = batch
    with torch.inference_mode():
        sentiment, urgency = original(input_ids, mask, audio)
        logits = model.network(input_ids, mask, audio[:, None])
    torch.testing.assert_close(logits.sentiment, sentiment, rtol=0, atol=1e-5)
    for place, name in enumerate(ORIGINAL_URGENCY):  # 상, 중, 하
        ours = logits.urgency[:, URGENCY_LEVELS.index(name)]
        torch.testing.assert_close(ours, urgency[:, place], rtol=0, atol=1e-5)
    assert (urgency[:, 0] - urgency[:, 2]).abs().min() > 1e-3, "the order matters here"


def test_a_step_of_training_drops_what_the_original_drops(
    original: Original, batch: tuple[Tensor, Tensor, Tensor], text_model: PretrainedModel, tmp_path: Path
) -> None:
    """With the same random numbers the logits in training mode are equal: the attention weights have no dropout."""
    torch.save(stored(original), tmp_path / "best_model.pt")
    network = original_model(tmp_path / "best_model.pt", text_model).network.train()
    input_ids, mask, audio = batch
    torch.manual_seed(5)
    sentiment, _ = original.train()(input_ids, mask, audio)
    torch.manual_seed(5)
    torch.testing.assert_close(network(input_ids, mask, audio[:, None]).sentiment, sentiment, rtol=0, atol=1e-5)


def test_an_original_model_can_be_saved_as_a_model_folder(
    original: Original,
    batch: tuple[Tensor, Tensor, Tensor],
    text_model: PretrainedModel,
    trained: Trained,
    tmp_path: Path,
) -> None:
    torch.save(stored(original), tmp_path / "best_model.pt")
    model = original_model(tmp_path / "best_model.pt", text_model)
    card = {
        **read_card(trained.paths.urgency.model),
        "labels": {"urgency": list(model.labels.urgency), "sentiment": list(SENTIMENTS)},
    }
    save_urgency_model(tmp_path / "folder", model, card)
    again = load_urgency_model(tmp_path / "folder")
    input_ids, mask, audio = batch
    with torch.inference_mode():
        torch.testing.assert_close(
            again.network(input_ids, mask, audio[:, None]).urgency,
            model.network(input_ids, mask, audio[:, None]).urgency,
        )
    assert again.labels == model.labels


def test_labels_in_the_checkpoint_are_used(
    original: Original, batch: tuple[Tensor, Tensor, Tensor], text_model: PretrainedModel, tmp_path: Path
) -> None:
    names = {"urgency": list(ORIGINAL_URGENCY), "sentiment": list(SENTIMENTS)}
    torch.save(stored(original, labels=names), tmp_path / "best_model.pt")
    model = original_model(tmp_path / "best_model.pt", text_model)
    assert model.labels.urgency == ORIGINAL_URGENCY
    input_ids, mask, audio = batch
    with torch.inference_mode():
        _, urgency = original(input_ids, mask, audio)
        torch.testing.assert_close(model.network(input_ids, mask, audio[:, None]).urgency, urgency, rtol=0, atol=1e-5)


@pytest.mark.parametrize("fixture", ["trained", "trained_on_spans"])
def test_a_checkpoint_of_this_project_loads_too(
    request: pytest.FixtureRequest, fixture: str, text_model: PretrainedModel
) -> None:
    urgency = request.getfixturevalue(fixture).paths.urgency
    model = original_model(urgency.checkpoint, text_model)
    folder = load_urgency_model(urgency.model)
    assert model.labels == folder.labels
    assert model.config == folder.config
    for name, tensor in folder.network.state_dict().items():
        torch.testing.assert_close(model.network.state_dict()[name], tensor, rtol=0, atol=0)


def test_buffers_of_older_versions_are_ignored(original: Original, text_model: PretrainedModel, tmp_path: Path) -> None:
    state = {**original.state_dict(), "text_encoder.embeddings.position_ids": torch.arange(64)[None]}
    torch.save({"model_state_dict": state}, tmp_path / "best_model.pt")
    assert original_model(tmp_path / "best_model.pt", text_model).config.audio_width == AUDIO_WIDTH


def test_other_classes_without_names_are_refused(text_model: PretrainedModel, tmp_path: Path) -> None:
    torch.save(stored(Original(text_model.folder, sentiments=2)), tmp_path / "best_model.pt")
    with pytest.raises(ArtefactError, match=r"3 urgency and 2 sentiment classes.*add `labels`"):
        original_model(tmp_path / "best_model.pt", text_model)


@pytest.mark.parametrize(
    "missing", ["wav_fc.weight", "cross_attn.attn.in_proj_weight", "text_encoder.embeddings.word_embeddings.weight"]
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    original: Original, text_model: PretrainedModel, tmp_path: Path, missing: str
) -> None:
    state = original.state_dict()
    del state[missing]
    torch.save({"model_state_dict": state}, tmp_path / "best_model.pt")
    with pytest.raises(ArtefactError, match="does not fit the text model tiny-electra"):
        original_model(tmp_path / "best_model.pt", text_model)


class Evil:
    """Unpickled, it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("content", ["evil", "list", "no weights", "damaged", "missing"])
def test_other_files_are_refused_and_no_code_is_run(
    original: Original, text_model: PretrainedModel, tmp_path: Path, content: str
) -> None:
    target = tmp_path / "best_model.pt"
    wrong = {
        "evil": stored(original, extra=Evil(tmp_path / "ran")),
        "list": [1, 2],
        "no weights": {"epoch": 3, "model_state_dict": None},
    }
    if content in wrong:
        torch.save(wrong[content], target)
    elif content == "damaged":
        target.write_bytes(b"PK damaged")
    with pytest.raises(ArtefactError, match=r"best_model\.pt (cannot be read|holds no model_state_dict)"):
        original_model(target, text_model)
    assert not (tmp_path / "ran").exists()

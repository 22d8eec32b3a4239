"""Speed of training: steps padded to their longest text, against the original's steps padded to 512 tokens.

Both sides train a copy of the same full-size network in this process. The weights are random, so nothing is downloaded.
"""

import copy
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from benchmarks.measure import Side, in_turns
from benchmarks.report import Comparison, by_rate
from benchmarks.training_memory import memory_of_training
from urgency_dagster.demo.archives import MIN_CALLS, draw_pairs
from urgency_dagster.demo.models import text_model
from urgency_dagster.devices import reproducible, resolve_device
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import SENTIMENTS, URGENCY_LEVELS
from urgency_dagster.urgency.configuration import TrainingConfig
from urgency_dagster.urgency.data.batches import UtteranceDataset, bucketed_batches, tokenise
from urgency_dagster.urgency.data.labels import Labels
from urgency_dagster.urgency.package.model_folder import UrgencyModel
from urgency_dagster.urgency.training.learner import Learner

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal

MIN_TURNS = 8
"""Minimum number of utterances of a demo call."""

ORIGINAL_LENGTH = 512
"""Number of tokens to which the original pads every text."""

SEED = 7


@dataclass(frozen=True)
class TextShape:
    """The text encoder's architecture. Source: KoELECTRA base v3."""

    vocab_size: int = 35_000
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072


@dataclass(frozen=True)
class TrainSize:
    """The size of the benchmark.

    Attributes:
        shape: shape of the text encoder.
        audio_width: width of an audio vector.
        steps: number of timed steps of ours.
        reference_steps: number of timed steps of the original; one takes a minute on two cores.
        rows: approximate number of utterances for the memory measurement.
        gpu_scale: factor of both numbers of steps on a GPU.
    """

    shape: TextShape = TextShape()
    audio_width: int = 1024
    steps: int = 9
    reference_steps: int = 1
    rows: int = 200_000
    gpu_scale: int = 10


@dataclass(frozen=True)
class Utterances:
    """Synthetic utterances: N texts, (N, D) float32 audio vectors, and (N,) int64 class ids of both tasks."""

    texts: list[str]
    vectors: "NDArray[np.float32]"
    urgency: "NDArray[np.int64]"
    sentiment: "NDArray[np.int64]"


def compare_training(size: TrainSize) -> Comparison:
    """Utterances per second of both sides, with the default hyper-parameters, on the device `auto`.

    The details hold the speed of ours in bfloat16 and the peak memory of each step.

    Raises:
        BenchmarkError: a step whose memory is measured fails.
    """
    config = TrainingConfig()
    device = resolve_device(config.device)
    if device.startswith("cuda"):
        size = replace(size, steps=size.steps * size.gpu_scale, reference_steps=size.reference_steps * size.gpu_scale)
    utterances = draw_utterances((size.steps + 1) * config.batch_size, size.audio_width)
    with tempfile.TemporaryDirectory() as folder:
        model = untrained_model(utterances, size, Path(folder), config)
        train = as_dataset(utterances, model, StoragePaths(Path(folder)))
        learner = Learner(model, train, config, device)
        original = OriginalTraining(model, utterances, learner)
        original.step(np.arange(1))  # the first step allocates the optimiser's state
        batch = np.arange(config.batch_size)
        reference_side = Side(lambda: original.step(batch), size.reference_steps)
        ours, reference = in_turns(_stepping(learner, train, size), reference_side)
        learner = Learner(model, train, config.changed(mixed_precision="bf16"), device)
        reduced, _ = in_turns(_stepping(learner, train, size), Side(lambda: None, 1))
        tokens = _padded_lengths(train, config)[1 : size.steps + 1]
        memory = memory_of_training(size.rows, Path(folder) / "rows")
    per_step = config.batch_size
    rates = ours.rate(per_step), reference.rate(per_step)
    reduced_rate = reduced.rate(per_step)
    details = {
        **asdict(size.shape),
        "batch_size": config.batch_size,
        "characters_mean": float(np.mean([len(text) for text in utterances.texts])),
        "tokens_of_a_batch_mean": float(np.mean(tokens)),
        "tokens_of_a_reference_batch": original.length,
        "precision": "float32",
        "bf16": {"utterances_per_s": asdict(reduced_rate), "ratio": reduced_rate.median / rates[1].median},
        "memory": memory,
        "device": device,
    }
    return by_rate("train", "utterances/s", *rates, details)


def _stepping(learner: Learner, train: UtteranceDataset, size: TrainSize) -> Side[float]:
    """The steps of an epoch after its first, one per run."""
    steps = learner.epoch(train, epoch=1)

    def step() -> float:
        with reproducible(learner.config.seed, learner.device):
            return next(steps)

    step()
    return Side(step, size.steps)


def draw_utterances(count: int, audio_width: int) -> Utterances:
    """At least `count` utterances of demo calls, about 15 characters each, with random audio vectors."""
    calls = max(MIN_CALLS, math.ceil(count / MIN_TURNS))
    conversations = [call.conversation for pair in draw_pairs(calls, SEED) for call in pair.calls]
    turns = [(turn, conversation) for conversation in conversations for turn in conversation.turns]
    return Utterances(
        texts=[turn.text for turn, _ in turns],
        vectors=np.random.default_rng(SEED).normal(size=(len(turns), audio_width)).astype(np.float32),
        urgency=np.array([URGENCY_LEVELS.index(conversation.urgency) for _, conversation in turns]),
        sentiment=np.array([SENTIMENTS.index(conversation.sentiment) for _, conversation in turns]),
    )


def untrained_model(utterances: Utterances, size: TrainSize, folder: Path, config: TrainingConfig) -> UrgencyModel:
    """The network with random weights and a tokenizer made from the texts."""
    import torch
    from transformers import AutoTokenizer, ElectraConfig, ElectraModel

    from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal, ModelConfig

    for name, content in text_model(utterances.texts, SEED).items():
        (folder / name).write_bytes(content)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    network_config = ModelConfig(size.shape.hidden_size, size.audio_width, len(URGENCY_LEVELS), len(SENTIMENTS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        encoder = ElectraModel(ElectraConfig(**asdict(size.shape), embedding_size=size.shape.hidden_size))
        network = KoElectraCrossModal(encoder, network_config)
    labels = Labels(URGENCY_LEVELS, SENTIMENTS)
    max_length = min(config.max_length, encoder.config.max_position_embeddings)
    return UrgencyModel(network, tokenizer, labels, network_config, max_length)


def as_dataset(utterances: Utterances, model: UrgencyModel, paths: StoragePaths) -> UtteranceDataset:
    """The dataset of the utterances, with their vectors in an archive's file below `paths`."""
    archive, count = "T_bench", len(utterances.texts)
    paths.archive(archive).folder.mkdir(parents=True)
    np.save(paths.archive(archive).vectors, utterances.vectors)
    rows = pa.table(
        {
            "archive": [archive] * count,
            "_id": [f"{i:024x}" for i in range(count)],
            "row": np.arange(count),
            "urgency_id": utterances.urgency,
            "sentiment_id": utterances.sentiment,
            "text": utterances.texts,
        }
    )
    return UtteranceDataset(paths, rows, tokenise(rows["text"], model.tokenizer, model.max_length))


def _padded_lengths(train: UtteranceDataset, config: TrainingConfig) -> list[int]:
    """The padded length of each batch of the first epoch, in tokens."""
    batches = bucketed_batches(train.lengths, config.batch_size, seed=config.seed, epoch=1)
    return [train[batch].input_ids.shape[1] for batch in batches]


class OriginalTraining:
    """The reference: every text padded to 512 tokens, everything in fp32.

    Source: the original pipeline's training script.
    """

    def __init__(self, model: UrgencyModel, utterances: Utterances, learner: Learner) -> None:
        import torch

        self.network: KoElectraCrossModal = copy.deepcopy(model.network).train()
        self.tokenizer: PreTrainedTokenizerBase = model.tokenizer
        self.length = min(ORIGINAL_LENGTH, model.max_length)
        self._utterances = utterances
        self._device = learner.device
        self._weights = {"urgency": learner.urgency_weights, "sentiment": learner.sentiment_weights}
        self._optimizer = torch.optim.AdamW(self.network.parameters(), lr=2e-5, weight_decay=0.01)

    def step(self, indices: "Sequence[int] | NDArray[np.int64]") -> float:
        """The loss of a step on the utterances at `indices`."""
        import torch
        from torch.nn.functional import cross_entropy

        texts = [self._utterances.texts[i] for i in indices]
        tokens = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=self.length, return_tensors="pt"
        ).to(self._device)
        audio = torch.from_numpy(self._utterances.vectors[indices]).to(self._device)
        urgency = torch.from_numpy(self._utterances.urgency[indices]).to(self._device)
        sentiment = torch.from_numpy(self._utterances.sentiment[indices]).to(self._device)
        self._optimizer.zero_grad()
        logits = self.network(tokens["input_ids"], tokens["attention_mask"], audio.unsqueeze(1))
        loss = 0.4 * cross_entropy(logits.sentiment, sentiment, weight=self._weights["sentiment"])
        loss = loss + 0.6 * cross_entropy(logits.urgency, urgency, weight=self._weights["urgency"])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        return loss.item()

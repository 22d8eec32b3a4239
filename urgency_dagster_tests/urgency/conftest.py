"""A storage root with three small archives whose labels can be learnt, and a tiny text model."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import ElectraConfig, ElectraModel, PreTrainedTokenizerFast

from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.tables import AUDIO_FLAGS, EMBEDDING, SENTIMENTS, URGENCY_LEVELS, UTTERANCES, embeddings_schema
from urgency_dagster.urgency.configuration import EvaluationConfig, SplitConfig, TrainingConfig
from urgency_dagster.urgency.data.dataset import build_training_set
from urgency_dagster.urgency.evaluation.evaluation import evaluate
from urgency_dagster.urgency.training.fit import TrainingSummary, train
from urgency_dagster.writing import write_table
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.urgency.spoken import SpokenRoot, write_spoken_root

WORDS = {"하": ["문의", "천천히", "내일"], "중": ["다쳤", "아파", "넘어"], "상": ["호흡", "의식", "빨리"]}
FILLERS = ["네", "예", "여기", "지금", "우리", "집", "앞", "사람"]
AUDIO_WIDTH = 12
ARCHIVES = {"T_광주_구급": 30, "T_서울_화재": 20, "V_광주_구급": 20}

FAST = TrainingConfig(epochs=4, learning_rate=5e-3, min_development_calls=1, device="cpu")
"""Overrides that a tiny model needs to learn within seconds, and its few calls to have thresholds."""


@dataclass(frozen=True)
class Call:
    """One call of the fixtures."""

    call_id: str
    urgency: str
    sentiment: str
    utterances: int


def calls(archive: str, count: int, rng: np.random.Generator) -> list[Call]:
    start = sum(map(ord, archive)) * 1000
    return [
        Call(
            call_id=f"{start + i:024x}",
            urgency=URGENCY_LEVELS[int(rng.integers(3))],
            sentiment=SENTIMENTS[1 + int(rng.integers(2))],
            utterances=int(rng.integers(3, 7)),
        )
        for i in range(count)
    ]


def utterance(archive: str, call: Call, index: int, text: str) -> dict[str, object]:
    return {
        "_id": call.call_id,
        "wav_file_path": f"calls/{archive}/Wave/{call.call_id}_20230101.wav",
        "utterance_id": f"{index:08x}",
        "text": text,
        "startAt": index * 2000,
        "endAt": index * 2000 + 1500,
        "sentiment": call.sentiment,
        "urgencyLevel": call.urgency,
        "urgency_label": URGENCY_LEVELS.index(call.urgency),
        "disasterMedium": "부상",
        "archive": archive,
        "speaker": index % 2,
        "gender": "F",
        "disasterLarge": "구급",
        "duration_s": 1.5,
        **dict.fromkeys(AUDIO_FLAGS, False),
        "audio_sha256": f"{call.call_id:0>64}",
    }


def write_archive(paths: StoragePaths, archive: str, of_archive: list[Call], rng: np.random.Generator) -> None:
    """Writes rows whose words and vectors lean to their label, as the calls pipeline would."""
    rows, vectors = [], []
    for call in sorted(of_archive, key=lambda call: call.call_id):
        for index in range(call.utterances):
            words = [*rng.choice(FILLERS, int(rng.integers(1, 6))), rng.choice(WORDS[call.urgency])]
            rows.append(utterance(archive, call, index, " ".join(rng.permutation(words))))
            vector = rng.normal(size=AUDIO_WIDTH)
            vector[SENTIMENTS.index(call.sentiment)] += 2
            vectors.append(vector)
    table = pa.Table.from_pylist(rows, schema=UTTERANCES)
    write_table(paths.archive(archive).utterances, table)
    write_vectors(paths, archive, np.asarray(vectors, np.float32).reshape(-1, AUDIO_WIDTH))


def write_vectors(paths: StoragePaths, archive: str, vectors: np.ndarray, speech_model: str = "speech") -> None:
    """Writes vectors, (N, D) or (N, T, D), as both of their files, as made by some speech model."""
    np.save(paths.archive(archive).vectors, vectors)
    flat = vectors.reshape(len(vectors), math.prod(vectors.shape[1:]))
    schema = embeddings_schema(flat.shape[1]).with_metadata(
        {"model": speech_model, "revision": "1", "weights_sha256": "0" * 64}
    )
    keys = [name for name in schema.names if name != EMBEDDING]
    table = pq.read_table(paths.archive(archive).utterances, columns=keys).slice(0, len(vectors)).select(keys)
    column = pa.array(flat.tolist(), schema.field(EMBEDDING).type)
    write_table(paths.archive(archive).embeddings, pa.table([*table.columns, column], schema=schema))


def write_spans(paths: StoragePaths, archive: str, tokens: int) -> None:
    """Gives the utterances of an archive as many vectors: the last is the one that they had, the others are noise."""
    had = np.load(paths.archive(archive).vectors)
    vectors = np.random.default_rng(0).normal(size=(len(had), tokens, AUDIO_WIDTH)).astype(np.float32)
    vectors[:, -1] = had
    write_vectors(paths, archive, vectors)


def write_root(
    folder: Path, *, shuffle_labels: bool = False, archives: dict[str, int] = ARCHIVES, tokens: int = 1
) -> StoragePaths:
    """Writes a storage root; `shuffle_labels` breaks the tie between label and content."""
    rng = np.random.default_rng(0)
    paths = StoragePaths(folder)
    for archive, count in archives.items():
        write_archive(paths, archive, calls(archive, count, rng), rng)
        if shuffle_labels:
            relabel(paths, archive, random_urgency(rng))
        if tokens > 1:
            write_spans(paths, archive, tokens)
    return paths


def random_urgency(rng: np.random.Generator) -> Callable[[str], str]:
    """A function that draws the urgency of a call, whatever its id."""
    return lambda _: URGENCY_LEVELS[int(rng.integers(3))]


def relabel(paths: StoragePaths, archive: str, urgency: Callable[[str], str]) -> None:
    """Gives every call of an archive another urgency, whatever its content."""
    rows = pq.read_table(paths.archive(archive).utterances).to_pylist()
    drawn = {call: urgency(call) for call in sorted({row["_id"] for row in rows})}
    for row in rows:
        row["urgencyLevel"] = drawn[row["_id"]]
        row["urgency_label"] = URGENCY_LEVELS.index(drawn[row["_id"]])
    write_table(paths.archive(archive).utterances, pa.Table.from_pylist(rows, schema=UTTERANCES))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Several threads only wait for each other on networks this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def paths(tmp_path: Path) -> StoragePaths:
    return write_root(tmp_path / "root")


@dataclass(frozen=True)
class Trained:
    """A storage root after training and evaluation, and what both returned. Not to be written to."""

    paths: StoragePaths
    summary: TrainingSummary
    metrics: dict[str, Any]


def train_and_evaluate(paths: StoragePaths, text_model: PretrainedModel) -> Trained:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    summary = train(paths, text_model, FAST)
    return Trained(paths, summary, evaluate(paths, EvaluationConfig(device="cpu")))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, text_model: PretrainedModel) -> Trained:
    return train_and_evaluate(write_root(tmp_path_factory.mktemp("trained") / "root"), text_model)


@pytest.fixture(scope="session")
def trained_on_spans(tmp_path_factory: pytest.TempPathFactory, text_model: PretrainedModel) -> Trained:
    """The same with four audio vectors for each utterance."""
    return train_and_evaluate(write_root(tmp_path_factory.mktemp("spans") / "root", tokens=4), text_model)


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory, build: Builder, text_model: PretrainedModel) -> SpokenRoot:
    """A storage root whose vectors come from recordings."""
    return write_spoken_root(tmp_path_factory.mktemp("spoken"), build, text_model)


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> PretrainedModel:
    """A tiny ELECTRA with a WordPiece vocabulary, written as the hub's models are."""
    folder = tmp_path_factory.mktemp("models") / "tiny-electra"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *FILLERS, *(word for words in WORDS.values() for word in words)]
    wordpiece = Tokenizer(models.WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    wordpiece.pre_tokenizer = pre_tokenizers.Whitespace()
    wordpiece.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token")}
    PreTrainedTokenizerFast(tokenizer_object=wordpiece, **names).save_pretrained(folder)
    config = ElectraConfig(
        vocab_size=len(vocabulary),
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ElectraModel(config).save_pretrained(folder)
    return PretrainedModel(folder.name, folder, "local")

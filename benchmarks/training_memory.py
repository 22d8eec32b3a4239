"""Peak memory of joining, training and evaluating as many utterances as the whole data set has.

The text encoder is tiny, so the rows dominate. Vectors are sparse files of zeros, which take no room on the disk.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.memory import peak_bytes
from urgency_dagster.demo.archives import MIN_CALLS, draw_pairs
from urgency_dagster.demo.models import text_model
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import find_pretrained
from urgency_dagster.tables import AUDIO_FLAGS, SENTIMENTS, URGENCY_LEVELS, UTTERANCES, embeddings_schema
from urgency_dagster.urgency.configuration import EvaluationConfig, SplitConfig, TrainingConfig
from urgency_dagster.urgency.data.dataset import build_training_set
from urgency_dagster.urgency.evaluation import evaluation
from urgency_dagster.urgency.training import fit
from urgency_dagster.writing import write_table

ARCHIVES = ("T_서울_구급", "T_서울_화재", "T_광주_구급", "T_광주_화재", "T_인천_구급", "V_서울_구급")
"""Archives of equal size; the last is the validation side."""

UTTERANCES_PER_CALL = 30
"""Source: the mean of the data set."""

AUDIO_WIDTH = 1024
"""Width of a vector. Source: XLSR-53 large."""

BATCH = 512
"""Utterances per step; large, so that a training on millions takes minutes."""

SEED = 7

STEPS = {
    "training_set": "from benchmarks.training_memory import join; join(sys.argv[1])",
    "urgency_model": "from benchmarks.training_memory import train; train(sys.argv[1])",
    "urgency_evaluation": "from benchmarks.training_memory import evaluate; evaluate(sys.argv[1])",
}
"""The measured assets and their code, in this order."""


def memory_of_training(utterances: int, folder: Path) -> dict[str, Any]:
    """The peak memory of each step in MB, without pages of mapped files, and the number of utterances.

    Args:
        utterances: approximate number of utterances.
        folder: folder for the files.

    Raises:
        BenchmarkError: a step fails.
    """
    paths = StoragePaths(folder)
    calls = max(MIN_CALLS, utterances // UTTERANCES_PER_CALL // len(ARCHIVES))
    for number, archive in enumerate(ARCHIVES):
        write_archive(paths, archive, calls, number)
    write_text_model(paths)
    result: dict[str, Any] = {"utterances": calls * UTTERANCES_PER_CALL * len(ARCHIVES)}
    for step, code in STEPS.items():
        peak = peak_bytes([sys.executable, "-c", f"import sys; {code}", folder], with_files=False)
        result[f"{step}_mb"] = round(peak / 1e6, 1)
    return result


def write_archive(paths: StoragePaths, archive: str, calls: int, number: int) -> None:
    """Writes the rows and vectors of an archive as the calls pipeline does; the vectors are zero."""
    rows = calls * UTTERANCES_PER_CALL
    call = np.repeat(np.arange(calls), UTTERANCES_PER_CALL)
    ids = pa.array([f"{number:04x}{i:020x}" for i in range(calls)]).take(call)
    at = np.tile(np.arange(UTTERANCES_PER_CALL), calls)
    rng = np.random.default_rng((SEED, number))
    texts = _texts()
    columns = {
        "_id": ids,
        "wav_file_path": pa.array([f"calls/{archive}/Wave/{number:04x}{i:020x}_2023.wav" for i in range(calls)]).take(
            call
        ),
        "utterance_id": pa.array([f"{i:08x}" for i in range(UTTERANCES_PER_CALL)]).take(at),
        "text": pa.array(texts).take(rng.integers(len(texts), size=rows)),
        "startAt": at * 2000,
        "endAt": at * 2000 + 1500,
        "sentiment": pa.array(SENTIMENTS).take(call % len(SENTIMENTS)),
        "urgencyLevel": pa.array(URGENCY_LEVELS).take(call % len(URGENCY_LEVELS)),
        "urgency_label": call % len(URGENCY_LEVELS),
        "disasterMedium": pa.repeat("질병(중증 외)", rows),
        "archive": pa.repeat(archive, rows),
        "speaker": at % 2,
        "gender": pa.repeat("F", rows),
        "disasterLarge": pa.repeat("구급", rows),
        "duration_s": np.full(rows, 1.5),
        **{flag: np.zeros(rows, bool) for flag in AUDIO_FLAGS},
        "audio_sha256": pa.array([f"{number:04x}{i:060x}" for i in range(calls)]).take(call),
    }
    write_table(paths.archive(archive).utterances, pa.table(columns).select(UTTERANCES.names).cast(UTTERANCES))
    schema = embeddings_schema(AUDIO_WIDTH).with_metadata({"model": "none", "revision": ""})
    write_table(paths.archive(archive).embeddings, schema.empty_table())
    np.lib.format.open_memmap(paths.archive(archive).vectors, "w+", np.float32, (rows, AUDIO_WIDTH)).flush()


def _texts() -> list[str]:
    pairs = draw_pairs(MIN_CALLS, SEED)
    return sorted({turn.text for pair in pairs for call in pair.calls for turn in call.conversation.turns})


def model_folder(paths: StoragePaths) -> Path:
    """The folder of the tiny text model."""
    return paths.root / "model"


def write_text_model(paths: StoragePaths) -> None:
    """Writes a tiny text model with a tokenizer of the texts."""
    from safetensors.torch import save_file
    from transformers import ElectraConfig, ElectraModel

    model_folder(paths).mkdir(parents=True)
    for name, content in text_model(_texts(), SEED).items():
        (model_folder(paths) / name).write_bytes(content)
    vocabulary = ElectraConfig.from_pretrained(model_folder(paths)).vocab_size
    widths = dict.fromkeys(("embedding_size", "hidden_size", "intermediate_size"), 8)
    config = ElectraConfig(vocab_size=vocabulary, num_hidden_layers=1, num_attention_heads=1, **widths)
    config.save_pretrained(model_folder(paths))
    save_file(ElectraModel(config).state_dict(), model_folder(paths) / "model.safetensors", metadata={"format": "pt"})


def join(root: str) -> None:
    """The training set of all archives."""
    build_training_set(StoragePaths(Path(root)), ARCHIVES, SplitConfig())


def train(root: str) -> None:
    """One epoch."""
    paths = StoragePaths(Path(root))
    model = find_pretrained(str(model_folder(paths)), "URGENCY_TEXT_MODEL")
    fit.train(paths, model, TrainingConfig(epochs=1, batch_size=BATCH))


def evaluate(root: str) -> None:
    """The evaluation with its baselines and intervals."""
    evaluation.evaluate(StoragePaths(Path(root)), EvaluationConfig(batch_size=BATCH))

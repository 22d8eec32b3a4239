"""A storage root whose vectors come from recordings: what a predictor of recordings is compared with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from urgency_dagster.calls.embedding.archive import embed_archive
from urgency_dagster.calls.embedding.configuration import EmbeddingConfig
from urgency_dagster.calls.processed import write_processed_data
from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel, find_pretrained
from urgency_dagster.tables import SENTIMENTS, URGENCY_LEVELS
from urgency_dagster.urgency.configuration import EvaluationConfig, SplitConfig, TrainingConfig
from urgency_dagster.urgency.data.dataset import build_training_set
from urgency_dagster.urgency.evaluation.evaluation import evaluate
from urgency_dagster.urgency.training.fit import train
from urgency_dagster.writing import write_text
from urgency_dagster_tests.calls.conftest import LAYER, save_speech_model
from urgency_dagster_tests.conftest import Builder

SPOKEN_ARCHIVES = {"T_광주_구급": 14, "V_광주_구급": 8}

WORDS = {"하": "문의", "중": "아파", "상": "호흡"}

SHAPES: list[dict[str, Any]] = [{}, {"rate": 44_100}, {"channels": 2}, {"rate": 16_000, "subtype": "FLOAT"}]
"""Rate, channels and format of the recordings, in turn."""

Recorder = Callable[[str, int], bytes]
"""Returns a WAV of 6 s for an archive and the number of a call in it."""

CONFIG = TrainingConfig(epochs=2, learning_rate=5e-3, min_development_calls=1, device="cpu")


@dataclass(frozen=True)
class SpokenRoot:
    """A storage root after training and evaluation of calls with recordings. Not to be written to.

    Attributes:
        paths: the storage root.
        speech_model: the speech model that made the vectors.
    """

    paths: StoragePaths
    speech_model: PretrainedModel

    @property
    def model(self) -> Path:
        """The model folder."""
        return self.paths.urgency.model

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the utterance tables with their logits, of the validation side, in the order of the tables."""
        predictions = pq.read_table(self.paths.urgency.evaluation / "predictions.parquet").to_pylist()
        logits = {(row["archive"], row["_id"], row["utterance_id"]): row for row in predictions}
        rows = (row for archive in SPOKEN_ARCHIVES for row in self._utterances(archive))
        keyed = ((row, logits.get((row["archive"], row["_id"], row["utterance_id"]))) for row in rows)
        return [row | found for row, found in keyed if found]

    def _utterances(self, archive: str) -> Any:
        return pq.read_table(self.paths.archive(archive).utterances).to_pylist()


def write_spoken_root(
    folder: Path,
    build: Builder,
    text_model: PretrainedModel,
    *,
    audio_tokens: int = 1,
    record: Recorder | None = None,
    speech_model: PretrainedModel | None = None,
    recogniser: str = "none",
    training: TrainingConfig = CONFIG,
) -> SpokenRoot:
    """Lands, embeds, trains and evaluates some calls.

    Args:
        folder: where the root is written.
        build: writes the archives.
        text_model: the text model.
        audio_tokens: vectors per utterance.
        record: makes the recordings; None for noise that differs in rate, channels and format.
        speech_model: None for a tiny one without a CTC head.
        recogniser: the recogniser in the settings of the root.
        training: the hyper-parameters.
    """
    paths, rng = StoragePaths(folder / "root"), np.random.default_rng(0)
    if speech_model is None:
        save_speech_model(folder / "speech", LAYER)
        speech_model = find_pretrained(str(folder / "speech"), "URGENCY_SPEECH_MODEL")

    def noise(archive: str, number: int) -> bytes:
        return build.wav(6000, seed=number, **SHAPES[number % len(SHAPES)])

    for archive, count in SPOKEN_ARCHIVES.items():
        build.extracted(paths, archive, *_members(build, archive, count, rng, record or noise))
        build_utterance_table(paths, archive, workers=1)
        options = EmbeddingConfig(device="cpu", precision="float32", audio_tokens=audio_tokens, workers=1)
        embed_archive(paths, archive, speech_model, options)
        write_processed_data(paths, archive)
    build_training_set(paths, list(SPOKEN_ARCHIVES), SplitConfig())
    train(paths, text_model, training)
    write_text(paths.settings_env, f"URGENCY_SPEECH_MODEL={speech_model.folder}\nURGENCY_RECOGNISER={recogniser}\n")
    evaluate(paths, EvaluationConfig(device="cpu", bootstrap_resamples=10))
    return SpokenRoot(paths, speech_model)


def _members(
    build: Builder, archive: str, count: int, rng: np.random.Generator, record: Recorder
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    audio, labels = {}, {}
    for number in range(count):
        call_id = build.call_id(sum(map(ord, archive)) * 1000 + number)
        audio[f"{call_id}_20230101.wav"] = record(archive, number)
        labels[f"{call_id}_20230101.json"] = build.json(_label(build, call_id, number, rng))
    return audio, labels


def _label(build: Builder, call_id: str, number: int, rng: np.random.Generator) -> dict[str, object]:
    """A label with an utterance that is too short, and one that ends after the recording."""
    urgency = URGENCY_LEVELS[number % 3]
    texts = [f"{rng.choice(['네', '여기', '집'])} {WORDS[urgency]}" for _ in range(5)]
    ends = [1700, 2900, 3300, 4900, 9000]
    utterances = [
        build.utterance(n, startAt=1000 * n + 50 * (number % 7), endAt=end, text=text, speaker=n % 2)
        for n, (text, end) in enumerate(zip(texts, ends, strict=True), start=1)
    ]
    return build.label(call_id, urgencyLevel=urgency, sentiment=SENTIMENTS[number % 2], utterances=utterances)


def logits_of(rows: list[dict[str, Any]], task: str) -> NDArray[np.float32]:
    """The stored logits of some rows, (N, K)."""
    return np.array([row[f"{task}_logits"] for row in rows], np.float32)

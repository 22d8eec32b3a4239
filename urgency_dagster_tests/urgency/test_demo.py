"""From the demo's ZIPs to an evaluated model, as in `make demo`, without Dagster."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from urgency_dagster.calls.embedding.archive import embed_archive
from urgency_dagster.calls.embedding.configuration import EmbeddingConfig
from urgency_dagster.calls.landing.pairs import scan_landing
from urgency_dagster.calls.processed import write_processed_data
from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.extraction import extract_pair
from urgency_dagster.demo.inputs import write_demo
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import find_pretrained
from urgency_dagster.scoring import PredictedRecording, find_recordings, load_predictor, predict_recordings
from urgency_dagster.settings import Settings
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster.statistics.confusion import confusion_matrix, f1_macro
from urgency_dagster.urgency import Predictor, RecordingPrediction
from urgency_dagster.urgency.configuration import EvaluationConfig, SplitConfig, TrainingConfig
from urgency_dagster.urgency.data.dataset import build_training_set
from urgency_dagster.urgency.evaluation.evaluation import evaluate
from urgency_dagster.urgency.training.fit import train
from urgency_dagster_tests.urgency.conftest import relabel

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[StoragePaths, list[str]]:
    """The demo with the rows and vectors of its archives."""
    paths = StoragePaths(tmp_path_factory.mktemp("demo"))
    write_demo(paths.root)
    speech = find_pretrained(Settings.load(paths.root, environment={}).speech_model, "URGENCY_SPEECH_MODEL")
    pairs = scan_landing(paths.landing_calls).pairs
    for archive, pair in pairs.items():
        extract_pair(pair, paths.archive(archive), ExtractionConfig())
        build_utterance_table(paths, archive)
        embed_archive(paths, archive, speech, EmbeddingConfig(**overrides(paths, "utterance_embeddings"), device="cpu"))
        write_processed_data(paths, archive)
    return paths, sorted(pairs)


def overrides(paths: StoragePaths, asset: str) -> dict[str, Any]:
    """The options of an asset in the demo's run configuration."""
    options: dict[str, Any] = yaml.safe_load(paths.run_config.read_text(encoding="utf-8"))[asset]
    return options


def train_and_evaluate(paths: StoragePaths, archives: list[str]) -> dict[str, Any]:
    """The metrics of a model that is trained as the demo's run configuration says."""
    build_training_set(paths, archives, SplitConfig())
    text_model = find_pretrained(Settings.load(paths.root, environment={}).text_model, "URGENCY_TEXT_MODEL")
    train(paths, text_model, TrainingConfig(**overrides(paths, "urgency_model"), device="cpu"))
    return evaluate(paths, EvaluationConfig(device="cpu"))


@pytest.fixture(scope="module")
def metrics(demo: tuple[StoragePaths, list[str]]) -> dict[str, Any]:
    """The metrics of the demo's model. Tests that use it come before the one that trains with other labels."""
    return train_and_evaluate(*demo)


def test_the_model_is_better_than_the_majority_by_its_interval(metrics: dict[str, Any]) -> None:
    for unit, majority in (("utterance", "majority"), ("call", "majority_call")):
        low, _ = metrics[unit]["urgency"]["f1_macro_interval"]
        assert low > metrics[majority]["urgency"]["f1_macro_interval"][1], unit


@pytest.mark.usefixtures("metrics")
def test_every_validation_call_in_the_landed_zips_is_answered_as_in_the_evaluation(
    demo: tuple[StoragePaths, list[str]],
) -> None:
    """Recordings and labels are read from the ZIPs, embedded and predicted without the tables of the pipeline."""
    paths, _ = demo
    rows = pq.read_table(paths.urgency.evaluation / "predictions.parquet").to_pylist()
    predictor = load_predictor(paths.root)
    answers = predict_recordings(predictor, find_recordings([paths.landing_calls]))
    by_call = {answer.id: answer.prediction for answer in answers if isinstance(answer, PredictedRecording)}
    expected = {call: [row for row in rows if row["_id"] == call] for call in dict.fromkeys(row["_id"] for row in rows)}
    assert expected.keys() <= by_call.keys()
    assert len(expected) > 10
    for call, of_call in expected.items():
        assert by_call[call].listening == "label"
        for task in ("urgency", "sentiment"):
            assert probabilities_of(by_call[call], task) == pytest.approx(
                expected_probabilities(predictor, of_call, task), abs=1e-5
            )


@pytest.mark.usefixtures("metrics")
def test_a_recording_without_its_label_has_turns_text_speakers_and_a_score(
    demo: tuple[StoragePaths, list[str]],
) -> None:
    paths, archives = demo
    recording = min(paths.archive(archives[-1]).audio.rglob("*.wav"))
    predictor = load_predictor(paths.root)
    answer = predictor.predict(recording)
    assert answer == predictor.predict(recording)
    assert answer.listening == "ctc"
    assert answer.urgency is not None
    assert all(utterance.turn.text for utterance in answer.utterances)
    assert {utterance.turn.speaker for utterance in answer.utterances} <= {"caller", "call_taker"}


def probabilities_of(answer: RecordingPrediction, task: str) -> np.ndarray:
    """The probabilities of the utterances and, in the last row, of the call."""
    return np.array([list(getattr(part, task).probabilities.values()) for part in (*answer.utterances, answer)])


def expected_probabilities(predictor: Predictor, of_call: list[dict[str, Any]], task: str) -> np.ndarray:
    """The same from the stored logits of a call."""
    logits = np.array([row[f"{task}_logits"] for row in of_call], np.float32)
    temperatures = predictor.model.temperatures
    by_utterance = probabilities(logits, temperatures["utterance"][task])
    by_call = probabilities(logits.mean(axis=0, keepdims=True), temperatures["call"][task])
    return np.concatenate([by_utterance, by_call])


def test_with_shuffled_labels_chance_is_within_the_interval(demo: tuple[StoragePaths, list[str]]) -> None:
    paths, archives = demo
    shuffle_labels(paths, archives)
    low, high = train_and_evaluate(paths, archives)["utterance"]["urgency"]["f1_macro_interval"]
    assert low <= chance(paths.urgency.evaluation / "predictions.parquet") <= high


def shuffle_labels(paths: StoragePaths, archives: list[str]) -> None:
    """Gives the calls of each archive each other's urgency."""
    rng = np.random.default_rng(0)
    for archive in archives:
        rows = pq.read_table(paths.archive(archive).utterances, columns=["_id", "urgencyLevel"]).to_pylist()
        levels = {row["_id"]: row["urgencyLevel"] for row in rows}
        drawn = rng.permutation([levels[call] for call in sorted(levels)]).tolist()
        relabel(paths, archive, dict(zip(sorted(levels), drawn, strict=True)).__getitem__)


def chance(predictions: Path) -> float:
    """The mean macro-F1 of the same answers when the calls of the validation side have each other's urgency."""
    rows = pq.read_table(predictions)
    calls = np.unique(rows["_id"].to_pylist(), return_inverse=True)[1]
    true, predicted = rows["urgency_id"].to_numpy(), rows["urgency_predicted"].to_numpy()
    of_calls = true[np.unique(calls, return_index=True)[1]]
    rng = np.random.default_rng(0)
    drawn = (rng.permutation(of_calls)[calls] for _ in range(200))
    return float(np.mean([f1_macro(confusion_matrix(of_rows, predicted, 3)) for of_rows in drawn]))

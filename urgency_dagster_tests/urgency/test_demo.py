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
from urgency_dagster.settings import Settings
from urgency_dagster.statistics.confusion import confusion_matrix, f1_macro
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
        embed_archive(paths, archive, speech, EmbeddingConfig(device="cpu"))
        write_processed_data(paths, archive)
    return paths, sorted(pairs)


def train_and_evaluate(paths: StoragePaths, archives: list[str]) -> dict[str, Any]:
    """The metrics of a model that is trained as the demo's run configuration says."""
    build_training_set(paths, archives, SplitConfig())
    overrides = yaml.safe_load(paths.run_config.read_text(encoding="utf-8"))["urgency_model"]
    text_model = find_pretrained(Settings.load(paths.root, environment={}).text_model, "URGENCY_TEXT_MODEL")
    train(paths, text_model, TrainingConfig(**overrides, device="cpu"))
    return evaluate(paths, EvaluationConfig(device="cpu"))


def test_the_model_is_better_than_the_majority_by_its_interval(demo: tuple[StoragePaths, list[str]]) -> None:
    metrics = train_and_evaluate(*demo)
    for unit, majority in (("utterance", "majority"), ("call", "majority_call")):
        low, _ = metrics[unit]["urgency"]["f1_macro_interval"]
        assert low > metrics[majority]["urgency"]["f1_macro_interval"][1], unit


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

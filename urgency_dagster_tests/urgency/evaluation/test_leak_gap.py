import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.urgency.configuration import EvaluationConfig, SplitConfig, SplitMode
from urgency_dagster.urgency.data.dataset import build_training_set
from urgency_dagster.urgency.evaluation.leak_gap import measure_leak_gap
from urgency_dagster_tests.urgency.conftest import ARCHIVES, Trained

CONFIG = EvaluationConfig(device="cpu", bootstrap_resamples=20)


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> StoragePaths:
    """A trained storage root that may be changed."""
    return copy(trained, tmp_path)


def copy(trained: Trained, folder: Path) -> StoragePaths:
    return StoragePaths(shutil.copytree(trained.paths.root, folder / "copied"))


def contents(paths: StoragePaths) -> dict[str, bytes]:
    files = (file for file in paths.root.rglob("*") if file.is_file())
    return {paths.relative(file): file.read_bytes() for file in files}


def test_the_gap_has_both_scores_and_their_difference(
    trained: Trained, copied: StoragePaths, text_model: PretrainedModel
) -> None:
    before = contents(copied)
    gap = measure_leak_gap(copied, text_model, CONFIG)
    for task in ("urgency", "sentiment"):
        assert gap.by_call[task] == trained.metrics["utterance"][task]["f1_macro"]
        assert gap.inflation[task] == pytest.approx(gap.by_utterance[task] - gap.by_call[task])
        assert gap.by_utterance[task] != gap.by_call[task]
    stored = json.loads(copied.urgency.leak_gap.read_text())
    assert stored == {"by_call": gap.by_call, "by_utterance": gap.by_utterance, "inflation": gap.inflation}
    after = contents(copied)
    assert after.pop("urgency/leak_gap.json")
    assert after == before, "everything else is as it was"


def test_the_second_model_is_trained_on_a_split_by_utterance(copied: StoragePaths, text_model: PretrainedModel) -> None:
    seen: list[dict[str, Any]] = []

    def look(done: int, total: int, **figures: float) -> None:
        if not seen:
            split = json.loads((copied.urgency.folder / ".leak_gap/urgency/training_set/split.json").read_text())
            seen.append(split)

    measure_leak_gap(copied, text_model, CONFIG, look)
    (split,) = seen
    assert split["mode_used"] == "utterance"
    assert set(split["call_ids"]["train"]) & set(split["call_ids"]["validation"])
    assert split["archives"] == sorted(ARCHIVES)


def test_a_model_of_several_audio_vectors_has_a_gap_too(
    trained_on_spans: Trained, tmp_path: Path, text_model: PretrainedModel
) -> None:
    gap = measure_leak_gap(copy(trained_on_spans, tmp_path), text_model, CONFIG)
    for task in ("urgency", "sentiment"):
        assert gap.by_call[task] == trained_on_spans.metrics["utterance"][task]["f1_macro"]
        assert gap.by_utterance[task] > trained_on_spans.metrics["majority"][task]["f1_macro"]


class Killed(BaseException):
    """Ends a run from outside, as a signal does."""


def test_a_killed_measurement_can_be_repeated(copied: StoragePaths, text_model: PretrainedModel) -> None:
    def kill(done: int, total: int, **figures: float) -> None:
        if done > total / 2:
            raise Killed

    with pytest.raises(Killed):
        measure_leak_gap(copied, text_model, CONFIG, kill)
    first = measure_leak_gap(copied, text_model, CONFIG)
    assert measure_leak_gap(copied, text_model, CONFIG) == first


@pytest.mark.parametrize("missing", ["evaluation", "model", "training_set"])
def test_a_missing_artefact_is_refused(copied: StoragePaths, text_model: PretrainedModel, missing: str) -> None:
    shutil.rmtree(copied.urgency.folder / missing)
    with pytest.raises(ArtefactError):
        measure_leak_gap(copied, text_model, CONFIG)


@pytest.mark.parametrize("mode", ["utterance", "call"])
def test_a_model_of_another_split_is_refused(
    copied: StoragePaths, text_model: PretrainedModel, mode: SplitMode
) -> None:
    build_training_set(copied, list(ARCHIVES), SplitConfig(mode=mode))
    with pytest.raises(ArtefactError, match="split mode `official` or `call`"):
        measure_leak_gap(copied, text_model, CONFIG)

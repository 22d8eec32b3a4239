from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from benchmarks.score import Call, OriginalInference, Probabilities, ScoreSize, answers, compare_scoring
from benchmarks.score import largest_difference as difference_of
from benchmarks.scoring_models import ModelFiles, write_models
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.listening import Turn
from urgency_dagster.tables import SENTIMENTS, URGENCY_LEVELS
from urgency_dagster.urgency import Predictor
from urgency_dagster_tests.conftest import Builder

pytestmark = pytest.mark.filterwarnings("ignore:.*slated for removal:DeprecationWarning")  # librosa.load itself

SMALL = ScoreSize(calls=12, original=1, runs=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def predictor(models: ModelFiles) -> Predictor:
    return models.predictor("cpu")


@pytest.fixture
def call(build: Builder, tmp_path: Path) -> Call:
    path = tmp_path / "call.wav"
    path.write_bytes(build.wav(3000))
    return Call(path, (Turn(100, 900, "불이 났어요"), Turn(1000, 2500, "어디세요")), 3.0)


@pytest.mark.slow
def test_the_benchmark_runs_and_both_sides_answer_equally(monkeypatch: pytest.MonkeyPatch) -> None:
    # Memory is measured in `test_scoring_memory`.
    monkeypatch.setattr("benchmarks.score.memory_of_scoring", lambda size, folder: {"calls": [size.few, size.many]})
    comparison = compare_scoring(SMALL)
    assert (comparison.name, comparison.unit) == ("score", "x real time")
    assert (comparison.ours.runs, comparison.reference.runs) == (1, 1)
    assert comparison.ratio == comparison.ours.median / comparison.reference.median
    assert comparison.details["calls"] == {"ours": 10, "reference": 1}, "12 labels, of which two calls are damaged"
    assert comparison.details["memory"] == {"calls": [100, 2000]}
    assert comparison.details["loaded_x_real_time"]["median"] > 0
    assert not comparison.details["full_size"]


def test_an_utterance_has_the_same_probabilities_on_both_sides(
    models: ModelFiles, predictor: Predictor, call: Call
) -> None:
    original = OriginalInference(models, "cpu")
    assert difference_of(predictor, original, [call]) < 1e-6
    whole, part = original.answer_call(call), original.answer(call.path, ["불이 났어요"], (100, 900))
    assert whole.keys() == part.keys() == {*URGENCY_LEVELS, *SENTIMENTS}
    assert whole != part


def test_the_original_answers_for_the_joined_text_and_the_whole_audio(models: ModelFiles, call: Call) -> None:
    original = OriginalInference(models, "cpu")
    duration_ms = round(soundfile.info(call.path).duration * 1000)
    assert original.answer_call(call) == original.answer(call.path, ["불이 났어요 어디세요"], (0, duration_ms))
    without_text = replace(call, turns=tuple(replace(turn, text=None) for turn in call.turns))
    assert original.answer_call(without_text) == original.answer(call.path, [" "])


def test_answers_that_differ_cannot_be_compared(models: ModelFiles, predictor: Predictor, call: Call) -> None:
    class Wrong(OriginalInference):
        def answer(self, path: Path, texts: Sequence[str], range_ms: tuple[int, int] | None = None) -> Probabilities:
            return {name: p + 2e-5 for name, p in super().answer(path, texts, range_ms).items()}

    with pytest.raises(BenchmarkError, match=r"a difference of 2\.0e-05; expected at most 1e-05"):
        difference_of(predictor, Wrong(models, "cpu"), [call])


def test_a_call_without_an_answer_cannot_be_timed(predictor: Predictor, call: Call, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="1 of 2 calls have an answer"):
        answers(predictor, [call, replace(call, path=tmp_path / "absent.wav")])

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from urgency_dagster import urgency
from urgency_dagster.errors import ArtefactError, InputError, SettingsError
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster.urgency.data.batches import UtteranceDataset, tokenise
from urgency_dagster.urgency.data.dataset import read_training_set
from urgency_dagster.urgency.data.tables import VALIDATION
from urgency_dagster.urgency.predictor import Predictor
from urgency_dagster.writing import file_hash
from urgency_dagster_tests.urgency.conftest import Trained

NOT_CORE = ("dagster", "dagster_ray", "ray", "sklearn", "scipy", "accelerate", "matplotlib", "librosa")
"""Libraries that a predictor must do without."""


@dataclasses.dataclass(frozen=True)
class Validation:
    """Texts, vectors and call ids of the validation side, in its order."""

    texts: list[str]
    vectors: NDArray[np.float32]
    calls: list[str]


def validation_of(trained: Trained) -> Validation:
    rows = read_training_set(trained.paths).side(VALIDATION)
    model = urgency.load_model(trained.paths.urgency.model, "cpu").model
    dataset = UtteranceDataset(trained.paths, rows, tokenise(rows["text"], model.tokenizer, model.max_length))
    audio = dataset.inputs(np.arange(len(dataset))).audio.numpy()
    return Validation(rows["text"].to_pylist(), audio, rows["_id"].to_pylist())


@pytest.fixture(scope="module")
def validation(trained: Trained) -> Validation:
    return validation_of(trained)


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return urgency.load_model(trained.paths.urgency.model, device="cpu")


def stored_logits(trained: Trained, task: str) -> NDArray[np.float32]:
    table = pq.read_table(trained.paths.urgency.evaluation / "predictions.parquet")
    return np.array(table[f"{task}_logits"].to_pylist(), np.float32)


@pytest.mark.parametrize("fixture", ["trained", "trained_on_spans"])
def test_the_logits_are_those_of_the_evaluation(request: pytest.FixtureRequest, fixture: str) -> None:
    trained: Trained = request.getfixturevalue(fixture)
    of_side = validation_of(trained)
    logits = urgency.load_model(trained.paths.urgency.model, "cpu").logits(of_side.texts, of_side.vectors)
    np.testing.assert_array_equal(logits.urgency, stored_logits(trained, "urgency"))
    np.testing.assert_array_equal(logits.sentiment, stored_logits(trained, "sentiment"))


def test_one_vector_per_utterance_needs_no_axis_of_its_own(predictor: Predictor, validation: Validation) -> None:
    flat = predictor.predict_utterances(validation.texts, validation.vectors[:, 0])
    assert flat == predictor.predict_utterances(validation.texts, validation.vectors)


def test_probabilities_are_calibrated_and_named(trained: Trained, predictor: Predictor, validation: Validation) -> None:
    prediction = predictor.predict_utterances(validation.texts, validation.vectors)
    assert prediction.calls == ()
    assert len(prediction.utterances) == len(validation.texts)
    for task, names in (("urgency", predictor.model.labels.urgency), ("sentiment", predictor.model.labels.sentiment)):
        expected = probabilities(stored_logits(trained, task), predictor.model.temperatures["utterance"][task])
        for utterance, row in zip(prediction.utterances, expected, strict=True):
            answer = getattr(utterance, task)
            assert list(answer.probabilities.items()) == list(zip(names, row.tolist(), strict=True))
            assert answer.label == names[int(row.argmax())]


def test_a_call_is_the_mean_of_its_utterances(trained: Trained, predictor: Predictor, validation: Validation) -> None:
    calls = predictor.predict_utterances(validation.texts, validation.vectors, validation.calls).calls
    assert [call.call for call in calls] == list(dict.fromkeys(validation.calls))
    labels, thresholds = predictor.model.labels.urgency, predictor.model.thresholds
    for call in calls:
        here = np.array(validation.calls) == call.call
        mean = stored_logits(trained, "urgency")[here].mean(axis=0, keepdims=True)
        expected = probabilities(mean, predictor.model.temperatures["call"]["urgency"])[0]
        assert call.urgency is not None
        assert list(call.urgency.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-6)
        assert call.abstain == (max(call.urgency.probabilities.values()) < thresholds["answer_from"])
        assert call.alarm == (call.urgency.probabilities["상"] >= thresholds["alarm_from"])
        assert call.urgency.label == labels[int(expected.argmax())]
    metrics = trained.metrics["calibration"]["thresholds"]
    assert np.mean([bool(call.abstain) for call in calls]) == pytest.approx(metrics["answer_from"]["to_person"])


def test_rows_of_one_call_need_not_be_together(predictor: Predictor, validation: Validation) -> None:
    texts, vectors = validation.texts[:4], validation.vectors[:4]
    calls = predictor.predict_utterances(texts, vectors, ["a", "b", "a", "b"]).calls
    (alone,) = predictor.predict_utterances(texts[::2], vectors[::2], ["a", "a"]).calls
    assert [call.call for call in calls] == ["a", "b"]
    assert calls[0].urgency is not None
    assert alone.urgency is not None
    assert calls[0].urgency.probabilities == pytest.approx(alone.urgency.probabilities, abs=1e-5)


def test_a_model_without_thresholds_neither_abstains_nor_alarms(predictor: Predictor, validation: Validation) -> None:
    model = dataclasses.replace(predictor.model, thresholds={})
    other = dataclasses.replace(predictor, model=model)
    (call,) = other.predict_utterances(validation.texts[:2], validation.vectors[:2], ["a", "a"]).calls
    assert call.abstain is call.alarm is None


def test_the_provenance_names_weights_data_and_speech_model(trained: Trained, predictor: Predictor) -> None:
    provenance = predictor.provenance
    assert provenance.weights_sha256 == file_hash(trained.paths.urgency.model / "model.safetensors")
    assert provenance.data_sha256 == trained.summary.data_sha256
    assert provenance.speech_model == {"name": "speech", "revision": "1", "weights_sha256": "0" * 64}
    assert (provenance.audio_width, provenance.audio_tokens) == (12, 1)
    assert provenance.versions["torch"]


TEXTS, VECTORS = ["여기 호흡", "네"], np.zeros((2, 12), np.float32)


@pytest.mark.parametrize(
    ("texts", "vectors", "calls", "message"),
    [
        ([], np.zeros((0, 12), np.float32), None, "no utterance"),
        ("네 예", VECTORS, None, "no list of texts"),
        (["네", None], VECTORS, None, "text 1 is a NoneType"),
        (TEXTS, VECTORS[:1], None, r"shape \(1, 12\).*\(2, 12\)"),
        (TEXTS, np.zeros((2, 13), np.float32), None, r"shape \(2, 13\).*\(2, 12\)"),
        (TEXTS, np.zeros((2, 2, 12), np.float32), None, r"shape \(2, 2, 12\)"),
        (TEXTS, np.zeros((2, 1, 1, 12), np.float32), None, "shape"),
        (TEXTS, VECTORS.astype(np.float64), None, "type float64.*float32"),
        (TEXTS, VECTORS.tolist(), None, "type list.*float32"),
        (TEXTS, np.full((2, 12), np.nan, np.float32), None, "NaN"),
        (TEXTS, np.full((2, 12), np.inf, np.float32), None, "infinite"),
        (["네", "\ud800"], VECTORS, None, "text 1 holds half of a surrogate pair"),
        (TEXTS, VECTORS, ["a"], "2 texts and 1 calls"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    predictor: Predictor, texts: Sequence[str], vectors: Any, calls: Sequence[str] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        predictor.predict_utterances(texts, vectors, calls)


def test_a_model_of_several_vectors_takes_no_single_one(trained_on_spans: Trained) -> None:
    spans = urgency.load_model(trained_on_spans.paths.urgency.model, "cpu")
    with pytest.raises(InputError, match=r"\(2, 4, 12\)"):
        spans.predict_utterances(TEXTS, VECTORS)


def test_an_error_quotes_no_text(predictor: Predictor) -> None:
    with pytest.raises(InputError) as error:
        predictor.predict_utterances(TEXTS, VECTORS[:1])
    assert "호흡" not in str(error.value)


def test_no_model_or_device_is_refused(tmp_path: Path, trained: Trained) -> None:
    with pytest.raises(ArtefactError, match="cannot be loaded"):
        urgency.load_model(tmp_path)
    with pytest.raises(SettingsError, match="cannot be used"):
        urgency.load_model(trained.paths.urgency.model, device="abacus")


def test_the_original_checkpoint_answers_too(trained: Trained, text_model: PretrainedModel) -> None:
    loaded = urgency.load_original_checkpoint(trained.paths.urgency.checkpoint, text_model, device="cpu")
    of_side = validation_of(trained)
    np.testing.assert_array_equal(
        loaded.logits(of_side.texts, of_side.vectors).urgency, stored_logits(trained, "urgency")
    )
    assert loaded.provenance.weights_sha256 == file_hash(trained.paths.urgency.checkpoint)
    assert loaded.provenance.data_sha256 == trained.summary.data_sha256


def test_a_model_folder_of_the_version_before_loads(trained: Trained, tmp_path: Path) -> None:
    """It has no thresholds in its configuration, and former option names on its card."""
    folder = Path(shutil.copytree(trained.paths.urgency.model, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["thresholds"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    card["config"]["person_share"] = card["config"].pop("deferral_rate")
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    assert urgency.load_model(folder, "cpu").model.thresholds == {}


def test_a_model_folder_of_before_keeps_its_alarm_and_its_only_temperatures(
    trained: Trained, tmp_path: Path, validation: Validation
) -> None:
    """It has one temperature for each task, on which its thresholds were fitted: calls are answered with it."""
    folder = Path(shutil.copytree(trained.paths.urgency.model, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["temperatures"] = {"urgency": 1.667, "sentiment": 1.7}
    config["thresholds"] = {"answer_from": 0.36, "alarm_from": 0.177}
    del config["network"]["attention_dropout"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    before = urgency.load_model(folder, "cpu")
    calls = before.predict_utterances(validation.texts, validation.vectors, validation.calls).calls
    here = np.array(validation.calls) == calls[0].call
    mean = stored_logits(trained, "urgency")[here].mean(axis=0, keepdims=True)
    expected = probabilities(mean, 1.667)[0].tolist()
    assert calls[0].urgency is not None
    assert list(calls[0].urgency.probabilities.values()) == pytest.approx(expected, abs=1e-6)
    assert calls[0].alarm == (calls[0].urgency.probabilities["상"] >= 0.177)


@pytest.mark.slow
def test_a_predictor_needs_the_core_libraries_only(trained: Trained) -> None:
    """A fresh process in which every other library is missing."""
    code = f"""
import sys
from importlib.machinery import PathFinder
class CoreFinder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in {NOT_CORE!r} else super().find_spec(name, path, target)
sys.meta_path = [CoreFinder if finder is PathFinder else finder for finder in sys.meta_path]
import numpy as np
from urgency_dagster import urgency
predictor = urgency.load_model({str(trained.paths.urgency.model)!r}, device="cpu")
prediction = predictor.predict_utterances(["여기 호흡", "네"], np.zeros((2, 12), np.float32), ["a", "a"])
print(prediction.calls[0].urgency.label, sorted({{*{NOT_CORE!r}}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "[]"


@pytest.mark.slow
def test_the_door_loads_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "pandas", "pyarrow", "pydantic", "numpy", *NOT_CORE)
    code = f"import sys; import urgency_dagster.urgency; print(sorted({{*{heavy!r}}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_exists() -> None:
    assert "load_model" in dir(urgency)
    assert [name for name in dir(urgency) if getattr(urgency, name, None) is None] == []
    with pytest.raises(AttributeError, match="nothing"):
        getattr(urgency, "nothing")  # noqa: B009 - a type checker refuses the name

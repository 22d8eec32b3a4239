"""Benchmark `score`: calls are scored by a loaded predictor; the reference loads every model for each call.

Both sides read the same recordings, the same speech and text model, and the same checkpoint of the original's format.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.embed import SpeechShape
from benchmarks.measure import Side, in_turns
from benchmarks.report import Comparison, by_rate
from benchmarks.scoring_memory import MemorySize, memory_of_scoring
from benchmarks.scoring_models import TINY_TEXT, ModelFiles, write_models
from benchmarks.train import ORIGINAL_LENGTH, TextShape
from urgency_dagster.calls import SAMPLE_RATE
from urgency_dagster.demo.archives import MIN_CALLS
from urgency_dagster.demo.inputs import write_demo
from urgency_dagster.demo.wearables import MIN_SAMPLES
from urgency_dagster.devices import AUTO, resolve_device
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.listening import Turn
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import without_notices
from urgency_dagster.scoring import Recording, find_recordings
from urgency_dagster.tables import SENTIMENTS, URGENCY_LEVELS
from urgency_dagster.urgency import Predictor, RecordingPrediction
from urgency_dagster.urgency.package.original import ORIGINAL_URGENCY

if TYPE_CHECKING:
    import numpy as np
    import torch

    from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal

COMPARED_CALLS = 2
"""Calls whose utterances both sides must answer equally."""

TOLERANCE = 1e-5
"""Maximum difference of two probabilities of the same utterance."""


@dataclass(frozen=True)
class ScoreSize:
    """The size of the benchmark.

    Attributes:
        calls: labels of the demo whose calls this project scores in a run.
        original: calls of a run of the reference.
        speech: shape of the speech model; None for the tiny one of the demo.
        text: shape of the text encoder.
        runs: number of timed runs of each side.
        memory: recordings of the memory measurement, with tiny models.
    """

    calls: int = 2 * MIN_CALLS
    original: int = 6
    speech: SpeechShape | None = None
    text: TextShape = TINY_TEXT
    runs: int = 3
    memory: MemorySize = field(default_factory=MemorySize)


FULL_SIZE = ScoreSize(calls=MIN_CALLS, original=3, speech=SpeechShape(), text=TextShape())
"""The architectures of the real models, with random weights."""


def compare_scoring(size: ScoreSize) -> Comparison:
    """Measures seconds of audio per second from the files of the models and recordings to the answers.

    A run of ours loads the models once. The details add our speed without loading, and the memory of scoring.

    Raises:
        BenchmarkError: the two sides answer an utterance differently, or calls are missing.
    """
    device = resolve_device(AUTO)
    with tempfile.TemporaryDirectory() as folder:
        models = write_models(Path(folder) / "models", size.speech, size.text)
        predictor = models.predictor(device)
        calls = readable_calls(Path(folder) / "demo", size.calls, predictor)
        original, of_reference = OriginalInference(models, device), calls[: size.original]
        difference = largest_difference(predictor, original, calls[:COMPARED_CALLS])  # imports the libraries of both
        timed, timed_reference = in_turns(
            Side(lambda: answers(models.predictor(device), calls), size.runs),
            Side(lambda: [original.answer_call(call) for call in of_reference], size.runs),
        )
        loaded, _ = in_turns(Side(lambda: answers(predictor, calls), size.runs), Side(lambda: None, 1))
        memory = memory_of_scoring(size.memory, Path(folder) / "memory")
    audio_s, reference_s = (sum(call.duration_s for call in side) for side in (calls, of_reference))
    rates = timed.rate(audio_s), timed_reference.rate(reference_s)
    details = {
        "calls": {"ours": len(calls), "reference": len(of_reference)},
        "audio_s": {"ours": round(audio_s, 1), "reference": round(reference_s, 1)},
        "full_size": size.speech is not None,
        "loaded_x_real_time": asdict(loaded.rate(audio_s)),
        "loading_s": timed.duration().median - loaded.duration().median,
        "reference_s_per_call": timed_reference.duration().median / len(of_reference),
        "largest_difference": difference,
        "memory": memory,
        "device": device,
    }
    return by_rate("score", "x real time", *rates, details)


@dataclass(frozen=True)
class Call:
    """A recording, the turns of its label, and its length in seconds."""

    path: Path
    turns: tuple[Turn, ...]
    duration_s: float


def readable_calls(root: Path, calls: int, predictor: Predictor) -> list[Call]:
    """The calls of a demo as files, without the damaged ones."""
    write_demo(root, calls=calls, samples=MIN_SAMPLES)
    found = []
    for recording in find_recordings([StoragePaths(root).landing_calls]).read():
        if isinstance(recording, Recording) and recording.turns and isinstance(recording.audio, bytes):
            path = root / f"{recording.id}.wav"
            path.write_bytes(recording.audio)
            (answer,) = predictor.predict_many([(path, recording.turns)])
            if isinstance(answer, RecordingPrediction):
                found.append(Call(path, recording.turns, answer.duration_ms / 1000))
    return found


def answers(predictor: Predictor, calls: Sequence[Call]) -> list[RecordingPrediction]:
    """The answers of this project.

    Raises:
        BenchmarkError: a call has none.
    """
    given = list(predictor.predict_many((call.path, call.turns) for call in calls))
    answered = [answer for answer in given if isinstance(answer, RecordingPrediction)]
    if len(answered) < len(given):
        raise BenchmarkError(f"{len(answered)} of {len(given)} calls have an answer", "all", "correct `urgency`")
    return answered


Probabilities = dict[str, float]
"""The probability of each class of both tasks."""


class OriginalInference:
    """The reference: all models are loaded for each file, and the whole call is one text and one vector.

    Texts are not padded. Libraries are imported once, which favours the reference.

    Source: the original pipeline's inference script.
    """

    def __init__(self, models: ModelFiles, device: str) -> None:
        self._models = models
        self._device = device

    def answer_call(self, call: Call) -> Probabilities:
        """The answer for a whole call."""
        return self.answer(call.path, [turn.text or "" for turn in call.turns])

    def answer(self, path: Path, texts: Sequence[str], range_ms: tuple[int, int] | None = None) -> Probabilities:
        """The answer for some texts and the audio of a file, or of a range of it."""
        import torch
        from transformers import AutoTokenizer

        network = self._network()
        tokenizer = AutoTokenizer.from_pretrained(self._models.text, local_files_only=True)
        vector = self._vector(path, range_ms)
        text = " ".join(texts) or " "
        tokens = tokenizer(text, truncation=True, max_length=ORIGINAL_LENGTH, return_tensors="pt").to(self._device)
        with torch.no_grad():
            logits = network(tokens["input_ids"], tokens["attention_mask"], vector)
        urgency, sentiment = (scores.softmax(-1)[0].tolist() for scores in logits)
        return dict(zip((*ORIGINAL_URGENCY, *SENTIMENTS), (*urgency, *sentiment), strict=True))

    def _network(self) -> "KoElectraCrossModal":
        import torch
        from transformers import AutoModel

        from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal, ModelConfig

        weights = torch.load(self._models.checkpoint, map_location="cpu", weights_only=True)["model_state_dict"]
        width, audio_width = weights["wav_fc.weight"].shape
        encoder = AutoModel.from_pretrained(self._models.text, local_files_only=True)
        network = KoElectraCrossModal(encoder, ModelConfig(width, audio_width, len(URGENCY_LEVELS), len(SENTIMENTS)))
        network.load_state_dict(weights)
        return network.to(self._device).eval()

    def _vector(self, path: Path, range_ms: tuple[int, int] | None) -> "torch.Tensor":
        """The mean of the frames, float32, (1, 1, D)."""
        import torch
        from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

        extractor = Wav2Vec2FeatureExtractor.from_pretrained(self._models.speech, local_files_only=True)
        with without_notices():  # of the CTC head, which it does not load
            speech = Wav2Vec2Model.from_pretrained(self._models.speech, local_files_only=True).to(self._device).eval()
        inputs = extractor(_waveform(path, range_ms), sampling_rate=SAMPLE_RATE, return_tensors="pt")
        with torch.no_grad():
            hidden: torch.Tensor = speech(inputs.input_values.to(self._device)).last_hidden_state  # (1, T, D)
        return hidden.mean(dim=1, keepdim=True)


def _waveform(path: Path, range_ms: tuple[int, int] | None) -> "np.ndarray":
    import librosa

    waveform, _ = librosa.load(path, sr=SAMPLE_RATE)
    start, end = (int(ms / 1000 * SAMPLE_RATE) for ms in range_ms) if range_ms else (0, len(waveform))
    return waveform[start:end]


def largest_difference(predictor: Predictor, original: OriginalInference, calls: Sequence[Call]) -> float:
    """The largest difference of two probabilities of the first utterance of each call.

    Whole calls are not comparable: the original answers for the joined text and one vector, this project for the mean
    of the utterances. With the text and the range of one utterance, the original must answer as this project does.

    Raises:
        BenchmarkError: the difference is above TOLERANCE.
    """
    difference = 0.0
    for call, answer in zip(calls, answers(predictor, calls), strict=True):
        first = answer.utterances[0]
        ours = {name: p for task in (first.urgency, first.sentiment) if task for name, p in task.probabilities.items()}
        turn = first.turn
        reference = original.answer(call.path, [turn.text or ""], (turn.start_ms, turn.end_ms))
        difference = max([difference, *(abs(ours[name] - reference[name]) for name in reference)])
    if not difference <= TOLERANCE:
        raise BenchmarkError(
            f"the two sides answer an utterance with a difference of {difference:.1e}",
            f"at most {TOLERANCE}",
            "correct `urgency`",
        )
    return difference

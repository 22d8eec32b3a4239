"""Recognition by a Whisper model, through transformers, on this machine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from urgency_dagster import calls
from urgency_dagster.errors import ModelError
from urgency_dagster.listening.recognition.recogniser import Segment, Transcript, composed
from urgency_dagster.listening.turns import Listening
from urgency_dagster.pretrained import PretrainedModel, check_weights, loading_errors, without_notices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LANGUAGE, LANGUAGE_TOKEN = "ko", "<|ko|>"
"""Calls are in Korean. Without it, Whisper guesses the language of every segment."""

WINDOW_S = 30
"""Seconds of audio in one pass. Source: Whisper is trained on windows of 30 s."""

BATCH = 8
"""Windows in one pass. Each has the size of WINDOW_S, however short its speech is."""

REMEDY = "set URGENCY_RECOGNISER to `whisper:` and another model"


@dataclass(frozen=True)
class WhisperRecogniser:
    """A Whisper model with greedy decoding: the same audio gives the same text.

    Attributes:
        network: the model in eval mode, float32, on its device.
        extractor: makes its input from waveforms.
        tokenizer: its tokenizer.
    """

    network: Any
    extractor: Any
    tokenizer: Any
    listening: Listening = "whisper"
    needs_tokens: bool = False

    def transcripts(self, segments: Sequence[Segment]) -> list[Transcript]:
        """See `Recogniser.transcripts`."""
        windows = [(number, part) for number, segment in enumerate(segments) for part in _windows(segment.waveform)]
        texts: list[list[str]] = [[] for _ in segments]
        for start in range(0, len(windows), BATCH):
            batch = windows[start : start + BATCH]
            recognised = self._texts([part for _, part in batch])
            for (number, _), text in zip(batch, recognised, strict=True):
                texts[number].append(text)
        return [Transcript(composed(" ".join(parts))) for parts in texts]

    def _texts(self, waveforms: "Sequence[NDArray[np.float32]]") -> list[str]:
        import torch

        inputs = self.extractor(
            list(waveforms), sampling_rate=calls.SAMPLE_RATE, return_attention_mask=True, return_tensors="pt"
        ).to(self.network.device)
        with torch.inference_mode():
            tokens = self.network.generate(
                **inputs, language=LANGUAGE, task="transcribe", do_sample=False, num_beams=1, return_timestamps=False
            )
        texts: list[str] = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts


def _windows(waveform: "NDArray[np.float32]") -> "Iterator[NDArray[np.float32]]":
    """The smallest number of equal parts of at most WINDOW_S."""
    import numpy as np

    yield from np.array_split(waveform, max(1, -(-len(waveform) // (WINDOW_S * calls.SAMPLE_RATE))))


def load_whisper_recogniser(source: PretrainedModel, device: str) -> WhisperRecogniser:
    """Loads a Whisper model from its folder.

    Args:
        source: the folder and the identity of the model.
        device: a torch device.

    Raises:
        ModelError: the folder has no usable Whisper model, or the model does not know Korean.
    """
    import torch
    from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration

    try:
        extractor = WhisperFeatureExtractor.from_pretrained(source.folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(source.folder, local_files_only=True)
        with without_notices():
            network, report = WhisperForConditionalGeneration.from_pretrained(
                source.folder, dtype=torch.float32, local_files_only=True, weights_only=True, output_loading_info=True
            )
    except loading_errors() as error:
        found = f"{source.name} cannot be loaded as a Whisper model ({type(error).__name__})"
        raise ModelError(found, "a Whisper model with its feature extractor and tokenizer", REMEDY) from error
    check_weights(source.name, network, report, unused=(), remedy=REMEDY)
    if LANGUAGE_TOKEN not in (getattr(network.generation_config, "lang_to_id", None) or {}):
        raise ModelError(f"{source.name} does not know Korean", "a multilingual Whisper model", REMEDY)
    return WhisperRecogniser(network.eval().to(device), extractor, tokenizer)

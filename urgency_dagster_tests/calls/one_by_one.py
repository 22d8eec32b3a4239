"""The original's way of embedding, by transformers alone, for comparison; and segments to compare."""

import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModel

from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.pretrained import PretrainedModel


class OneByOne:
    """No batch, no padding, mean over all frames, float32."""

    def __init__(self, model: PretrainedModel) -> None:
        self._extractor = AutoFeatureExtractor.from_pretrained(model.folder)
        self._network = AutoModel.from_pretrained(model.folder, dtype=torch.float32).eval()

    def frames(self, waveform: np.ndarray) -> np.ndarray:
        """The last hidden state of a segment as it was recorded, (T, D)."""
        inputs = self._extractor(waveform, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_values
        return self.hidden(inputs)

    def hidden(self, inputs: torch.Tensor) -> np.ndarray:
        """The last hidden state of a normalised segment, (T, D)."""
        with torch.inference_mode():
            hidden: np.ndarray = self._network(inputs).last_hidden_state[0].numpy()
        return hidden

    def vector(self, waveform: np.ndarray) -> np.ndarray:
        """The embedding of a segment, (D,)."""
        vector: np.ndarray = self.frames(waveform).mean(axis=0)
        return vector

    def spans(self, waveform: np.ndarray, tokens: int) -> np.ndarray:
        """The embeddings of the spans of a segment, (T, D)."""
        return span_means(self.frames(waveform), tokens)

    def vectors(self, waveforms: list[np.ndarray]) -> np.ndarray:
        """The embeddings of some segments, (N, D)."""
        return np.stack([self.vector(waveform) for waveform in waveforms])


def span_means(frames: np.ndarray, tokens: int) -> np.ndarray:
    """The means over equal spans of frames, (T, D)."""
    count = len(frames)
    return np.stack([frames[count * t // tokens : count * (t + 1) // tokens].mean(axis=0) for t in range(tokens)])


def segments(*lengths: int) -> list[np.ndarray]:
    """Noise around different levels, so that a wrong normalisation shows."""
    rng = np.random.default_rng(0)
    return [rng.normal(rng.normal(), 0.1 + rng.random(), n).astype(np.float32) for n in lengths]

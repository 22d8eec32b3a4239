"""Segments to vectors: batches by length, against one segment at a time, through the same full-size encoder.

The weights are random: they cost the same arithmetic as trained ones, and nothing is downloaded.
"""

import itertools
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from urgency_dagster.bench.measure import Side, in_turns
from urgency_dagster.bench.report import Comparison, by_rate
from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.calls.embeddings import EmbeddingConfig, SpeechEncoder, embed_in_batches
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.pretrained import PretrainedModel

if TYPE_CHECKING:
    import numpy as np
    from transformers import Wav2Vec2Config

MEDIAN_S, P5_S, P95_S, FLOOR_S = 1.43, 0.43, 5.42, 0.5
"""Lengths of utterances, and the shortest that is kept. Source: measured by users of AI Hub's data set 71768."""

TOLERANCE = 1e-4
"""How far two float32 vectors of one segment may be apart in any element."""

GEMM_SIZE = 2048
"""Large enough that a matrix product reaches the processor's peak, small enough to repeat."""


@dataclass(frozen=True)
class SpeechShape:
    """The encoder's architecture. Source: XLSR-53 large, from which the pipeline's Korean model was fine-tuned."""

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096

    def config(self) -> "Wav2Vec2Config":
        """Layer-norm extractor with biases and stable layer norm, as in the XLSR family; the rest is the library's."""
        from transformers import Wav2Vec2Config

        return Wav2Vec2Config(**asdict(self), conv_bias=True, feat_extract_norm="layer", do_stable_layer_norm=True)


@dataclass(frozen=True)
class EmbedSize:
    """How much is embedded.

    Attributes:
        audio_s: seconds of audio, about; a spot should fill a batch of 30 s.
        spots: at how many places of the length distribution segments are taken.
        shape: of the encoder.
        runs: how often each side is timed.
    """

    audio_s: float = 60.0
    spots: int = 2
    shape: SpeechShape = SpeechShape()
    runs: int = 3


def compare_embedding(size: EmbedSize) -> Comparison:
    """Seconds of audio per second of both ways, in fp32 on the best device there is.

    Raises:
        BenchmarkError: the two ways give different vectors.
    """
    spots = [draw_segments(lengths) for lengths in lengths_by_spot_s(size.audio_s, size.spots)]
    segments = [segment for spot in spots for segment in spot]
    audio_s = sum(len(segment) for segment in segments) / SAMPLE_RATE
    with tempfile.TemporaryDirectory() as folder:
        write_speech_model(Path(folder), size.shape)
        encoder = SpeechEncoder(PretrainedModel("random", Path(folder), "local"))
        original = OriginalLoop(Path(folder), encoder.device)
    for embed in (encoder.embed, original.embed):
        embed(segments[:1])  # the first pass chooses kernels and allocates

    def embed_spots() -> "list[np.ndarray]":
        return [embed_in_batches(encoder, spot, EmbeddingConfig.batch_audio_s) for spot in spots]

    peak_before = gemm_peak_gflops(encoder.device)
    ours, reference = in_turns(Side(embed_spots, size.runs), Side(lambda: original.embed(segments), size.runs))
    peak = max(peak_before, gemm_peak_gflops(encoder.device))
    gflop = model_gflop(size.shape, segments)
    details = {
        "segments": len(segments),
        "audio_s": round(audio_s, 3),
        "precision": "float32",
        "device": encoder.device,
        "largest_difference": largest_difference(ours.result, reference.result),
        "gflop_per_audio_s": gflop / audio_s,
        "gemm_peak_gflop_per_s": peak,
        "share_of_peak": {
            "ours": ours.rate(gflop).median / peak,
            "reference": reference.rate(gflop).median / peak,
        },
    }
    return by_rate("embed", "x real time", ours.rate(audio_s), reference.rate(audio_s), details)


def lengths_by_spot_s(audio_s: float, spots: int) -> list[list[float]]:
    """Lengths of about `audio_s` seconds together, taken at places that divide the audio of a window evenly.

    A run sorts a window of a thousand segments by length, so those of one batch are nearly equal. A few segments spread
    over all lengths would not be, and would be padded more than in a run; therefore neighbours are taken.
    """
    window = kept_lengths_s(EmbeddingConfig.window_utterances)
    until = list(itertools.accumulate(window))
    half = audio_s / spots / 2
    middles = [until[-1] * (spot + 0.5) / spots for spot in range(spots)]
    return [
        [length for length, end in zip(window, until, strict=True) if middle - half < end <= middle + half]
        for middle in middles
    ]


def kept_lengths_s(count: int) -> list[float]:
    """Evenly spaced quantiles, in seconds, of the part of the length distribution that is kept, shortest first.

    The distribution is a log-normal one whose halves have different widths, so that all three known quantiles hold.
    """
    normal = statistics.NormalDist()
    below, above = (math.log(ratio) / normal.inv_cdf(0.95) for ratio in (MEDIAN_S / P5_S, P95_S / MEDIAN_S))
    lowest = normal.cdf(math.log(FLOOR_S / MEDIAN_S) / below)
    scores = [normal.inv_cdf(lowest + (1 - lowest) * (i + 0.5) / count) for i in range(count)]
    return [MEDIAN_S * math.exp(z * (above if z > 0 else below)) for z in scores]


def draw_segments(lengths_s: Sequence[float]) -> "list[np.ndarray]":
    """Segments of noise of these lengths, mono float32 at 16 kHz."""
    import numpy as np

    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.1, int(length * SAMPLE_RATE)).astype(np.float32) for length in lengths_s]


def write_speech_model(folder: Path, shape: SpeechShape) -> None:
    """An encoder with random weights and its feature extractor, as `save_pretrained` writes them."""
    import torch
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Wav2Vec2Model(shape.config()).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(sampling_rate=SAMPLE_RATE, return_attention_mask=True).save_pretrained(folder)


class OriginalLoop:
    """The reference: processor and model one segment at a time, in fp32, the frames averaged.

    Source: the original pipeline's preprocessing.
    """

    def __init__(self, folder: Path, device: str) -> None:
        from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

        self._processor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
        self._model = Wav2Vec2Model.from_pretrained(folder).to(device).eval()
        self._device = device

    def embed(self, segments: "Sequence[np.ndarray]") -> "np.ndarray":
        """The vectors, float32, (N, D)."""
        import numpy as np
        import torch

        vectors = []
        for segment in segments:
            inputs = self._processor(segment, sampling_rate=SAMPLE_RATE, return_tensors="pt", padding=True)
            with torch.no_grad():
                hidden = self._model(inputs.input_values.to(self._device)).last_hidden_state  # (1, T, D)
            vectors.append(hidden.mean(dim=1).squeeze(0).cpu().numpy())
        return np.stack(vectors)


def model_gflop(shape: SpeechShape, segments: "Sequence[np.ndarray]") -> float:
    """The GFLOP that the segments themselves need, without padding, counted on a model without weights."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import Wav2Vec2Model

    with torch.device("meta"):
        model = Wav2Vec2Model(shape.config()).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            for segment in segments:
                model(torch.empty(1, len(segment)))
    return counter.get_total_flops() / 1e9


def gemm_peak_gflops(device: str, size: int = GEMM_SIZE, runs: int = 5) -> float:
    """The GFLOP per second of the fastest of some square float32 matrix products."""
    import torch

    matrix = torch.ones(size, size, device=device)

    def multiply() -> float:
        return float((matrix @ matrix)[0, 0])  # reading a number waits for a GPU

    multiply()
    timed, _ = in_turns(Side(multiply, runs), Side(lambda: None, 1))
    return 2 * size**3 / timed.duration().low / 1e9


def largest_difference(ours: "Sequence[np.ndarray]", reference: "np.ndarray") -> float:
    """The largest difference of two elements.

    Raises:
        BenchmarkError: it is above TOLERANCE.
    """
    import numpy as np

    difference = float(np.abs(np.concatenate(ours) - reference).max())
    if not difference <= TOLERANCE:
        raise BenchmarkError(
            f"the two ways give vectors that differ by {difference:.1e}", f"at most {TOLERANCE}", "correct the batching"
        )
    return difference

"""Benchmark `embed`: the embedding step including decoding; the reference is the original's loop over segments.

Both use the same full-size encoder with random weights, which need the same arithmetic as trained ones.
"""

import math
import random
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.decode import CALL_RATE_HZ
from benchmarks.measure import Side, Timing, in_turns
from benchmarks.memory import ARCHIVE, growth_of_memory, make_table, write_extracted
from benchmarks.prosody import processor_s, prosody_cost
from benchmarks.report import Comparison, by_rate
from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.calls.embedding.archive import (
    audio_seconds,
    embed_rows,
    utterance_rows,
)
from urgency_dagster.calls.embedding.configuration import EmbeddingConfig
from urgency_dagster.calls.embedding.encoder import FLOAT32
from urgency_dagster.calls.embedding.preparation import PreparedEncoder, prepare_encoder
from urgency_dagster.calls.embedding.speech_model import load_speech_model
from urgency_dagster.calls.embedding.summary import EmbeddingSummary
from urgency_dagster.calls.embedding.verification import Verification
from urgency_dagster.calls.segments import Recording, decoded_segments, recording_segments
from urgency_dagster.devices import AUTO, matmul_gflops, resolve_device
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import find_pretrained

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from transformers import Wav2Vec2Config

MEDIAN_S, P5_S, P95_S, FLOOR_S = 1.43, 0.43, 5.42, 0.5
"""Quantiles of the length of utterances in seconds, and the minimum of kept ones. Source: AI Hub data set 71768."""

UTTERANCES_PER_CALL = 30
"""Source: the mean of the data set."""

DECODING_PASSES = 20
"""Number of passes over the archive in one run, so that the start of the workers has little weight."""

GEMM_SIZE = 2048
"""Matrix size of the peak measurement: large enough for the peak of the processor, small enough to repeat."""


@dataclass(frozen=True)
class SpeechShape:
    """The encoder's architecture. Source: XLSR-53 large, from which the pipeline's Korean model was fine-tuned."""

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    conv_dim: tuple[int, ...] = (512,) * 7

    def config(self) -> "Wav2Vec2Config":
        """Layer-norm extractor with biases and stable layer norm, as in the XLSR family; the rest is the library's."""
        from transformers import Wav2Vec2Config

        return Wav2Vec2Config(**asdict(self), conv_bias=True, feat_extract_norm="layer", do_stable_layer_norm=True)


@dataclass(frozen=True)
class EmbedSize:
    """The size of the benchmark.

    Attributes:
        calls: number of calls with 30 utterances each; their lengths have the distribution of the data set.
        original: number of utterances of the reference, which is slow; evenly spaced quantiles of the same lengths.
        shape: architecture of the encoder.
        runs: number of timed runs of each side.
        float32_runs: number of timed runs of our side in float32.
        few: approximate utterances of the smaller archive of the memory measurement, with a tiny encoder.
        many: approximate utterances of the larger archive.
        gpu_scale: factor of `calls` on a GPU.
    """

    calls: int = 12
    original: int = 48
    shape: SpeechShape = SpeechShape()
    runs: int = 3
    float32_runs: int = 2
    few: int = 2_000
    many: int = 20_000
    gpu_scale: int = 30


def compare_embedding(size: EmbedSize) -> Comparison:
    """Measures seconds of audio per second: the step with `precision: auto`, and the original's loop in float32.

    The details add: our side in float32, the verifications, the seconds of loading and verification, the share of the
    peak of the processor, and the memory of the step.

    Raises:
        BenchmarkError: our vectors fail the verification, or an archive is incomplete.
    """
    device = resolve_device(AUTO)
    if device.startswith("cuda"):
        size = replace(size, calls=size.calls * size.gpu_scale)
    with tempfile.TemporaryDirectory() as folder:
        step = EmbeddingStep.on_new_archive(Path(folder), size)
        original = OriginalLoop(step.model_folder, device)
        segments = draw_segments(kept_lengths_s(size.original))
        original.embed(segments[:2])  # the first passes choose kernels and allocate
        chosen, exact = step.prepared(AUTO), step.prepared(FLOAT32)
        step.run(chosen)
        ours, reference = in_turns(
            Side(lambda: step.run(chosen), size.runs), Side(lambda: original.embed(segments), size.runs)
        )
        ours_exact, _ = in_turns(Side(lambda: step.run(exact), size.float32_runs), Side(lambda: None, 1))
        few, many = (utterances // UTTERANCES_PER_CALL for utterances in (size.few, size.many))
        decoding = decoding_rate(step)
        prosody = prosody_cost(step.paths, processor_s(lambda: step.run(chosen)), step.audio_s)
        memory = growth_of_memory(("table", "embed", "prosody"), step.recordings, few, many, Path(folder) / "memory")
    reference_s = sum(map(len, segments)) / SAMPLE_RATE
    gflop_per_s = model_gflop(size.shape, segments) / reference_s
    rates = ours.rate(step.audio_s), reference.rate(reference_s)
    details = {
        "audio_s": {"ours": round(step.audio_s, 1), "reference": round(reference_s, 1)},
        "utterances": {"ours": step.rows.num_rows, "reference": len(segments)},
        "gflop_per_audio_s": gflop_per_s,
        "chosen": _figures(step, ours, gflop_per_s, rates[1].median),
        "float32": _figures(step, ours_exact, gflop_per_s, rates[1].median),
        "reference_share_of_peak": rates[1].median * gflop_per_s / matmul_gflops(device, FLOAT32, GEMM_SIZE),
        "prepare_s": {"chosen": chosen.seconds, "float32": exact.seconds},
        "decoding": decoding,
        "prosody": prosody,
        "memory": memory,
    }
    return by_rate("embed", "x real time", *rates, details)


def _figures(
    step: "EmbeddingStep", timed: "Timing[EmbeddingSummary]", gflop_per_s: float, reference: float
) -> dict[str, Any]:
    """The figures of our side in one precision.

    Raises:
        BenchmarkError: the vectors fail the verification.
    """
    summary, rate = timed.result, timed.rate(step.audio_s)
    check_verified(summary.verification)
    precision = summary.made_with["precision"]
    peak = matmul_gflops(summary.device, precision, GEMM_SIZE)
    return {
        "engine": summary.engine,
        "device": summary.device,
        "precision": precision,
        "x_real_time": asdict(rate),
        "ratio": rate.median / reference,
        "gemm_peak_gflop_per_s": peak,
        "share_of_peak": rate.median * gflop_per_s / peak,
        "verification": asdict(summary.verification),
    }


def check_verified(verification: Verification) -> None:
    """Checks that the vectors equal the reference vectors.

    Raises:
        BenchmarkError: the verification failed.
    """
    if not verification.passed:
        raise BenchmarkError(
            f"the vectors differ from the reference ({verification})", verification.bound, "correct the encoder"
        )


@dataclass(frozen=True)
class TimedPreparation:
    """An encoder that is ready, and the seconds that loading, converting, choosing and the reference took."""

    prepared: PreparedEncoder
    config: EmbeddingConfig
    seconds: float


@dataclass(frozen=True)
class EmbeddingStep:
    """The step on an archive of its own.

    Attributes:
        paths: the storage root.
        model_folder: of the full-size encoder.
        recordings: of the archive.
        rows: of its utterance table.
        audio_s: of all rows.
    """

    paths: StoragePaths
    model_folder: Path
    recordings: Sequence[Recording]
    rows: "pa.Table"
    audio_s: float

    @classmethod
    def on_new_archive(cls, folder: Path, size: EmbedSize) -> "EmbeddingStep":
        """Writes the encoder, the recordings and the utterance table."""
        paths, model_folder = StoragePaths(folder / "step"), folder / "full_size"
        write_speech_model(model_folder, size.shape)
        lengths_s = kept_lengths_s(min(size.calls, 12) * UTTERANCES_PER_CALL)
        recordings = write_calls(folder, lengths_s)
        write_extracted(paths, recordings, size.calls)
        make_table(str(paths.root))
        rows = utterance_rows(paths, ARCHIVE)
        return cls(paths, model_folder, recordings, rows, audio_seconds(rows))

    def prepared(self, precision: str) -> TimedPreparation:
        """The encoder that the step uses for a precision."""
        config = EmbeddingConfig(precision=precision)
        model = find_pretrained(str(self.model_folder), "URGENCY_SPEECH_MODEL")
        timed, _ = in_turns(
            Side(lambda: prepare_encoder(self.paths.root, self.rows, load_speech_model(model), config), 1),
            Side(lambda: None, 1),
        )
        return TimedPreparation(timed.result, config, timed.duration().median)

    def run(self, ready: TimedPreparation) -> EmbeddingSummary:
        """Decodes, embeds and writes every utterance, without reuse of former vectors."""
        files = self.paths.archive(ARCHIVE)
        files.embeddings.unlink(missing_ok=True)
        shutil.rmtree(files.shards, ignore_errors=True)
        return embed_rows(self.paths, ARCHIVE, self.rows, ready.prepared, ready.config)


def decoding_rate(step: EmbeddingStep) -> dict[str, float]:
    """Measures the seconds of audio per second of decoding and cutting, in one process and in all workers."""

    def all_workers() -> int:
        return sum(len(segments) for segments in decoded_segments([step.rows] * DECODING_PASSES, step.paths.root, -1))

    def one_process() -> int:
        return sum(len(recording_segments(recording)) for recording in step.recordings)

    one_process()
    workers, alone = in_turns(Side(all_workers, 3), Side(one_process, 3))
    recordings_s = sum(end - start for r in step.recordings for start, end in r.times_ms) / 1000
    return {
        "workers_x_real_time": workers.rate(step.audio_s * DECODING_PASSES).median,
        "one_process_x_real_time": alone.rate(recordings_s).median,
    }


def kept_lengths_s(count: int) -> list[float]:
    """Evenly spaced quantiles of the length of kept utterances in seconds, ascending.

    The distribution is log-normal with a different width on each side of the median, to fit all three known quantiles.
    """
    normal = statistics.NormalDist()
    below, above = (math.log(ratio) / normal.inv_cdf(0.95) for ratio in (MEDIAN_S / P5_S, P95_S / MEDIAN_S))
    lowest = normal.cdf(math.log(FLOOR_S / MEDIAN_S) / below)
    scores = [normal.inv_cdf(lowest + (1 - lowest) * (i + 0.5) / count) for i in range(count)]
    return [MEDIAN_S * math.exp(z * (above if z > 0 else below)) for z in scores]


def write_calls(folder: Path, lengths_s: Sequence[float]) -> list[Recording]:
    """Writes calls of noise as 8 kHz PCM16 WAV files, each with UTTERANCES_PER_CALL utterances of shuffled lengths."""
    import numpy as np
    import soundfile

    shuffled = [round(length * 1000) for length in lengths_s]
    random.Random(0).shuffle(shuffled)  # noqa: S311 - a shuffle, not a secret
    recordings = []
    for call in range(0, len(shuffled), UTTERANCES_PER_CALL):
        ends = np.cumsum(shuffled[call : call + UTTERANCES_PER_CALL]).tolist()
        times = list(zip([0, *ends[:-1]], ends, strict=True))
        path = folder / f"{call:024x}_20230101.wav"
        samples = np.random.default_rng(call).normal(0, 0.1, (ends[-1] + 1) * CALL_RATE_HZ // 1000)
        soundfile.write(path, samples, CALL_RATE_HZ, subtype="PCM_16")
        recordings.append(Recording(path, times))
    return recordings


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
    """The reference: processor and model one segment at a time, in fp32, the frames averaged. It decodes nothing.

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
    """The GFLOP of the segments without padding, counted on a model without weights."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import Wav2Vec2Model

    with torch.device("meta"):
        model = Wav2Vec2Model(shape.config()).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            for segment in segments:
                model(torch.empty(1, len(segment)))
    return float(counter.get_total_flops()) / 1e9

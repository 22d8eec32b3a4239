"""Kept utterances become wav2vec2 vectors, one per row of the utterance table and in its order.

An embedding is the mean over the valid frames of the last hidden state of that segment alone. Batching must not
change it: each segment is normalised alone, padding is masked, and models that cannot mask are not padded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from urgency_dagster.calls.audio import SAMPLE_RATE, cut, load_waveform
from urgency_dagster.calls.workers import ordered_map
from urgency_dagster.devices import AUTO, resolve_device
from urgency_dagster.errors import ArtefactError, ModelError
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.progress import Progress, silent
from urgency_dagster.storage import StoragePaths, replacing
from urgency_dagster.tables import EMBEDDING, embeddings_schema

if TYPE_CHECKING:
    import numpy as np

GROUP_NORM = "group"
"""`feat_extract_norm` of models whose first layer normalises over time, padding included: never pad them."""


MASK_ONLY = {"masked_spec_embed"}
"""A parameter of pretraining that some checkpoints lack and inference does not use."""


@dataclass(frozen=True)
class EmbeddingConfig:
    """How segments are batched and where the model runs; the vectors do not depend on it.

    Attributes:
        batch_audio_s: seconds of audio in one batch, padding included.
        window_utterances: utterances that are sorted by length and written together.
        device: `auto` (cuda, else mps, else cpu) or a torch device.
        workers: processes that decode and resample; -1 is one per core.
    """

    batch_audio_s: float = 30.0
    window_utterances: int = 1024
    device: str = AUTO
    workers: int = -1


class SpeechEncoder:
    """A wav2vec2-family model in eval mode that turns segments into mean-pooled vectors.

    Args:
        model: where the files lie.
        device: `auto` or a torch device.

    Raises:
        ModelError: the folder holds no usable speech model, or one whose frames cannot be counted.
        SettingsError: the device cannot be used.
    """

    def __init__(self, model: PretrainedModel, device: str = AUTO) -> None:
        self._extractor, self._model = _load(model)
        config = self._model.config
        frames_known = hasattr(config, "conv_kernel") and not getattr(config, "add_adapter", False)
        if not frames_known or self._extractor.sampling_rate != SAMPLE_RATE:
            raise ModelError(
                f"{model.name} is a {config.model_type} for {self._extractor.sampling_rate} Hz",
                f"a wav2vec2-family encoder without an adapter, for {SAMPLE_RATE} Hz",
                "set URGENCY_SPEECH_MODEL to one",
            )
        self.source = model
        self.width: int = config.hidden_size
        self.can_pad: bool = getattr(config, "feat_extract_norm", GROUP_NORM) != GROUP_NORM
        self.device = resolve_device(device)
        self._model.to(self.device).eval()

    def frames(self, samples: int) -> int:
        """The frames that the convolutions make of a segment.

        Source: the output length of an unpadded convolution, (n - kernel) // stride + 1, layer by layer.
        """
        for kernel, stride in zip(self._model.config.conv_kernel, self._model.config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    def embed(self, segments: "Sequence[np.ndarray]") -> "np.ndarray":
        """The vectors of some segments, float32 of shape (B, D).

        Args:
            segments: mono float32 at 16 kHz; all of one length if the model cannot be padded.
        """
        import torch

        inputs = self._extractor(
            list(segments),
            sampling_rate=SAMPLE_RATE,
            padding=True,
            return_attention_mask=self.can_pad,
            return_tensors="pt",
        ).to(self.device)
        with torch.inference_mode():
            hidden = self._model(**inputs).last_hidden_state  # (B, T, D)
        frames = torch.tensor([self.frames(len(segment)) for segment in segments], device=self.device)
        valid = torch.arange(hidden.shape[1], device=self.device) < frames[:, None]  # (B, T)
        pooled = (hidden.float() * valid[:, :, None]).sum(dim=1) / frames[:, None]
        return pooled.cpu().numpy()


def _load(model: PretrainedModel) -> tuple[Any, Any]:
    """The feature extractor and the model of a folder.

    Raises:
        ModelError: one is missing or damaged, or the model lacks weights, which would be filled with random ones.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers import AutoFeatureExtractor, AutoModel

    # OSError to RuntimeError: files and sizes; EOFError and UnpicklingError: `pytorch_model.bin`.
    unusable = (OSError, ValueError, RuntimeError, EOFError, UnpicklingError, SafetensorError, StrictDataclassError)
    needed = ("a wav2vec2-family model with its feature extractor", "set URGENCY_SPEECH_MODEL to one")
    try:
        extractor = AutoFeatureExtractor.from_pretrained(model.folder, local_files_only=True)
        encoder, report = AutoModel.from_pretrained(model.folder, local_files_only=True, output_loading_info=True)
    except unusable as error:
        raise ModelError(
            f"{model.name} cannot be loaded as a speech model ({type(error).__name__})", *needed
        ) from error
    if missing := set(report["missing_keys"]) - MASK_ONLY:
        raise ModelError(f"{model.name} holds no weights for {len(missing)} of its parameters", *needed)
    return extractor, encoder


def batches(lengths: Sequence[int], samples_max: int, can_pad: bool) -> Iterator[list[int]]:
    """Positions grouped so that a batch, padded to its longest, holds at most `samples_max` samples.

    A segment longer than that is a batch of its own. Without padding only equal lengths share a batch.
    """
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        full = batch and (len(batch) + 1) * lengths[batch[0]] > samples_max
        if batch and (full or (not can_pad and lengths[position] != lengths[batch[0]])):
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def embed_in_batches(encoder: SpeechEncoder, segments: "Sequence[np.ndarray]", batch_audio_s: float) -> "np.ndarray":
    """The vectors of many segments in their order, float32 of shape (N, D)."""
    import numpy as np

    vectors = np.empty((len(segments), encoder.width), dtype=np.float32)
    lengths = [len(segment) for segment in segments]
    for positions in batches(lengths, int(batch_audio_s * SAMPLE_RATE), encoder.can_pad):
        vectors[positions] = encoder.embed([segments[i] for i in positions])
    return vectors


def embed_archive(
    paths: StoragePaths, archive: str, encoder: SpeechEncoder, config: EmbeddingConfig, progress: Progress = silent
) -> dict[str, Any]:
    """Writes `embeddings.parquet`: one vector per row of `utterances.parquet`, in its order.

    Returns:
        Counts of utterances and calls, seconds of audio, the width and the device.

    Raises:
        ArtefactError: the archive has no utterance table.
    """
    table = _utterance_table(paths, archive)
    schema = embeddings_schema(encoder.width).with_metadata(
        {"model": encoder.source.name, "revision": encoder.source.revision, "precision": "float32"}
    )
    target = paths.archive(archive).embeddings
    with replacing(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        done = 0
        for rows, segments in _windows(table, paths.root, config):
            vectors = embed_in_batches(encoder, segments, config.batch_audio_s)
            writer.write_table(_embedding_rows(rows, vectors, schema))
            done += len(segments)
            progress(done, table.num_rows)
    return {
        "utterances": table.num_rows,
        "calls": len(table["_id"].unique()),
        "audio_s": round(sum(table["duration_s"].to_pylist()), 3),
        "width": encoder.width,
        "device": encoder.device,
    }


def _utterance_table(paths: StoragePaths, archive: str) -> pa.Table:
    source = paths.archive(archive).utterances
    if not source.is_file():
        raise ArtefactError(f"{archive} has no utterances.parquet", "an utterance table", "materialise utterances")
    return pq.read_table(source, columns=["_id", "utterance_id", "wav_file_path", "startAt", "endAt", "duration_s"])


def _windows(table: pa.Table, root: Path, config: EmbeddingConfig) -> "Iterator[tuple[pa.Table, list[np.ndarray]]]":
    """Slices of the table with the segments of their rows; calls are decoded ahead in worker processes."""
    slices = [(piece, _recordings(piece, root)) for piece in _whole_calls(table, config.window_utterances)]
    recordings = (recording for _, of_piece in slices for recording in of_piece)
    decoded = ordered_map(recording_segments, recordings, config.workers)
    for piece, of_piece in slices:
        yield piece, [segment for _ in of_piece for segment in next(decoded)]


def _whole_calls(table: pa.Table, rows_max: int) -> Iterator[pa.Table]:
    """The table in slices of about `rows_max` rows that end between two calls."""
    ids = table["_id"].to_pylist()
    start = 0
    for row in range(1, len(ids) + 1):
        ended = row == len(ids) or ids[row] != ids[row - 1]
        if ended and (row - start >= rows_max or row == len(ids)):
            yield table.slice(start, row - start)
            start = row


@dataclass(frozen=True)
class Recording:
    """A recording and the times in ms of its utterances, in row order."""

    path: Path
    times_ms: list[tuple[int, int]]


def _recordings(piece: pa.Table, root: Path) -> list[Recording]:
    times: dict[str, list[tuple[int, int]]] = {}
    for row in piece.select(["wav_file_path", "startAt", "endAt"]).to_pylist():
        times.setdefault(row["wav_file_path"], []).append((row["startAt"], row["endAt"]))
    return [Recording(root / path, of_path) for path, of_path in times.items()]


def recording_segments(recording: Recording) -> "list[np.ndarray]":
    """The segments of one recording, which is decoded and resampled once."""
    waveform = load_waveform(recording.path)
    return [cut(waveform, start_ms, end_ms) for start_ms, end_ms in recording.times_ms]


def _embedding_rows(rows: pa.Table, vectors: "np.ndarray", schema: pa.Schema) -> pa.Table:
    flat = pa.array(vectors.reshape(-1), type=pa.float32())
    column = pa.FixedSizeListArray.from_arrays(flat, type=schema.field(EMBEDDING).type)
    columns = [rows["_id"].combine_chunks(), rows["utterance_id"].combine_chunks(), column]
    return pa.Table.from_arrays(columns, schema=schema)

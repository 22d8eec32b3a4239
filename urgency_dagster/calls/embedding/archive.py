"""Kept utterances become wav2vec2 vectors, one per row of the utterance table and in its order.

An embedding is the mean over the valid frames of the last hidden state of that segment alone, or over each of several
equal spans of them. Neither batching nor the library nor the precision may change it beyond a stated bound, and a
sample of every archive proves that they did not.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.calls.embedding.batching import Budget, embed_segments
from urgency_dagster.calls.embedding.choice import encoders
from urgency_dagster.calls.embedding.configuration import EmbeddingConfig
from urgency_dagster.calls.embedding.encoder import FLOAT32, Encoder
from urgency_dagster.calls.embedding.shards import AUDIO_TOKENS, VERIFIED, FormerVectors, Shard, plan_shards, vectors_at
from urgency_dagster.calls.embedding.speech_model import SpeechModel, load_speech_model
from urgency_dagster.calls.embedding.throughput import Throughput
from urgency_dagster.calls.embedding.torch_encoder import ReferenceEncoder
from urgency_dagster.calls.embedding.verification import MIN_UTTERANCES_FOR_COSINE, Verification, sample_rows, verify
from urgency_dagster.calls.segments import decoded_pieces
from urgency_dagster.calls.table.rows import MIN_DURATION_MS
from urgency_dagster.calls.versions import RECIPE
from urgency_dagster.calls.workers import one_ahead
from urgency_dagster.errors import ArtefactError, SettingsError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.progress import Progress, silent
from urgency_dagster.tables import EMBEDDING, VECTOR_KEY, embeddings_schema
from urgency_dagster.writing import replacing

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Counts:
    """How many utterances, and where their vectors came from.

    Attributes:
        utterances: rows of the table.
        calls: calls of the table.
        computed: utterances embedded now.
        reused: utterances whose vectors were in the former file.
        resumed: utterances of shards that a run before had finished.
        shards: of the archive.
        resumed_shards: of those, finished before.
    """

    utterances: int
    calls: int
    computed: int
    reused: int
    resumed: int
    shards: int
    resumed_shards: int


@dataclass(frozen=True)
class EmbeddingSummary:
    """What was embedded, on what, how fast, and the proof.

    Attributes:
        counts: of utterances and shards.
        audio_s: seconds of audio of all rows.
        width: of a vector.
        made_with: model, revision, hash of the weights, precision and the rest that makes the vectors what they are.
        engine: the library.
        device: where it ran.
        seconds: that embedding, decoding and writing took, without loading the model and the proof.
        figures: the rates of `Throughput.figures`, of what was embedded now.
        points: as `Throughput.points`.
        proof: of a sample.
    """

    counts: Counts
    audio_s: float
    width: int
    made_with: Mapping[str, str]
    engine: str
    device: str
    seconds: float
    figures: Mapping[str, float]
    points: list[tuple[float, float]]
    proof: Verification

    @property
    def row_width(self) -> int:
        """The values in a row of the file: the vectors of an utterance, one after another."""
        return self.width * int(self.made_with[AUDIO_TOKENS])


@dataclass(frozen=True)
class Prepared:
    """An encoder that was chosen for an archive, and the sample that decided.

    Attributes:
        encoder: the fastest that passes the proof on the sample.
        sample: rows of the utterance table, ascending.
        reference: their vectors, one at a time in float32 by torch; float32 of shape (rows of the sample, T * D).
    """

    encoder: Encoder
    sample: Sequence[int]
    reference: "np.ndarray"


def embed_archive(
    paths: StoragePaths,
    archive: str,
    model: PretrainedModel,
    config: EmbeddingConfig,
    progress: Progress = silent,
) -> EmbeddingSummary:
    """Writes `embeddings.parquet`: the vectors of each row of `utterances.parquet`, in its order.

    What a killed run had finished is not embedded again, nor is what the former file holds of the same sound.

    Args:
        paths: the storage root.
        archive: the archive.
        model: the speech model.
        config: how to embed.
        progress: told the utterances done, and the figures of `Throughput.figures`.

    Raises:
        ArtefactError: the archive has no utterance table.
        AudioError: a recording is gone or changed since.
        ModelError: the model cannot be used, or the device has no memory for one segment.
        SettingsError: the device, the engine or the precision does not exist here, or an utterance has fewer frames
            than `audio_tokens`.
    """
    rows = utterance_rows(paths, archive)
    prepared = prepare(paths.root, rows, load_speech_model(model), config)
    return embed_rows(paths, archive, rows, prepared, config, progress)


def utterance_rows(paths: StoragePaths, archive: str) -> pa.Table:
    """What this step needs of the utterance table.

    Raises:
        ArtefactError: the archive has none.
    """
    source = paths.archive(archive).utterances
    if not source.is_file():
        raise ArtefactError(f"{archive} has no utterances.parquet", "an utterance table", "materialise utterances")
    return pq.read_table(source, columns=["_id", "utterance_id", "wav_file_path", "duration_s", *VECTOR_KEY])


def prepare(root: Path, rows: pa.Table, speech: SpeechModel, config: EmbeddingConfig) -> Prepared:
    """The encoder for an archive: of those that the configuration allows, the fastest that passes the proof.

    The model itself is not timed: the choice must be the same in every run on one machine.

    Args:
        root: the storage root.
        rows: of the utterance table.
        speech: the model.
        config: how to embed.

    Raises:
        AudioError: a recording of the sample is gone.
        ModelError: the device has no memory for one segment.
        SettingsError: the device, the engine or the precision does not exist here, or an utterance has fewer frames
            than `audio_tokens`.
    """
    _check_tokens(speech, config.audio_tokens)
    small = rows.num_rows < MIN_UTTERANCES_FOR_COSINE
    allowed = encoders(speech, config.changed(precision=FLOAT32) if small else config)
    encoder = next(allowed)
    sample = sample_rows(rows.num_rows, config.proof_utterances, seed=rows.num_rows)
    drawn = rows.take(pa.array(sample, pa.int64()))
    (segments,) = decoded_pieces([drawn], root, workers=1)
    segments = [speech.normalised(segment) for segment in segments]
    one_by_one = ReferenceEncoder(speech, encoder.device)
    reference = embed_segments(one_by_one, segments, config.segment_max_s, Budget(0), audio_tokens=config.audio_tokens)
    while not _passes(encoder, segments, reference, config) and (slower := next(allowed, None)):
        encoder = slower
    return Prepared(encoder, sample, reference)


def _check_tokens(speech: SpeechModel, audio_tokens: int) -> None:
    # One sample less: times are cut down to whole samples, and the end of an utterance may lose one to its start.
    most = speech.frames(MIN_DURATION_MS * SAMPLE_RATE // 1000 - 1)
    if not 1 <= audio_tokens <= most:
        raise SettingsError(
            f"audio_tokens is {audio_tokens}",
            f"from 1 to {most}, the frames that {speech.source.name} makes of {MIN_DURATION_MS} ms",
            "correct `audio_tokens`",
        )


def _passes(
    encoder: Encoder, segments: "Sequence[np.ndarray]", reference: "np.ndarray", config: EmbeddingConfig
) -> bool:
    budget = _budget(encoder, config)
    vectors = embed_segments(encoder, segments, config.segment_max_s, budget, audio_tokens=config.audio_tokens)
    return verify(vectors, reference, encoder.precision).passed


def _budget(encoder: Encoder, config: EmbeddingConfig) -> Budget:
    return Budget(config.batch_audio_s or encoder.batch_audio_s)


def embed_rows(
    paths: StoragePaths,
    archive: str,
    rows: pa.Table,
    prepared: Prepared,
    config: EmbeddingConfig,
    progress: Progress = silent,
) -> EmbeddingSummary:
    """`embed_archive` with an encoder that is ready.

    Args:
        paths: the storage root.
        archive: the archive.
        rows: of `utterance_rows`.
        prepared: the encoder for them.
        config: how to embed.
        progress: see `embed_archive`.
    """
    files, encoder = paths.archive(archive), prepared.encoder
    made_with = _made_with(encoder, config)
    row_width = encoder.speech.width * config.audio_tokens
    shards = plan_shards(rows, files.shards, made_with, row_width, config.shard_utterances)
    former = FormerVectors(files.embeddings, made_with)
    at = former.find(rows)
    left = [Work(shard, at[shard.start :][: shard.rows.num_rows]) for shard in shards if shard.vectors() is None]
    counts = _counts(rows, shards, left)
    meter = Throughput(sum(duration_s(work.rows) for work in left))

    def embedded(utterances: float, audio_s: float) -> None:
        meter.add(utterances, audio_s)
        done = counts.utterances - counts.computed + round(meter.utterances)
        progress(done, counts.utterances, **meter.figures())

    embed_shards(paths.root, left, former, encoder, config, embedded)
    proof = _assemble(files.embeddings, shards, made_with, prepared)
    shutil.rmtree(files.shards, ignore_errors=True)
    seconds, figures = meter.seconds, meter.figures()
    progress(counts.utterances, counts.utterances, **figures)
    return EmbeddingSummary(
        counts=counts,
        audio_s=round(duration_s(rows), 3),
        width=encoder.speech.width,
        made_with=made_with,
        engine=encoder.engine,
        device=encoder.device,
        seconds=seconds,
        figures=figures,
        points=meter.points,
        proof=proof,
    )


def _counts(rows: pa.Table, shards: "Sequence[Shard]", left: "Sequence[Work]") -> Counts:
    unfinished = sum(work.shard.rows.num_rows for work in left)
    computed = sum(int((work.at < 0).sum()) for work in left)
    return Counts(
        utterances=rows.num_rows,
        calls=len(rows["_id"].unique()),
        computed=computed,
        reused=unfinished - computed,
        resumed=rows.num_rows - unfinished,
        shards=len(shards),
        resumed_shards=len(shards) - len(left),
    )


def _made_with(encoder: Encoder, config: EmbeddingConfig) -> dict[str, str]:
    """What the vectors of all rows are made with; also the metadata of the file."""
    source = encoder.speech.source
    return {
        "model": source.name,
        "revision": source.revision,
        "weights_sha256": encoder.speech.weights_sha256,
        "precision": encoder.precision,
        AUDIO_TOKENS: str(config.audio_tokens),
        "segment_max_s": str(config.segment_max_s),
        "recipe": RECIPE,
    }


def duration_s(rows: pa.Table) -> float:
    """Seconds of audio of some rows."""
    return float(pc.sum(rows["duration_s"]).as_py() or 0.0)


@dataclass(frozen=True)
class Work:
    """A shard that is to be finished.

    Attributes:
        shard: the shard.
        at: for each of its rows, the row of the former file with its vector, or -1.
    """

    shard: Shard
    at: "np.ndarray"

    @property
    def rows(self) -> pa.Table:
        """The rows that must be embedded."""
        return self.shard.rows.filter(pa.array(self.at < 0))


def embed_shards(
    root: Path,
    left: Sequence[Work],
    former: FormerVectors,
    encoder: Encoder,
    config: EmbeddingConfig,
    embedded: Callable[[float, float], None],
) -> None:
    """Finishes shards, while those to come are decoded.

    Args:
        root: the storage root.
        left: what is to be finished.
        former: where vectors are that serve again.
        encoder: for the others.
        config: how to embed.
        embedded: told utterances and seconds of audio after each batch.
    """
    import numpy as np

    budget = _budget(encoder, config)
    decoded = decoded_pieces([work.rows for work in left], root, config.workers)
    normalised = ([encoder.speech.normalised(segment) for segment in segments] for segments in decoded)
    for work, segments in zip(left, one_ahead(normalised), strict=True):
        vectors = np.empty((len(work.at), work.shard.width), dtype=np.float32)
        former.fill(vectors, work.at)
        vectors[work.at < 0] = embed_segments(
            encoder, segments, config.segment_max_s, budget, embedded, config.audio_tokens
        )
        work.shard.finish(vectors)


def _assemble(target: Path, shards: Sequence[Shard], made_with: Mapping[str, str], prepared: Prepared) -> Verification:
    """Writes the file, a row group for each shard, with the proof of what went into it."""
    import numpy as np

    encoder = prepared.encoder
    schema = embeddings_schema(prepared.reference.shape[1]).with_metadata(dict(made_with))
    sampled = [prepared.reference[:0]]
    with replacing(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for table, vectors in vectors_at((_rows_with_vectors(shard, schema) for shard in shards), prepared.sample):
            writer.write_table(table)
            sampled.append(vectors)
        proof = verify(np.concatenate(sampled), prepared.reference, encoder.precision)
        writer.add_key_value_metadata({VERIFIED: str(proof.passed).lower()})
    return proof


def _rows_with_vectors(shard: Shard, schema: pa.Schema) -> pa.Table:
    vectors = shard.vectors()
    if vectors is None:
        raise ArtefactError(f"{shard.path.name} is gone", "the vectors just made", "materialise utterance_embeddings")
    flat = pa.array(vectors.reshape(-1), type=pa.float32())
    column = pa.FixedSizeListArray.from_arrays(flat, type=schema.field(EMBEDDING).type)
    keys = [shard.rows[name].combine_chunks() for name in schema.names if name != EMBEDDING]
    return pa.Table.from_arrays([*keys, column], schema=schema)

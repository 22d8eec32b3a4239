"""The embedding step: one row of `embeddings.parquet` for each row of the utterance table, in the same order.

An embedding is the mean over the frames of the last hidden state of one segment, or over each of several equal spans
of them. Batching, library and precision may change it only within a stated bound, and a sample of every archive is
verified against that bound.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.calls.embedding.batching import embed_segments
from urgency_dagster.calls.embedding.choice import read_choice, write_choice
from urgency_dagster.calls.embedding.configuration import NEVER, EmbeddingConfig
from urgency_dagster.calls.embedding.encoder import Encoder
from urgency_dagster.calls.embedding.preparation import PreparedEncoder, batch_budget, prepare_encoder
from urgency_dagster.calls.embedding.shards import (
    AUDIO_TOKENS,
    VERIFIED,
    FormerVectors,
    Shard,
    plan_shards,
    tables_with_sample,
)
from urgency_dagster.calls.embedding.speech_model import load_speech_model
from urgency_dagster.calls.embedding.summary import PADDING, EmbeddingCounts, EmbeddingSummary
from urgency_dagster.calls.embedding.throughput import Throughput
from urgency_dagster.calls.embedding.verification import Verification, verify
from urgency_dagster.calls.segments import decoded_segments
from urgency_dagster.calls.versions import RECIPE
from urgency_dagster.calls.workers import one_ahead
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.tables import EMBEDDING, VECTOR_KEY, embeddings_schema
from urgency_dagster.writing import replacing

if TYPE_CHECKING:
    import numpy as np


def embed_archive(
    paths: StoragePaths,
    archive: str,
    model: PretrainedModel,
    config: EmbeddingConfig,
    progress: Progress = no_progress,
) -> EmbeddingSummary:
    """Writes `embeddings.parquet` of one archive.

    Two kinds of vectors are not computed again: those in shards that an interrupted run finished, and those that the
    former file holds for the same audio and interval. The library and precision that were chosen by measurement are
    kept for later embeddings of the archive.

    Args:
        paths: the storage root.
        archive: the archive name.
        model: the speech model.
        config: the options.
        progress: receives the number of finished utterances and `Throughput.figures`.

    Raises:
        ArtefactError: the archive has no utterance table.
        AudioError: a recording is missing or has changed.
        ModelError: the model cannot be used, or the device has no memory for one segment.
        SettingsError: the device, engine or precision is not available here, or an utterance has fewer frames than
            `audio_tokens`.
    """
    rows = utterance_rows(paths, archive)
    speech, choice = load_speech_model(model), paths.archive(archive).encoder
    prepared = prepare_encoder(paths.root, rows, speech, config, read_choice(choice, speech), paths.converted_models)
    summary = embed_rows(paths, archive, rows, prepared, config, progress)
    write_choice(choice, prepared.encoder)
    return summary


def utterance_rows(paths: StoragePaths, archive: str) -> pa.Table:
    """The utterance table, with the columns that this step reads.

    Raises:
        ArtefactError: the archive has no utterance table.
    """
    source = paths.archive(archive).utterances
    if not source.is_file():
        raise ArtefactError(f"{archive} has no utterances.parquet", "an utterance table", "materialize utterances")
    return pq.read_table(source, columns=["_id", "utterance_id", "wav_file_path", "duration_s", *VECTOR_KEY])


def embed_rows(
    paths: StoragePaths,
    archive: str,
    rows: pa.Table,
    prepared: PreparedEncoder,
    config: EmbeddingConfig,
    progress: Progress = no_progress,
) -> EmbeddingSummary:
    """Does the work of `embed_archive` with an encoder that is already chosen.

    Args:
        paths: the storage root.
        archive: the archive name.
        rows: see `utterance_rows`.
        prepared: the encoder for these rows.
        config: the options.
        progress: see `embed_archive`.
    """
    files, encoder = paths.archive(archive), prepared.encoder
    made_with = _made_with(encoder, config)
    row_width = encoder.speech.width * config.audio_tokens
    shards = plan_shards(rows, files.shards, made_with, row_width, config.shard_utterances)
    former = FormerVectors(files.embeddings, made_with)
    unfinished = unfinished_shards(shards, former.find(rows))
    counts = _counts(rows, shards, unfinished)
    meter = Throughput(sum(audio_seconds(shard.missing_rows) for shard in unfinished))

    def report(utterances: float, audio_s: float) -> None:
        meter.add(utterances, audio_s)
        done = counts.utterances - counts.computed + round(meter.utterances)
        progress(done, counts.utterances, **meter.figures())

    embed_shards(paths.root, unfinished, former, encoder, config, report)
    verification = _write_embeddings(files.embeddings, shards, made_with, prepared)
    shutil.rmtree(files.shards, ignore_errors=True)
    seconds, figures = meter.seconds, meter.figures()
    progress(counts.utterances, counts.utterances, **figures)
    return EmbeddingSummary(
        counts=counts,
        audio_s=round(audio_seconds(rows), 3),
        width=encoder.speech.width,
        made_with=made_with,
        engine=encoder.engine,
        device=encoder.device,
        seconds=seconds,
        figures=figures,
        points=meter.points,
        verification=verification,
    )


def _made_with(encoder: Encoder, config: EmbeddingConfig) -> dict[str, str]:
    """The identity of the vectors of all rows; it is also the metadata of the file."""
    source = encoder.speech.source
    return {
        "model": source.name,
        "revision": source.revision,
        "weights_sha256": encoder.speech.weights_sha256,
        "precision": encoder.precision,
        AUDIO_TOKENS: str(config.audio_tokens),
        "segment_max_s": str(config.segment_max_s),
        "recipe": RECIPE,
        # Named only without padding, so that the vectors of former versions keep their identity.
        **({} if encoder.speech.may_pad else {PADDING: NEVER}),
    }


def audio_seconds(rows: pa.Table) -> float:
    """The seconds of audio of some rows."""
    return float(pc.sum(rows["duration_s"]).as_py() or 0.0)


@dataclass(frozen=True)
class UnfinishedShard:
    """A shard whose vectors are not complete.

    Attributes:
        shard: the shard.
        former_rows: for each row of the shard, the row of the former file with its vector, or -1.
    """

    shard: Shard
    former_rows: "np.ndarray"

    @property
    def is_missing(self) -> "np.ndarray":
        """The rows that must be embedded: bool, (rows,)."""
        missing: np.ndarray = self.former_rows < 0
        return missing

    @property
    def missing_rows(self) -> pa.Table:
        """The rows of the utterance table that must be embedded."""
        return self.shard.rows.filter(pa.array(self.is_missing))


def unfinished_shards(shards: Sequence[Shard], former_rows: "np.ndarray") -> list[UnfinishedShard]:
    """The shards that have no finished vectors.

    Args:
        shards: all shards of an archive.
        former_rows: see `FormerVectors.find`, for all rows of the archive.
    """
    return [
        UnfinishedShard(shard, former_rows[shard.start :][: shard.rows.num_rows])
        for shard in shards
        if shard.vectors() is None
    ]


def _counts(rows: pa.Table, shards: Sequence[Shard], unfinished: Sequence[UnfinishedShard]) -> EmbeddingCounts:
    unfinished_rows = sum(len(shard.former_rows) for shard in unfinished)
    computed = sum(int(shard.is_missing.sum()) for shard in unfinished)
    return EmbeddingCounts(
        utterances=rows.num_rows,
        calls=len(rows["_id"].unique()),
        computed=computed,
        reused=unfinished_rows - computed,
        resumed=rows.num_rows - unfinished_rows,
        shards=len(shards),
        resumed_shards=len(shards) - len(unfinished),
    )


def embed_shards(
    root: Path,
    unfinished: Sequence[UnfinishedShard],
    former: FormerVectors,
    encoder: Encoder,
    config: EmbeddingConfig,
    report: Callable[[float, float], None],
) -> None:
    """Finishes shards one after another. The next shard is decoded meanwhile.

    Args:
        root: the storage root.
        unfinished: the shards.
        former: vectors that can be reused.
        encoder: computes the other vectors.
        config: the options.
        report: receives the utterances and the seconds of audio of each finished batch.
    """
    import numpy as np

    budget = batch_budget(encoder, config)
    decoded = decoded_segments([shard.missing_rows for shard in unfinished], root, config.workers)
    normalised = ([encoder.speech.normalised(segment) for segment in segments] for segments in decoded)
    for work, segments in zip(unfinished, one_ahead(normalised), strict=True):
        vectors = np.empty((len(work.former_rows), work.shard.width), dtype=np.float32)
        former.copy_into(vectors, work.former_rows)
        vectors[work.is_missing] = embed_segments(
            encoder, segments, config.segment_max_s, budget, report, config.audio_tokens
        )
        work.shard.finish(vectors)


def _write_embeddings(
    target: Path, shards: Sequence[Shard], made_with: Mapping[str, str], prepared: PreparedEncoder
) -> Verification:
    """Writes the file with one row group per shard; verifies the sample of the vectors in it."""
    import numpy as np

    encoder = prepared.encoder
    schema = embeddings_schema(prepared.reference.shape[1]).with_metadata(dict(made_with))
    sampled = [prepared.reference[:0]]
    tables = (_rows_with_vectors(shard, schema) for shard in shards)
    with replacing(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for table, vectors in tables_with_sample(tables, prepared.sample):
            writer.write_table(table)
            sampled.append(vectors)
        verification = verify(np.concatenate(sampled), prepared.reference, encoder.precision)
        writer.add_key_value_metadata({VERIFIED: str(verification.passed).lower()})
    return verification


def _rows_with_vectors(shard: Shard, schema: pa.Schema) -> pa.Table:
    vectors = shard.vectors()
    if vectors is None:
        raise ArtefactError(
            f"{shard.path.name} is missing", "the vectors of a finished shard", "materialize utterance_embeddings"
        )
    flat = pa.array(vectors.reshape(-1), type=pa.float32())
    column = pa.FixedSizeListArray.from_arrays(flat, type=schema.field(EMBEDDING).type)
    keys = [shard.rows[name].combine_chunks() for name in schema.names if name != EMBEDDING]
    return pa.Table.from_arrays([*keys, column], schema=schema)

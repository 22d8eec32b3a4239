"""The calls pipeline: archive pairs in `landing/calls` become rows and vectors, one partition per pair.

Each asset reads, makes one call into `calls`, and records what it wrote. How audio or labels are read is not here.
"""

import dagster as dg
from pydantic import Field

from urgency_dagster.calls.embedding.archive import EmbeddingConfig, embed_archive
from urgency_dagster.calls.landing.cache import LandingCache
from urgency_dagster.calls.landing.pairs import scan_landing
from urgency_dagster.calls.processed import write_processed_data
from urgency_dagster.calls.table.funnel import read_funnel
from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.calls.unpacking.extraction import ExtractionLimits, extract_pair
from urgency_dagster.defs.checks import (
    COUNTS_ADD_UP,
    FEW_REJECTS,
    SAME_AS_ONE_BY_ONE,
    VECTORS_FIT,
    counts_add_up,
    few_rejects,
    same_as_one_by_one,
    vectors_fit_rows,
)
from urgency_dagster.defs.metadata import embedding_metadata, funnel_metadata, table_schema
from urgency_dagster.defs.partitions import call_archives
from urgency_dagster.defs.progress import shown_progress
from urgency_dagster.defs.resources import ModelsResource, StorageResource
from urgency_dagster.errors import ArchiveError
from urgency_dagster.operations.placement import CPU_TAGS, GPU_POOL, GPU_TAGS
from urgency_dagster.provenance.record import Record
from urgency_dagster.tables import UTTERANCES

GROUP = "calls"

call_archive = dg.AssetSpec(
    "call_archive",
    group_name=GROUP,
    partitions_def=call_archives,
    kinds={"zip"},
    description="A pair of AI Hub ZIPs that landed: audio (TS_x or VS_x) and labels (TL_x or VL_x). "
    "Its data version is a hash of both files' content.",
)


class ExtractionOptions(dg.Config):
    """Limits that protect the disk from a damaged or malicious ZIP, and how many processes unpack."""

    members: int = Field(ExtractionLimits.members, description="Members of one ZIP at most.")
    member_bytes: int = Field(ExtractionLimits.member_bytes, description="Unpacked bytes of one member at most.")
    total_bytes: int = Field(ExtractionLimits.total_bytes, description="Unpacked bytes of one ZIP at most.")
    ratio: int = Field(ExtractionLimits.ratio, description="Unpacked to packed bytes of one member at most.")
    reserve_bytes: int = Field(ExtractionLimits.reserve_bytes, description="Bytes of the disk that must stay free.")
    workers: int = Field(-1, description="Processes that unpack; -1 is one per core.")


@dg.asset(
    group_name=GROUP,
    partitions_def=call_archives,
    deps=[call_archive],
    code_version="2",
    op_tags=CPU_TAGS,
    kinds={"wav", "json"},
)
def call_recordings(
    context: dg.AssetExecutionContext, config: ExtractionOptions, storage: StorageResource
) -> dg.MaterializeResult:
    """The members of the pair, unpacked into `Wave/` and `Label/`, with an account of every member."""
    record = Record.open(context, storage.paths, config=config)
    pair = scan_landing(storage.paths.landing_calls, LandingCache(storage.paths)).pairs.get(context.partition_key)
    if pair is None:
        raise ArchiveError(
            f"the ZIPs of {context.partition_key} are not (or no longer) complete in {storage.paths.landing_calls}",
            "both ZIPs of the pair",
            "copy them there again",
        )
    files = storage.paths.archive(context.partition_key)
    limits = ExtractionLimits(**config.model_dump(exclude={"workers"}))
    with shown_progress(context, "members") as progress:
        counts = extract_pair(pair, files, limits, workers=config.workers, progress=progress)
    return record.close([files.members, files.audio, files.labels], counts)


class UtteranceOptions(dg.Config):
    """How the labels and recordings are read, and how much may be left out before nothing is built on the rest."""

    workers: int = Field(-1, description="Processes that parse and decode; -1 is one per core.")
    rejected_calls_max: float = Field(0.20, description="Share of calls that may be rejected.", ge=0, le=1)
    rejected_utterances_max: float = Field(0.40, description="Share of utterances that may be rejected.", ge=0, le=1)


@dg.asset(
    group_name=GROUP,
    partitions_def=call_archives,
    deps=[call_recordings],
    code_version="2",
    op_tags=CPU_TAGS,
    kinds={"parquet"},
    check_specs=[COUNTS_ADD_UP, FEW_REJECTS],
)
def utterances(
    context: dg.AssetExecutionContext, config: UtteranceOptions, storage: StorageResource
) -> dg.MaterializeResult:
    """One row per kept utterance, and one reject row with a reason for everything else."""
    record = Record.open(context, storage.paths, config=config)
    archive = context.partition_key
    with shown_progress(context, "calls") as progress:
        counted = build_utterance_table(storage.paths, archive, workers=config.workers, progress=progress)
    funnel = read_funnel(storage.paths, archive)
    metadata = {
        "dagster/row_count": funnel.segments,
        "dagster/column_schema": table_schema(UTTERANCES),
        "calls": funnel.calls,
        "rejected_calls": funnel.rejects("calls"),
        "rejected_utterances": funnel.rejects("utterances"),
        **funnel_metadata(funnel),
    }
    checks = [
        counts_add_up(funnel, counted),
        few_rejects(funnel, config.rejected_calls_max, config.rejected_utterances_max),
    ]
    files = storage.paths.archive(archive)
    return record.close([files.utterances, files.rejects], metadata, checks=checks)


class EmbeddingOptions(dg.Config):
    """On what the speech model runs, how segments are batched and pooled, and how much of it is proved."""

    device: str = Field(EmbeddingConfig.device, description="`auto` (cuda, else mps, else cpu) or a torch device.")
    engine: str = Field(
        EmbeddingConfig.engine,
        description="`auto` (OpenVINO on a CPU if it is installed, else torch), `torch` or `openvino`.",
    )
    precision: str = Field(
        EmbeddingConfig.precision,
        description="`auto` (the fastest that passes the proof on this archive), `float32`, `bfloat16` or `float16`. "
        "An archive of less than 8 utterances, for which reduced precision cannot be proved, is always `float32`.",
    )
    compile: bool = Field(
        EmbeddingConfig.compile,
        description="Let torch compile the model; worth it for long runs. `auto` is torch then.",
    )
    audio_tokens: int = Field(
        EmbeddingConfig.audio_tokens,
        description="Vectors of an utterance: the means over so many equal spans of its frames. With 1, as in the "
        "original, the attention to the audio has nothing to choose from.",
        ge=1,
    )
    batch_audio_s: float | None = Field(
        EmbeddingConfig.batch_audio_s,
        description="Seconds of audio in one batch, padded; empty suits the device.",
        gt=0,
    )
    segment_max_s: float = Field(
        EmbeddingConfig.segment_max_s,
        description="Seconds of a segment that the model sees at once; longer ones are seen in equal parts.",
        ge=1,
    )
    shard_utterances: int = Field(
        EmbeddingConfig.shard_utterances,
        description="Utterances that are sorted by length and kept together when a run is killed.",
        ge=1,
    )
    proof_utterances: int = Field(
        EmbeddingConfig.proof_utterances, description="Utterances that are embedded again one at a time.", ge=8
    )
    workers: int = Field(EmbeddingConfig.workers, description="Processes that decode; -1 is one per core.")


@dg.asset(
    group_name=GROUP,
    partitions_def=call_archives,
    deps=[utterances],
    code_version="2",
    op_tags=GPU_TAGS,
    pool=GPU_POOL,
    kinds={"pytorch", "parquet"},
    check_specs=[VECTORS_FIT, SAME_AS_ONE_BY_ONE],
)
def utterance_embeddings(
    context: dg.AssetExecutionContext, config: EmbeddingOptions, storage: StorageResource, models: ModelsResource
) -> dg.MaterializeResult:
    """The wav2vec2 vector of each kept utterance, or several: means over the frames of that segment alone."""
    record = Record.open(context, storage.paths, config=config, pretrained=models.names)
    archive = context.partition_key
    options = EmbeddingConfig(**config.model_dump())
    with shown_progress(context, "utterances") as progress:
        summary = embed_archive(storage.paths, archive, models.speech_model(), options, progress)
    checks = [vectors_fit_rows(storage.paths, archive), same_as_one_by_one(summary.proof)]
    return record.close([storage.paths.archive(archive).embeddings], embedding_metadata(summary), checks=checks)


@dg.asset(
    group_name=GROUP,
    partitions_def=call_archives,
    deps=[utterances, utterance_embeddings],
    code_version="1",
    op_tags=CPU_TAGS,
    kinds={"csv", "numpy"},
)
def processed_data(context: dg.AssetExecutionContext, storage: StorageResource) -> dg.MaterializeResult:
    """The original's `processed_data.csv` and `wav2vec2_embeddings.npy`: row i of one is row i of the other."""
    record = Record.open(context, storage.paths)
    counts = write_processed_data(storage.paths, context.partition_key)
    files = storage.paths.archive(context.partition_key)
    funnel = read_funnel(storage.paths, context.partition_key)
    metadata = {"dagster/row_count": counts.pop("rows"), **counts, **funnel_metadata(funnel)}
    return record.close([files.processed_csv, files.vectors], metadata)


CALL_ASSETS = (call_archive, call_recordings, utterances, utterance_embeddings, processed_data)

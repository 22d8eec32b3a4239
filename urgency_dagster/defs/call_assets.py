"""The calls pipeline: archive pairs in `landing/calls` become rows, vectors and prosody, one partition per pair.

Each asset reads, makes one call into `calls`, and records what it wrote. How audio or labels are read is not here.
"""

from collections.abc import Iterator

import dagster as dg

from urgency_dagster.calls import (
    CODE_VERSIONS,
    EmbeddingConfig,
    ExtractionConfig,
    ProcessedConfig,
    ProsodyConfig,
    UtteranceConfig,
    build_utterance_table,
    embed_archive,
    extract_pair,
    import_table,
    prosody_schema,
    read_funnel,
    verify_prosody,
    write_processed_data,
    write_prosody,
)
from urgency_dagster.defs import steps
from urgency_dagster.defs.checks import (
    COUNTS_ADD_UP,
    FEW_REJECTS,
    PROSODY_FITS,
    PROSODY_POSSIBLE,
    SAME_AS_ONE_BY_ONE,
    VECTORS_FIT,
    counts_add_up,
    few_rejects,
    prosody_fits_rows,
    prosody_in_range,
    same_as_one_by_one,
    vectors_fit_rows,
)
from urgency_dagster.defs.columns import column_metadata, declared_columns
from urgency_dagster.defs.configuration import dagster_config
from urgency_dagster.defs.labels import CALLS_TEAM, PERSONAL
from urgency_dagster.defs.metadata import (
    embedding_metadata,
    extraction_metadata,
    funnel_metadata,
    prosody_metadata,
    reject_metadata,
)
from urgency_dagster.defs.partitions import call_archives
from urgency_dagster.defs.progress import shown_progress
from urgency_dagster.defs.resources import ModelsResource, StorageResource
from urgency_dagster.operations.gpus import take_gpu
from urgency_dagster.operations.placement import CPU_TAGS, GPU_POOL, GPU_TAGS
from urgency_dagster.provenance.keys import CALL_ARCHIVE
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.provenance.record import CheckedEvent, Record, landed_result

GROUP = "calls"


@steps.asset(
    group_name=GROUP,
    partitions_def=call_archives,
    owners=CALLS_TEAM,
    tags=PERSONAL,
    op_tags=CPU_TAGS,
    kinds={"zip"},
)
def call_archive(context: dg.AssetExecutionContext, storage: StorageResource) -> dg.MaterializeResult:
    """A pair of AI Hub ZIPs that landed: audio (TS_x or VS_x) and labels (TL_x or VL_x).

    Its data version is a hash of both files' content. A step reads them once; nothing is written to the landing folder.
    """
    landed = LandedContent(storage.paths)
    with shown_progress(context, "MB") as progress:
        sha256 = landed.content_hash(CALL_ARCHIVE, context.partition_key, progress)
    return landed_result(CALL_ARCHIVE, landed.size_bytes(CALL_ARCHIVE, context.partition_key), sha256)


class ExtractionOptions(dagster_config(ExtractionConfig)):  # type: ignore[misc]
    """The options of `call_recordings` in the Launchpad."""


@steps.asset(
    group_name=GROUP,
    partitions_def=call_archives,
    deps=[call_archive],
    owners=CALLS_TEAM,
    tags=PERSONAL,
    code_version=CODE_VERSIONS["call_recordings"],
    metadata=declared_columns("call_recordings"),
    op_tags=CPU_TAGS,
    kinds={"wav", "json"},
)
def call_recordings(
    context: dg.AssetExecutionContext, config: ExtractionOptions, storage: StorageResource, models: ModelsResource
) -> dg.MaterializeResult:
    """The members of the pair, unpacked into `Wave/` and `Label/`, with an account of every member.

    Before that, the pretrained models on this machine are loaded once, so that an unfit one is noticed here.
    """
    record = Record.open(context, storage.paths, config=config)
    models.check(storage.paths)
    pair = LandedContent(storage.paths).zips(context.partition_key)
    files = storage.paths.archive(context.partition_key)
    with shown_progress(context, "members") as progress:
        counts = extract_pair(pair, files, ExtractionConfig(**config.model_dump()), progress)
    metadata = {**extraction_metadata(counts), **column_metadata("call_recordings")}
    return record.close([files.members, files.audio, files.labels], metadata)


class UtteranceOptions(dagster_config(UtteranceConfig)):  # type: ignore[misc]
    """The options of `utterances` in the Launchpad."""


@steps.asset(
    group_name=GROUP,
    partitions_def=call_archives,
    deps=[call_recordings],
    owners=CALLS_TEAM,
    tags=PERSONAL,
    code_version=CODE_VERSIONS["utterances"],
    metadata=declared_columns("utterances"),
    op_tags=CPU_TAGS,
    kinds={"parquet"},
    check_specs=[COUNTS_ADD_UP, FEW_REJECTS],
)
def utterances(
    context: dg.AssetExecutionContext, config: UtteranceOptions, storage: StorageResource
) -> Iterator[CheckedEvent]:
    """One row per kept utterance, and one reject row with a reason for everything else."""
    record = Record.open(context, storage.paths, config=config)
    archive = context.partition_key
    with shown_progress(context, "calls") as progress:
        counted = build_utterance_table(storage.paths, archive, workers=config.workers, progress=progress)
    funnel, files = read_funnel(storage.paths, archive), storage.paths.archive(archive)
    metadata = {
        "dagster/row_count": funnel.segments,
        "calls": funnel.calls,
        **reject_metadata(funnel),
        **funnel_metadata(funnel),
        **column_metadata("utterances"),
    }
    checks = [
        counts_add_up(funnel, counted),
        few_rejects(funnel, config.rejected_calls_max, config.rejected_utterances_max, files.rejects),
    ]
    yield from record.close_checked([files.utterances, files.rejects], metadata, checks)


class EmbeddingOptions(dagster_config(EmbeddingConfig)):  # type: ignore[misc]
    """The options of `utterance_embeddings` in the Launchpad."""


@steps.asset(
    group_name=GROUP,
    partitions_def=call_archives,
    deps=[utterances],
    owners=CALLS_TEAM,
    tags=PERSONAL,
    code_version=CODE_VERSIONS["utterance_embeddings"],
    metadata=declared_columns("utterance_embeddings"),
    op_tags=GPU_TAGS,
    pool=GPU_POOL,
    kinds={"pytorch", "parquet"},
    check_specs=[VECTORS_FIT, SAME_AS_ONE_BY_ONE],
)
def utterance_embeddings(
    context: dg.AssetExecutionContext, config: EmbeddingOptions, storage: StorageResource, models: ModelsResource
) -> Iterator[CheckedEvent]:
    """The wav2vec2 vector of each kept utterance, or several: means over the frames of that segment alone."""
    record = Record.open(context, storage.paths, config=config, pretrained=models.names)
    archive = context.partition_key
    options = EmbeddingConfig(**config.model_dump())
    take_gpu(storage.paths, options.device, context.log.info)
    with shown_progress(context, "utterances") as progress:
        summary = embed_archive(storage.paths, archive, models.speech_model(), options, progress)
    if summary.warning:
        context.log.warning(summary.warning)
    checks = [vectors_fit_rows(storage.paths, archive), same_as_one_by_one(summary.verification)]
    yield from record.close_checked([storage.paths.archive(archive).embeddings], embedding_metadata(summary), checks)


class ProcessedOptions(dagster_config(ProcessedConfig)):  # type: ignore[misc]
    """The options of `processed_data` in the Launchpad."""


@steps.asset(
    group_name=GROUP,
    partitions_def=call_archives,
    deps=[utterances, utterance_embeddings],
    owners=CALLS_TEAM,
    tags=PERSONAL,
    code_version=CODE_VERSIONS["processed_data"],
    metadata=declared_columns("processed_data"),
    op_tags=CPU_TAGS,
    kinds={"csv", "numpy"},
)
def processed_data(
    context: dg.AssetExecutionContext, config: ProcessedOptions, storage: StorageResource
) -> dg.MaterializeResult:
    """The original's `processed_data.csv` and `wav2vec2_embeddings.npy`: row i of one is row i of the other.

    An archive that landed as a CSV and NPY file of the original's scripts begins here.
    """
    record = Record.open(context, storage.paths, config=config)
    options = ProcessedConfig(**config.model_dump())
    landed = LandedContent(storage.paths).table(context.partition_key)
    if landed:
        counts = import_table(storage.paths, landed, options)
    else:
        counts = write_processed_data(storage.paths, context.partition_key, options)
    files = storage.paths.archive(context.partition_key)
    funnel = read_funnel(storage.paths, context.partition_key)
    metadata = {
        "dagster/row_count": counts.pop("rows"),
        **counts,
        **funnel_metadata(funnel),
        **column_metadata("processed_data"),
    }
    table = [files.processed_parquet] if options.parquet else []
    return record.close([files.processed_csv, files.vectors, *table], metadata)


class ProsodyOptions(dagster_config(ProsodyConfig)):  # type: ignore[misc]
    """The options of `prosody` in the Launchpad."""


@steps.asset(
    group_name=GROUP,
    partitions_def=call_archives,
    deps=[call_recordings, utterances],
    owners=CALLS_TEAM,
    tags=PERSONAL,
    code_version=CODE_VERSIONS["prosody"],
    metadata=declared_columns("prosody"),
    op_tags=CPU_TAGS,
    kinds={"parquet"},
    check_specs=[PROSODY_FITS, PROSODY_POSSIBLE],
)
def prosody(
    context: dg.AssetExecutionContext, config: ProsodyOptions, storage: StorageResource
) -> Iterator[CheckedEvent]:
    """Pitch, loudness, zero crossings and speaking rate of each kept utterance, as columns that people can read."""
    record = Record.open(context, storage.paths, config=config)
    archive = context.partition_key
    options = ProsodyConfig(**config.model_dump())
    with shown_progress(context, "utterances") as progress:
        summary = write_prosody(storage.paths, archive, options, progress)
    metadata = {**prosody_metadata(summary), **column_metadata("prosody", prosody_schema(options))}
    verification = verify_prosody(storage.paths, archive, options)
    checks = [prosody_fits_rows(verification), prosody_in_range(verification)]
    yield from record.close_checked([storage.paths.archive(archive).prosody], metadata, checks)


CALL_ASSETS = (call_archive, call_recordings, utterances, utterance_embeddings, processed_data, prosody)

"""The scoring pipeline: recordings in `landing/scoring`, with labels or without, become scored utterances and calls.

One partition per ZIP or folder. Each asset reads, makes one call into `scoring`, and records what it wrote.
"""

import time
from collections.abc import Iterator

import dagster as dg

from urgency_dagster.defs import steps
from urgency_dagster.defs.columns import column_metadata, declared_columns
from urgency_dagster.defs.configuration import dagster_config
from urgency_dagster.defs.figures import timing
from urgency_dagster.defs.labels import CALLS_TEAM, PERSONAL
from urgency_dagster.defs.monitoring_checks import NO_DRIFT, SAME_SHARES, no_drift, shares_as_in_validation
from urgency_dagster.defs.partitions import scoring_archives
from urgency_dagster.defs.progress import shown_progress
from urgency_dagster.defs.resources import ModelsResource, StorageResource
from urgency_dagster.defs.scoring_pages import (
    ALL_SCORED,
    FEW_UNSCORED,
    all_scored,
    call_metadata,
    few_unscored,
    recordings_metadata,
    utterance_metadata,
)
from urgency_dagster.defs.urgency_assets import label_free_gap, urgency_model
from urgency_dagster.operations.gpus import take_gpu
from urgency_dagster.operations.placement import CPU_TAGS, GPU_POOL, GPU_TAGS
from urgency_dagster.provenance.keys import SCORING_ARCHIVE
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.provenance.record import CheckedEvent, Record, landed_result
from urgency_dagster.scoring import (
    CODE_VERSIONS,
    ScoringConfig,
    count_scored,
    monitor_archive,
    score_archive,
    write_recordings,
    write_scored_calls,
)
from urgency_dagster.urgency import load_model

GROUP = "scoring"


@steps.asset(
    group_name=GROUP,
    partitions_def=scoring_archives,
    owners=CALLS_TEAM,
    tags=PERSONAL,
    op_tags=CPU_TAGS,
    kinds={"wav", "zip"},
)
def scoring_archive(context: dg.AssetExecutionContext, storage: StorageResource) -> dg.MaterializeResult:
    """Recordings that landed together: a ZIP, a folder with all below it, or the files of landing/scoring itself.

    Its data version is a hash of the names and the content of all files. Nothing is written to the landing folder.
    """
    landed = LandedContent(storage.paths)
    with shown_progress(context, "MB") as progress:
        sha256 = landed.content_hash(SCORING_ARCHIVE, context.partition_key, progress)
    return landed_result(SCORING_ARCHIVE, landed.size_bytes(SCORING_ARCHIVE, context.partition_key), sha256)


@steps.asset(
    group_name=GROUP,
    partitions_def=scoring_archives,
    deps=[scoring_archive],
    owners=CALLS_TEAM,
    tags=PERSONAL,
    code_version=CODE_VERSIONS["scoring_recordings"],
    metadata=declared_columns("scoring_recordings"),
    op_tags=CPU_TAGS,
    kinds={"parquet"},
)
def scoring_recordings(context: dg.AssetExecutionContext, storage: StorageResource) -> dg.MaterializeResult:
    """Every recording of the archive with the label that belongs to it, and every rejected file with its reason."""
    record = Record.open(context, storage.paths)
    archive = LandedContent(storage.paths).recordings(context.partition_key)
    with shown_progress(context, "recordings") as progress:
        write_recordings(storage.paths, archive, progress)
    recordings = storage.paths.scoring(archive.name).recordings
    return record.close([recordings], {**recordings_metadata(recordings), **column_metadata("scoring_recordings")})


class ScoringOptions(dagster_config(ScoringConfig)):  # type: ignore[misc]
    """The options of `scored_utterances` in the Launchpad."""


@steps.asset(
    group_name=GROUP,
    partitions_def=scoring_archives,
    deps=[scoring_archive, scoring_recordings, urgency_model, label_free_gap],
    owners=CALLS_TEAM,
    tags=PERSONAL,
    code_version=CODE_VERSIONS["scored_utterances"],
    metadata=declared_columns("scored_utterances"),
    op_tags=GPU_TAGS,
    pool=GPU_POOL,
    kinds={"pytorch", "parquet", "csv"},
    check_specs=[ALL_SCORED, FEW_UNSCORED],
)
def scored_utterances(
    context: dg.AssetExecutionContext, config: ScoringOptions, storage: StorageResource, models: ModelsResource
) -> Iterator[CheckedEvent]:
    """What was said, by whom and how urgent, for each utterance of each recording, with the answer for its call.

    A recording that the same models scored before keeps its rows. `label_free_gap` is used once it is made.
    """
    record = Record.open(context, storage.paths, config=config, pretrained=models.names)
    options = ScoringConfig(**config.model_dump())
    take_gpu(storage.paths, options.device, context.log.info)
    archive = LandedContent(storage.paths).recordings(context.partition_key)
    predictor = load_model(
        storage.paths.urgency.model,
        options.device,
        speech_model=models.named_speech_model,
        recogniser=models.recogniser,
    )
    started = time.monotonic()
    with shown_progress(context, "recordings") as progress:
        asked = score_archive(storage.paths, archive, predictor, progress)
    counts, files = count_scored(storage.paths, archive.name), storage.paths.scoring(archive.name)
    metadata = {
        **utterance_metadata(counts, asked),
        **timing(time.monotonic() - started),
        **column_metadata("scored_utterances"),
    }
    checks = [all_scored(counts), few_unscored(counts, options, files.rejects)]
    outputs = [files.utterances, files.csv(files.utterances), files.rejects, files.monitored]
    yield from record.close_checked(outputs, metadata, checks)


@steps.asset(
    group_name=GROUP,
    partitions_def=scoring_archives,
    deps=[scored_utterances],
    owners=CALLS_TEAM,
    tags=PERSONAL,
    code_version=CODE_VERSIONS["scored_calls"],
    metadata=declared_columns("scored_calls"),
    op_tags=CPU_TAGS,
    kinds={"parquet", "csv"},
    check_specs=[NO_DRIFT, SAME_SHARES],
)
def scored_calls(context: dg.AssetExecutionContext, storage: StorageResource) -> Iterator[CheckedEvent]:
    """Urgency, sentiment, abstention and alarm of each call, without text. They are compared with the training set."""
    record = Record.open(context, storage.paths)
    write_scored_calls(storage.paths, context.partition_key)
    files = storage.paths.scoring(context.partition_key)
    counts = count_scored(storage.paths, context.partition_key)
    metadata = {**call_metadata(counts), **column_metadata("scored_calls")}
    monitoring = monitor_archive(storage.paths, context.partition_key)
    checks = [no_drift(monitoring), shares_as_in_validation(monitoring)]
    yield from record.close_checked([files.calls, files.csv(files.calls)], metadata, checks)


SCORING_ASSETS = (scoring_archive, scoring_recordings, scored_utterances, scored_calls)

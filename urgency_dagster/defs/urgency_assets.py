"""The assets of the urgency pipeline: training set, model, evaluation; on demand leak gap, label-free gap, export."""

import time
from collections.abc import Iterator
from dataclasses import asdict

import dagster as dg

from urgency_dagster.calls import total_funnel, write_full_table
from urgency_dagster.defs import steps
from urgency_dagster.defs.call_assets import processed_data
from urgency_dagster.defs.checks import (
    CALLS_IN_ONE_ARCHIVE,
    SPLIT_BY_CALL,
    calls_in_one_archive,
    split_by_call,
)
from urgency_dagster.defs.columns import column_metadata, declared_columns
from urgency_dagster.defs.configuration import dagster_config
from urgency_dagster.defs.evaluation_checks import (
    BEATS_MAJORITY,
    BETTER_THAN_PARTS,
    NOT_WORSE,
    SAME_AS_EVALUATION,
    SAME_WHEN_SERVED,
    beats_majority,
    better_than_parts,
    not_worse_than_before,
    same_as_evaluation,
    same_when_served,
)
from urgency_dagster.defs.figures import figure_table
from urgency_dagster.defs.labels import CALLS_TEAM, EVALUATED_LATELY, FIGURES, MODEL, ON_DEMAND, PERSONAL
from urgency_dagster.defs.metadata import (
    evaluation_metadata,
    funnel_metadata,
    gap_metadata,
    training_metadata,
    training_set_metadata,
)
from urgency_dagster.defs.on_demand import LEFT_OUT, is_asked_for
from urgency_dagster.defs.progress import shown_progress
from urgency_dagster.defs.reports import report_page
from urgency_dagster.defs.resources import ModelsResource, StorageResource
from urgency_dagster.operations.gpus import take_gpu
from urgency_dagster.operations.placement import CPU_TAGS, GPU_POOL, GPU_TAGS
from urgency_dagster.provenance.keys import LABEL_FREE_GAP
from urgency_dagster.provenance.manifests import partitions_with_manifest
from urgency_dagster.provenance.record import CheckedEvent, Record
from urgency_dagster.scoring import CODE_VERSIONS as SCORING_VERSIONS
from urgency_dagster.scoring import GapConfig, measure_label_free_gap
from urgency_dagster.serving import measure_parity
from urgency_dagster.urgency import (
    CODE_VERSIONS,
    TASKS,
    EvaluationConfig,
    SplitConfig,
    TrainingConfig,
    build_training_set,
    evaluate,
    export_model,
    find_shared_calls,
    load_model,
    measure_leak_gap,
    read_metrics,
    train,
)

GROUP = "urgency"


class SplitOptions(dagster_config(SplitConfig)):  # type: ignore[misc]
    """How utterances are divided into a training, a development and a validation side."""


@steps.asset(
    group_name=GROUP,
    deps=[dg.AssetDep(processed_data, partition_mapping=dg.AllPartitionMapping())],
    owners=CALLS_TEAM,
    tags=PERSONAL,
    code_version=CODE_VERSIONS["training_set"],
    metadata=declared_columns("training_set"),
    op_tags=CPU_TAGS,
    kinds={"parquet"},
    check_specs=[CALLS_IN_ONE_ARCHIVE, SPLIT_BY_CALL],
)
def training_set(
    context: dg.AssetExecutionContext, config: SplitOptions, storage: StorageResource
) -> Iterator[CheckedEvent]:
    """The rows of all complete archives with their class ids and their side of the split."""
    record = Record.open(context, storage.paths, config=config)
    archives = partitions_with_manifest(storage.paths, "processed_data")
    summary = build_training_set(storage.paths, archives, SplitConfig(**config.model_dump()))
    metadata = {
        **training_set_metadata(summary),
        **funnel_metadata(total_funnel(storage.paths, summary.archives)),
        **column_metadata("training_set"),
    }
    for warning in filter(None, (summary.left_out, summary.warning)):
        context.log.warning(warning)
    checks = [
        calls_in_one_archive(find_shared_calls(storage.paths, summary.archives)),
        split_by_call(storage.paths.urgency.rows, summary.mode_used),
    ]
    yield from record.close_checked([storage.paths.urgency.rows, storage.paths.urgency.split], metadata, checks)


class TrainingOptions(dagster_config(TrainingConfig)):  # type: ignore[misc]
    """The hyper-parameters of the training."""


@steps.asset(
    group_name=GROUP,
    deps=[training_set],
    owners=CALLS_TEAM,
    tags=MODEL,
    code_version=CODE_VERSIONS["urgency_model"],
    op_tags=GPU_TAGS,
    pool=GPU_POOL,
    kinds={"pytorch", "huggingface"},
)
def urgency_model(
    context: dg.AssetExecutionContext, config: TrainingOptions, storage: StorageResource, models: ModelsResource
) -> dg.MaterializeResult:
    """The best epoch of KoELECTRA with cross-attention to the audio vectors, trained on urgency and sentiment."""
    record = Record.open(context, storage.paths, config=config, pretrained=models.names)
    training = TrainingConfig(**config.model_dump())
    take_gpu(storage.paths, training.device, context.log.info)
    started = time.monotonic()
    with shown_progress(context, "steps") as progress:
        summary = train(storage.paths, models.text_model(), training, progress)
    metadata = training_metadata(summary, training, time.monotonic() - started)
    return record.close([storage.paths.urgency.checkpoint, storage.paths.urgency.model], metadata)


class EvaluationOptions(dagster_config(EvaluationConfig)):  # type: ignore[misc]
    """How the model is evaluated."""


@steps.asset(
    group_name=GROUP,
    deps=[training_set, urgency_model],
    owners=CALLS_TEAM,
    tags=FIGURES,
    code_version=CODE_VERSIONS["urgency_evaluation"],
    metadata=declared_columns("urgency_evaluation"),
    op_tags=GPU_TAGS,
    pool=GPU_POOL,
    kinds={"pytorch", "markdown"},
    freshness_policy=EVALUATED_LATELY,
    check_specs=[BEATS_MAJORITY, NOT_WORSE, BETTER_THAN_PARTS, SAME_WHEN_SERVED],
)
def urgency_evaluation(
    context: dg.AssetExecutionContext, config: EvaluationOptions, storage: StorageResource
) -> Iterator[CheckedEvent]:
    """Scores of the validation side by utterance and by call, baselines, report and pictures."""
    record = Record.open(context, storage.paths, config=config)
    evaluation = EvaluationConfig(**config.model_dump())
    take_gpu(storage.paths, evaluation.device, context.log.info)
    before = read_metrics(storage.paths)
    with shown_progress(context, "utterances") as progress:
        metrics = evaluate(storage.paths, evaluation, progress)
    folder = storage.paths.urgency.evaluation
    files = sorted(file for file in folder.iterdir() if file.is_file())
    metadata = {
        **evaluation_metadata(metrics),
        "report": report_page(folder / "report.md"),
        "page": dg.MetadataValue.path(str(folder / "report.html")),
        **column_metadata("urgency_evaluation"),
    }
    checks = [
        beats_majority(metrics),
        not_worse_than_before(metrics, before),
        better_than_parts(metrics),
        same_when_served(measure_parity(storage.paths.root)),
    ]
    yield from record.close_checked([folder, *files], metadata, checks)


@steps.asset(
    group_name=GROUP,
    deps=[training_set, urgency_model, urgency_evaluation],
    owners=CALLS_TEAM,
    tags=FIGURES | ON_DEMAND,
    code_version=CODE_VERSIONS["urgency_leak_gap"],
    op_tags=GPU_TAGS,
    pool=GPU_POOL,
    kinds={"pytorch", "json"},
    output_required=False,
)
def urgency_leak_gap(
    context: dg.AssetExecutionContext, config: EvaluationOptions, storage: StorageResource, models: ModelsResource
) -> Iterator[dg.MaterializeResult]:
    """How much the original's split by utterance inflates the scores of the same model.

    It is made on demand and by the weekly evaluation, and takes as long as the training. *Materialize all* leaves it
    out.
    """
    if not is_asked_for(context):
        context.log.info(LEFT_OUT)
        return
    record = Record.open(context, storage.paths, config=config)
    evaluation = EvaluationConfig(**config.model_dump())
    take_gpu(storage.paths, evaluation.device, context.log.info)
    with shown_progress(context, "steps") as progress:
        gap = measure_leak_gap(storage.paths, models.text_model(), evaluation, progress)
    metadata = {
        f"{task}_f1_macro": figure_table({name: of_split[task] for name, of_split in asdict(gap).items()})
        for task in TASKS
        if task in gap.inflation
    }
    yield record.close([storage.paths.urgency.leak_gap], metadata)


class GapOptions(dagster_config(GapConfig)):  # type: ignore[misc]
    """How the cost of missing labels is measured."""


# A step of a single asset may leave out the asset and not its check. Of a `multi_asset` it may leave out both.
@steps.multi_asset(
    name=LABEL_FREE_GAP.path[0],
    specs=[
        dg.AssetSpec(
            LABEL_FREE_GAP,
            group_name=GROUP,
            deps=[training_set, urgency_model, urgency_evaluation],
            skippable=True,
            owners=CALLS_TEAM,
            tags=FIGURES | ON_DEMAND,
            code_version=SCORING_VERSIONS["label_free_gap"],
            kinds={"pytorch", "markdown"},
            description="What missing labels cost: the validation calls with the turns and text of their labels, and "
            "without them. It also fits the thresholds for calls without labels on the development side. It is made on "
            "demand and by the weekly evaluation. *Materialize all* leaves it out.",
        )
    ],
    can_subset=True,
    op_tags=GPU_TAGS,
    pool=GPU_POOL,
    check_specs=[SAME_AS_EVALUATION],
)
def label_free_gap(
    context: dg.AssetExecutionContext, config: GapOptions, storage: StorageResource, models: ModelsResource
) -> Iterator[CheckedEvent]:
    """Hears the held-out calls with and without their labels, and compares the answers."""
    if not is_asked_for(context):
        context.log.info(LEFT_OUT)
        return
    record = Record.open(context, storage.paths, config=config, pretrained=models.names)
    options = GapConfig(**config.model_dump())
    take_gpu(storage.paths, options.device, context.log.info)
    predictor = load_model(
        storage.paths.urgency.model,
        options.device,
        speech_model=models.named_speech_model,
        recogniser=models.recogniser,
    )
    with shown_progress(context, "calls") as progress:
        metrics = measure_label_free_gap(storage.paths, predictor, options, progress)
    folder = storage.paths.urgency.label_free_gap
    metadata = {**gap_metadata(metrics), "report": report_page(folder / "report.md")}
    files = sorted(folder.iterdir())
    yield from record.close_checked([folder, *files], metadata, [same_as_evaluation(metrics)])


@steps.asset(
    group_name=GROUP,
    deps=[training_set, urgency_model, label_free_gap],
    owners=CALLS_TEAM,
    tags=MODEL | ON_DEMAND,
    code_version=CODE_VERSIONS["urgency_export"],
    op_tags=CPU_TAGS,
    kinds={"openvino", "huggingface"},
    output_required=False,
)
def urgency_export(context: dg.AssetExecutionContext, storage: StorageResource) -> Iterator[dg.MaterializeResult]:
    """The model folder with its network in OpenVINO, verified against torch, for other machines and programs.

    The thresholds of `label_free_gap` go with it once they are made. It is made on demand, needs the extra `openvino`,
    and takes as much disk as the weights twice. *Materialize all* leaves it out.
    """
    if not is_asked_for(context):
        context.log.info(LEFT_OUT)
        return
    record = Record.open(context, storage.paths)
    summary = export_model(storage.paths)
    folder = storage.paths.urgency.export
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    yield record.close([folder, *files], asdict(summary))


@steps.asset(
    group_name=GROUP,
    deps=[dg.AssetDep(processed_data, partition_mapping=dg.AllPartitionMapping())],
    owners=CALLS_TEAM,
    tags=PERSONAL | ON_DEMAND,
    code_version=CODE_VERSIONS["full_table"],
    metadata=declared_columns("full_table"),
    op_tags=CPU_TAGS,
    kinds={"csv", "parquet", "numpy"},
    output_required=False,
)
def full_table(context: dg.AssetExecutionContext, storage: StorageResource) -> Iterator[dg.MaterializeResult]:
    """The rows of all archives as one CSV, Parquet and NPY file, like the original's `…_full_final.csv`.

    It is made on demand, and takes as much disk as all vectors twice. *Materialize all* leaves it out.
    """
    if not is_asked_for(context):
        context.log.info(LEFT_OUT)
        return
    record = Record.open(context, storage.paths)
    archives = partitions_with_manifest(storage.paths, "processed_data")
    files = write_full_table(storage.paths, archives)
    metadata = {"archives": len(archives), **column_metadata("full_table")}
    yield record.close([storage.paths.urgency.full_table, *files], metadata)


URGENCY_ASSETS = (training_set, urgency_model, urgency_evaluation)

ON_DEMAND_ASSETS = (urgency_leak_gap, label_free_gap, urgency_export, full_table)
"""Assets that no other asset needs and that `run` does not make."""

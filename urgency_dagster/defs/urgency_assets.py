"""The urgency pipeline: rows and vectors of all complete archives become a judged model.

How rows are split, trained on and judged is in `urgency`; this module only wires it.
"""

from dataclasses import asdict

import dagster as dg
from pydantic import Field

from urgency_dagster.calls import total_funnel
from urgency_dagster.defs.call_assets import processed_data
from urgency_dagster.defs.checks import (
    BEATS_MAJORITY,
    CALLS_IN_ONE_ARCHIVE,
    NOT_WORSE,
    SPLIT_BY_CALL,
    beats_majority,
    calls_in_one_archive,
    not_worse_than_before,
    split_by_call,
)
from urgency_dagster.defs.metadata import figure_table, funnel_metadata, history_picture, pictures, table_schema
from urgency_dagster.defs.progress import shown_progress
from urgency_dagster.defs.resources import ModelsResource, StorageResource
from urgency_dagster.operations.placement import CPU_TAGS, GPU_POOL, GPU_TAGS
from urgency_dagster.provenance.manifests import partitions_with_manifest
from urgency_dagster.provenance.record import Record
from urgency_dagster.urgency.data.dataset import build_training_set
from urgency_dagster.urgency.data.duplicates import find_shared_calls
from urgency_dagster.urgency.data.splits import SplitConfig
from urgency_dagster.urgency.data.tables import TRAINING_ROWS
from urgency_dagster.urgency.evaluation.evaluation import (
    EvaluationConfig,
    evaluate_urgency_model,
    read_metrics,
)
from urgency_dagster.urgency.evaluation.leak_gap import measure_leak_gap
from urgency_dagster.urgency.training.fit import train_urgency_model
from urgency_dagster.urgency.training.learner import TrainingConfig

GROUP = "urgency"


class SplitOptions(dg.Config):
    """How utterances are divided into a training and a validation side."""

    mode: str = Field(
        SplitConfig.mode,
        description="`official` keeps AI Hub's Training/Validation border (and is `call` when only one of them is "
        "present), `call` draws whole calls, `utterance` draws utterances as the original did (scores are inflated).",
    )
    validation_share: float = Field(SplitConfig.validation_share, description="Share drawn; unused by `official`.")
    seed: int = Field(SplitConfig.seed, description="Seed of the draw.")


@dg.asset(
    group_name=GROUP,
    deps=[dg.AssetDep(processed_data, partition_mapping=dg.AllPartitionMapping())],
    code_version="2",
    op_tags=CPU_TAGS,
    kinds={"parquet"},
    check_specs=[CALLS_IN_ONE_ARCHIVE, SPLIT_BY_CALL],
)
def training_set(
    context: dg.AssetExecutionContext, config: SplitOptions, storage: StorageResource
) -> dg.MaterializeResult:
    """Every row of every complete archive with its class ids and its side of the split."""
    record = Record.open(context, storage.paths, config=config)
    archives = partitions_with_manifest(storage.paths, "processed_data")
    summary = build_training_set(storage.paths, archives, SplitConfig(**config.model_dump()))
    metadata = {
        "dagster/row_count": sum(summary.utterances.values()),
        "dagster/column_schema": table_schema(TRAINING_ROWS),
        "archives": len(summary.archives),
        "audio_tokens": summary.audio_tokens,
        "split": figure_table({f"{side} calls": count for side, count in summary.calls.items()}),
        "mode": f"{summary.mode_used} {summary.note}".strip(),
        "split_sha256": summary.sha256,
        **funnel_metadata(total_funnel(storage.paths, summary.archives)),
    }
    checks = [
        calls_in_one_archive(find_shared_calls(storage.paths, summary.archives)),
        split_by_call(storage.paths.urgency.rows, summary.mode_used),
    ]
    return record.close([storage.paths.urgency.rows, storage.paths.urgency.split], metadata, checks=checks)


class TrainingOptions(dg.Config):
    """The hyper-parameters; the defaults are the original pipeline's."""

    epochs: int = Field(TrainingConfig.epochs, description="Passes over the training side.")
    batch_size: int = Field(TrainingConfig.batch_size, description="Utterances per step.")
    learning_rate: float = Field(TrainingConfig.learning_rate, description="AdamW's learning rate at the start.")
    weight_decay: float = Field(TrainingConfig.weight_decay, description="AdamW's weight decay, on all parameters.")
    min_learning_rate: float = Field(
        TrainingConfig.min_learning_rate, description="End of the cosine schedule, which steps once per epoch."
    )
    clip_norm: float = Field(TrainingConfig.clip_norm, description="Gradients are scaled down to this norm.")
    sentiment_weight: float = Field(TrainingConfig.sentiment_weight, description="Share of the sentiment loss.")
    urgency_weight: float = Field(TrainingConfig.urgency_weight, description="Share of the urgency loss.")
    attention_heads: int = Field(TrainingConfig.attention_heads, description="Heads of the cross-attention.")
    dropout: float = Field(TrainingConfig.dropout, description="Dropout around the cross-attention.")
    max_length: int = Field(TrainingConfig.max_length, description="Tokens at which a text is cut.")
    calibration_share: float = Field(
        TrainingConfig.calibration_share,
        description="Share of the training calls that is kept from the training, to fit the temperatures and the "
        "thresholds on.",
    )
    person_share: float = Field(
        TrainingConfig.person_share,
        description="Share of the calls that the threshold of confidence is to leave to a person.",
    )
    high_recall: float = Field(
        TrainingConfig.high_recall,
        description="Share of the calls of high urgency that the threshold of alarm is to catch.",
    )
    seed: int = Field(TrainingConfig.seed, description="Seed of the weights, the order of the rows and dropout.")
    mixed_precision: str = Field(
        TrainingConfig.mixed_precision,
        description="`no` as the original, or the 16 bits of matrix products: `bf16`, or `fp16` on a GPU.",
    )
    device: str = Field(TrainingConfig.device, description="`auto` (cuda, else mps, else cpu) or a torch device.")


@dg.asset(
    group_name=GROUP,
    deps=[training_set],
    code_version="3",
    op_tags=GPU_TAGS,
    pool=GPU_POOL,
    kinds={"pytorch", "huggingface"},
)
def urgency_model(
    context: dg.AssetExecutionContext, config: TrainingOptions, storage: StorageResource, models: ModelsResource
) -> dg.MaterializeResult:
    """KoELECTRA with cross-attention to the audio, trained on urgency and sentiment; the best epoch is kept."""
    record = Record.open(context, storage.paths, config=config, pretrained=models.names)
    training = TrainingConfig(**config.model_dump())
    with shown_progress(context, "steps") as progress:
        summary = train_urgency_model(storage.paths, models.text_model(), training, progress)
    best = asdict(summary.best)
    metadata = {
        **{f"best_{name}": value for name, value in best.items()},
        "history": history_picture([asdict(scores) for scores in summary.history]),
        "parameters": summary.parameters,
        "device": summary.device,
        "data_sha256": summary.data_sha256,
    }
    return record.close([storage.paths.urgency.checkpoint, storage.paths.urgency.model], metadata)


class EvaluationOptions(dg.Config):
    """How the model is judged."""

    batch_size: int = Field(EvaluationConfig.batch_size, description="Utterances per forward pass.")
    bootstrap_resamples: int = Field(
        EvaluationConfig.bootstrap_resamples, description="Bootstrap samples of the calls for each 95 % interval."
    )
    cost_matrix: list[list[float]] = Field(
        [list(row) for row in EvaluationConfig.cost_matrix],
        description="Cost of one call of each true urgency (rows: 하, 중, 상) read as each urgency (columns).",
    )
    seed: int = Field(EvaluationConfig.seed, description="Seed of the bootstrap.")
    device: str = Field(EvaluationConfig.device, description="`auto` (cuda, else mps, else cpu) or a torch device.")


@dg.asset(
    group_name=GROUP,
    deps=[training_set, urgency_model],
    code_version="3",
    op_tags=GPU_TAGS,
    pool=GPU_POOL,
    kinds={"pytorch", "markdown"},
    check_specs=[BEATS_MAJORITY, NOT_WORSE],
)
def urgency_evaluation(
    context: dg.AssetExecutionContext, config: EvaluationOptions, storage: StorageResource
) -> dg.MaterializeResult:
    """Scores of the validation side, by utterance and by call, next to the majority class; report and pictures."""
    record = Record.open(context, storage.paths, config=config)
    before = read_metrics(storage.paths)
    with shown_progress(context, "utterances") as progress:
        metrics = evaluate_urgency_model(storage.paths, EvaluationConfig(**config.model_dump()), progress)
    folder = storage.paths.urgency.evaluation
    files = sorted(file for file in folder.iterdir() if file.is_file())
    told = ("utterance", "text_only", "audio_only", "majority", "call", "text_only_call", "audio_only_call")
    metadata = {
        "urgency macro-F1": figure_table({level: metrics[level]["urgency"]["f1_macro"] for level in told}),
        "urgency_f1_macro": metrics["utterance"]["urgency"]["f1_macro"],
        "average_f1": metrics["utterance"]["average_f1"],
        "pictures": pictures(*(file for file in files if file.suffix == ".png")),
    }
    checks = [beats_majority(metrics), not_worse_than_before(metrics, before)]
    return record.close([folder, *files], metadata, checks=checks)


@dg.asset(
    group_name=GROUP,
    deps=[training_set, urgency_model, urgency_evaluation],
    code_version="1",
    op_tags=GPU_TAGS,
    pool=GPU_POOL,
    kinds={"pytorch", "json"},
)
def urgency_leak_gap(
    context: dg.AssetExecutionContext, config: EvaluationOptions, storage: StorageResource, models: ModelsResource
) -> dg.MaterializeResult:
    """How much the original's split by utterance inflates the scores: the same training and judging on it.

    Made on demand only; it takes as long as the training.
    """
    record = Record.open(context, storage.paths, config=config)
    evaluation = EvaluationConfig(**config.model_dump())
    with shown_progress(context, "steps") as progress:
        gap = measure_leak_gap(storage.paths, models.text_model(), evaluation, progress)
    metadata = {
        f"{task}_f1_macro": figure_table({name: of_split[task] for name, of_split in asdict(gap).items()})
        for task in gap.inflation
    }
    return record.close([storage.paths.urgency.leak_gap], metadata)


URGENCY_ASSETS = (training_set, urgency_model, urgency_evaluation)

ON_DEMAND_ASSETS = (urgency_leak_gap,)
"""Assets that nobody needs for the next one, and that no run makes by itself."""

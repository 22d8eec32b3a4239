"""The assets of the attention pipeline: from `landing/attention/attention.pkl` to cross-validated, exported models.

The computations are in `urgency_dagster.attention`; this module makes assets of them.
"""

import time
from collections.abc import Iterator

import dagster as dg

from urgency_dagster.attention import (
    BASELINE,
    CODE_VERSIONS,
    MODEL_NAMES,
    ControlConfig,
    CrossValidationConfig,
    FeatureConfig,
    FitCache,
    Level,
    Protocol,
    cross_validate,
    export_models,
    hyper_parameters,
    import_pickle,
    read_features,
    write_audit,
    write_leaderboard,
    write_results,
)
from urgency_dagster.defs import steps
from urgency_dagster.defs.checks import NO_LEAK, NO_SUSPICION, PLAUSIBLE_SCORES, no_leak, no_suspicion, plausible_scores
from urgency_dagster.defs.columns import column_metadata, declared_columns
from urgency_dagster.defs.configuration import dagster_config
from urgency_dagster.defs.figures import figure_table, option_table, rounded, share, timing
from urgency_dagster.defs.labels import EVALUATED_LATELY, FIGURES, MODEL, PERSONAL, WEARABLES_TEAM
from urgency_dagster.defs.metadata import feature_metadata, validation_metadata
from urgency_dagster.defs.progress import shown_progress
from urgency_dagster.defs.reports import report_page
from urgency_dagster.defs.resources import RayResource, StorageResource
from urgency_dagster.operations.placement import CPU_TAGS
from urgency_dagster.provenance.keys import ATTENTION_SOURCE
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.provenance.record import CheckedEvent, Record, landed_result

GROUP = "attention"
CROSS_VALIDATED = (*MODEL_NAMES, BASELINE)


@steps.asset(
    group_name=GROUP,
    owners=WEARABLES_TEAM,
    tags=PERSONAL,
    op_tags=CPU_TAGS,
    kinds={"pickle"},
)
def attention_source(context: dg.AssetExecutionContext, storage: StorageResource) -> dg.MaterializeResult:
    """A K-EmoPhone pickle (X, y, group, t) in the landing folder. Its data version is the hash of the file."""
    landed = LandedContent(storage.paths)
    with shown_progress(context, "MB") as progress:
        sha256 = landed.content_hash(ATTENTION_SOURCE, None, progress)
    return landed_result(ATTENTION_SOURCE, landed.size_bytes(ATTENTION_SOURCE, None), sha256)


def cv_key(model: str) -> dg.AssetKey:
    """The key of a model's cross-validation."""
    return dg.AssetKey(["attention_cv", model])


def model_key(model: str) -> dg.AssetKey:
    """The key of an exported model."""
    return dg.AssetKey(["attention_models", model])


class FeatureOptions(dagster_config(FeatureConfig)):  # type: ignore[misc]
    """The choice of columns and rows of a landed pickle, and the limits of reading it in its sandbox process."""


@steps.asset(
    group_name=GROUP,
    deps=[attention_source],
    owners=WEARABLES_TEAM,
    tags=PERSONAL,
    code_version=CODE_VERSIONS["attention_features"],
    metadata=declared_columns("attention_features"),
    op_tags=CPU_TAGS,
    kinds={"parquet"},
)
def attention_features(
    context: dg.AssetExecutionContext, config: FeatureOptions, storage: StorageResource
) -> dg.MaterializeResult:
    """The samples of the pickle, read and checked in a sandbox process, and stored as Parquet."""
    record = Record.open(context, storage.paths, config=config)
    paths = storage.paths.attention
    summary = import_pickle(storage.paths.attention_pickle, paths, FeatureConfig(**config.model_dump()))
    return record.close(
        [paths.features, paths.samples, paths.summary],
        {**feature_metadata(summary), **column_metadata("attention_features")},
    )


class CrossValidationOptions(dagster_config(CrossValidationConfig, without=("backend", "address"))):  # type: ignore[misc]
    """The options of the cross-validation. The exported models are refitted by the same protocol."""


@steps.multi_asset(
    name="attention_cv",
    specs=[
        dg.AssetSpec(
            cv_key(model),
            group_name=GROUP,
            deps=[attention_features],
            skippable=True,
            owners=WEARABLES_TEAM,
            tags=PERSONAL | {"model": model},
            code_version=CODE_VERSIONS["attention_cv"],
            metadata=declared_columns("attention_cv"),
            kinds={"cross-validation", "ray"},
            description=f"Cross-validation of `{model}` by participant: out-of-fold predictions and scores.",
        )
        for model in CROSS_VALIDATED
    ],
    can_subset=True,
    op_tags=CPU_TAGS,
)
def attention_cv(
    context: dg.AssetExecutionContext, config: CrossValidationOptions, storage: StorageResource, ray: RayResource
) -> Iterator[dg.MaterializeResult]:
    """Cross-validates the selected models as Ray tasks.

    If a fit fails or the step is killed, the finished fits stay in the fit cache, and the next attempt reuses them.
    """
    record = Record.open(context, storage.paths, config=config)
    paths = storage.paths.attention
    models = [model for model in CROSS_VALIDATED if cv_key(model) in context.selected_asset_keys]
    cross_validation = CrossValidationConfig(**config.model_dump(), address=ray.address)
    data = read_features(paths)
    cache = FitCache.open(paths.fit_cache, data, Protocol.of(cross_validation))
    started = time.monotonic()
    with shown_progress(context, "fits") as progress:
        results = cross_validate(data, models, cross_validation, progress, cache)
    made = {**timing(time.monotonic() - started), **ray.in_force(config.num_cpus)}
    for model, result in results.items():
        metrics = write_results(result, paths)
        files = sorted(paths.results(model).iterdir())
        metadata = {
            **validation_metadata(metrics, result.reused),
            "protocol": option_table(metrics["protocol"]),
            **made,
            **column_metadata("attention_cv"),
        }
        yield record.close([paths.results(model), *files], metadata, key=cv_key(model))
    cache.remove(models)


class AuditOptions(dagster_config(ControlConfig)):  # type: ignore[misc]
    """The control cross-validations of the audit."""


@steps.asset(
    group_name=GROUP,
    deps=[attention_features, *(cv_key(model) for model in CROSS_VALIDATED)],
    owners=WEARABLES_TEAM,
    tags=FIGURES,
    code_version=CODE_VERSIONS["attention_audit"],
    op_tags=CPU_TAGS,
    kinds={"ray", "json", "markdown"},
    check_specs=[NO_LEAK, NO_SUSPICION],
)
def attention_audit(
    context: dg.AssetExecutionContext, config: AuditOptions, storage: StorageResource, ray: RayResource
) -> Iterator[CheckedEvent]:
    """Looks for reasons why the scores may be too high: leaks, copies, identifiers, label history, shuffled labels."""
    record = Record.open(context, storage.paths, config=config)
    paths = storage.paths.attention
    controls = ControlConfig(**config.model_dump())
    backend = CrossValidationConfig(address=ray.address, num_cpus=controls.num_cpus)
    started = time.monotonic()
    with shown_progress(context, "cross-validations") as progress:
        audit = write_audit(paths, CROSS_VALIDATED, controls, backend, progress)
    metadata = {
        **{level.value: len(audit.of(level)) for level in Level},
        "report": report_page(paths.audit_report),
        **timing(time.monotonic() - started),
        **ray.in_force(config.num_cpus),
    }
    checks = [no_leak(audit.findings), no_suspicion(audit.findings)]
    yield from record.close_checked([paths.audit, paths.audit_report], metadata, checks)


@steps.asset(
    group_name=GROUP,
    deps=[attention_audit, *(cv_key(model) for model in CROSS_VALIDATED)],
    owners=WEARABLES_TEAM,
    tags=FIGURES,
    code_version=CODE_VERSIONS["attention_leaderboard"],
    metadata=declared_columns("attention_leaderboard"),
    op_tags=CPU_TAGS,
    kinds={"csv", "markdown"},
    freshness_policy=EVALUATED_LATELY,
    check_specs=[PLAUSIBLE_SCORES],
)
def attention_leaderboard(context: dg.AssetExecutionContext, storage: StorageResource) -> dg.MaterializeResult:
    """Compares all models with the baseline: table, report and pictures, with a summary of the audit."""
    record = Record.open(context, storage.paths)
    paths = storage.paths.attention
    table = write_leaderboard(paths, CROSS_VALIDATED).set_index("model")
    drawings = sorted(paths.results_folder.glob("*.png"))
    scores = {str(model): float(score) for model, score in table["f1_macro_mean"].items()}
    metadata = {
        "macro_f1": figure_table(scores),
        **rounded({"best_f1_macro": max(scores.values()), "baseline_f1_macro": scores[BASELINE]}),
        "report": report_page(paths.report),
        **column_metadata("attention_leaderboard"),
    }
    return record.close(
        [paths.leaderboard, paths.differences, paths.report, *drawings], metadata, checks=[plausible_scores(scores)]
    )


@steps.multi_asset(
    name="attention_models",
    specs=[
        dg.AssetSpec(
            model_key(model),
            group_name=GROUP,
            deps=[attention_features, attention_audit, cv_key(model)],
            skippable=True,
            owners=WEARABLES_TEAM,
            tags=MODEL | {"model": model},
            code_version=CODE_VERSIONS["attention_models"],
            kinds={"export", "scikitlearn", "pickle"},
            description=f"Export of `{model}`, refitted on all rows: one Pipeline as .pkl and .skops, and its card.",
        )
        for model in MODEL_NAMES
    ],
    can_subset=True,
    op_tags=CPU_TAGS,
)
def attention_models(context: dg.AssetExecutionContext, storage: StorageResource) -> Iterator[dg.MaterializeResult]:
    """Refits the selected models on all rows and exports them."""
    record = Record.open(context, storage.paths)
    paths = storage.paths.attention
    data = read_features(paths)
    selected = [model for model in MODEL_NAMES if model_key(model) in context.selected_asset_keys]
    started = time.monotonic()
    for model, card in export_models(data, selected, paths):
        metadata = {
            "selected_features": share(len(card["selected_features"]), len(card["columns"]), "features"),
            "hyper_parameters": option_table(hyper_parameters(card)),
            **timing(time.monotonic() - started),
            "sha256": card["sha256"],
        }
        files = [paths.model(model), paths.model(model, ".skops"), paths.card(model)]
        yield record.close(files, metadata, key=model_key(model))
        started = time.monotonic()


ATTENTION_ASSETS = (
    attention_source,
    attention_features,
    attention_cv,
    attention_audit,
    attention_leaderboard,
    attention_models,
)

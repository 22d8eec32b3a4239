"""The weekly evaluation of all models. It is off until a person switches it on."""

from pathlib import Path

import dagster as dg

from urgency_dagster.defs.jobs import ATTENTION_EVALUATION, URGENCY_EVALUATION, full_evaluation_job
from urgency_dagster.defs.resources import StorageResource
from urgency_dagster.operations.instance import is_locked
from urgency_dagster.operations.planning import REASON_TAG
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.manifests import read_manifest

WEEKLY, TIME_ZONE = "0 3 * * 0", "Asia/Seoul"
"""Sundays at 3 in the morning, in Korea."""


@dg.schedule(
    job=full_evaluation_job,
    cron_schedule=WEEKLY,
    execution_timezone=TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Evaluates the present models again: evaluation, leak gap and label-free gap of the urgency model, "
    "cross-validation, audit and leaderboard of the attention models. It takes as long as a training, and as the "
    "embedding of the validation side twice. Off by default.",
)
def weekly_evaluation(context: dg.ScheduleEvaluationContext, storage: StorageResource) -> dg.RunRequest | dg.SkipReason:
    """Requests the evaluation of the models that exist. Equal results put nothing out of date."""
    if is_locked(Path(context.instance.root_directory)):
        return dg.SkipReason("`urgency-dagster run` is running")
    assets = _evaluations(storage.paths)
    if not assets:
        return dg.SkipReason("there is neither an urgency model nor a table of wearable features")
    return dg.RunRequest(asset_selection=assets, tags={REASON_TAG: "weekly evaluation"})


def _evaluations(paths: StoragePaths) -> list[dg.AssetKey]:
    """The evaluations whose input exists."""
    inputs = {"urgency_model": URGENCY_EVALUATION, "attention_features": ATTENTION_EVALUATION}
    return [key for asset, keys in inputs.items() if read_manifest(paths, asset) for key in keys]

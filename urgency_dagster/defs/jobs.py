"""One job per asset group, for the Launchpad, the sensor and the `run` command; and one that judges all models."""

import dagster as dg

from urgency_dagster.defs.attention_assets import CROSS_VALIDATED, cv_key
from urgency_dagster.defs.urgency_assets import ON_DEMAND_ASSETS
from urgency_dagster.operations.groups import EVALUATION_JOB
from urgency_dagster.operations.landing_events import EVERY_FILE_IS_USED, EVERY_RECORDING_IS_USED

calls_job = dg.define_asset_job(
    "calls_job",
    selection=dg.AssetSelection.groups("calls") - dg.AssetSelection.checks(EVERY_FILE_IS_USED),
    description="One archive pair: recordings, utterances, embeddings, processed data, prosody.",
)
urgency_job = dg.define_asset_job(
    "urgency_job",
    selection=dg.AssetSelection.groups("urgency") - dg.AssetSelection.assets(*ON_DEMAND_ASSETS),
    description="All complete archives: training set, model, evaluation.",
)
attention_job = dg.define_asset_job(
    "attention_job",
    selection=dg.AssetSelection.groups("attention"),
    description="The attention pickle: features, five cross-validated models, audit, leaderboard, exports.",
)
scoring_job = dg.define_asset_job(
    "scoring_job",
    selection=dg.AssetSelection.groups("scoring") - dg.AssetSelection.checks(EVERY_RECORDING_IS_USED),
    description="One ZIP or folder of recordings: what it holds, scored utterances, scored calls.",
)

URGENCY_EVALUATION = [dg.AssetKey("urgency_evaluation"), dg.AssetKey("urgency_leak_gap"), dg.AssetKey("label_free_gap")]
ATTENTION_EVALUATION = [
    *(cv_key(model) for model in CROSS_VALIDATED),
    dg.AssetKey("attention_audit"),
    dg.AssetKey("attention_leaderboard"),
]
"""The assets that judge models. None of them changes a model."""

full_evaluation_job = dg.define_asset_job(
    EVALUATION_JOB,
    selection=dg.AssetSelection.assets(*URGENCY_EVALUATION, *ATTENTION_EVALUATION),
    description="The present models: evaluation, leak gap, label-free gap, cross-validation, audit, leaderboard. "
    "Nothing is trained for use.",
)

JOBS = (calls_job, urgency_job, attention_job, scoring_job)
"""The jobs that the sensor requests."""

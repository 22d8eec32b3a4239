"""One job per asset group, for the Launchpad, the sensor and the `run` command."""

import dagster as dg

calls_job = dg.define_asset_job(
    "calls_job",
    selection=dg.AssetSelection.groups("calls"),
    description="One archive pair: recordings, utterances, embeddings, processed data, prosody.",
)
urgency_job = dg.define_asset_job(
    "urgency_job",
    selection=dg.AssetSelection.groups("urgency") - dg.AssetSelection.assets("urgency_leak_gap"),
    description="All complete archives: training set, model, evaluation.",
)
attention_job = dg.define_asset_job(
    "attention_job",
    selection=dg.AssetSelection.groups("attention"),
    description="The attention pickle: features, five cross-validated models, audit, leaderboard, exports.",
)

JOBS = (calls_job, urgency_job, attention_job)

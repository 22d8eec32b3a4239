"""The catalogue of this code location: the assets that runs make by themselves, and the options of each step."""

import dagster as dg

from urgency_dagster.defs import attention_assets, call_assets, scoring_assets, urgency_assets
from urgency_dagster.operations.catalogue import Catalogue

OPTIONS: dict[str, type[dg.Config]] = {
    "call_recordings": call_assets.ExtractionOptions,
    "utterances": call_assets.UtteranceOptions,
    "utterance_embeddings": call_assets.EmbeddingOptions,
    "processed_data": call_assets.ProcessedOptions,
    "prosody": call_assets.ProsodyOptions,
    "training_set": urgency_assets.SplitOptions,
    "urgency_model": urgency_assets.TrainingOptions,
    "urgency_evaluation": urgency_assets.EvaluationOptions,
    "attention_features": attention_assets.FeatureOptions,
    "attention_cv": attention_assets.CrossValidationOptions,
    "attention_audit": attention_assets.AuditOptions,
    "scored_utterances": scoring_assets.ScoringOptions,
}

ASSETS = tuple(
    asset
    for asset in (
        *call_assets.CALL_ASSETS,
        *urgency_assets.URGENCY_ASSETS,
        *attention_assets.ATTENTION_ASSETS,
        *scoring_assets.SCORING_ASSETS,
    )
    if isinstance(asset, dg.AssetsDefinition)
)

CATALOGUE = Catalogue(
    specs=tuple(spec for asset in ASSETS for spec in asset.specs),
    options=OPTIONS,
    checks=frozenset(check for asset in ASSETS for check in asset.check_keys),
)

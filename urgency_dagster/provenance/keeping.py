"""Steps that need not compute: in a planned run, an asset whose inputs got the content that they had is kept."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.declared import declared_for_step
from urgency_dagster.provenance.events import result_of, stored_events
from urgency_dagster.provenance.inputs import inputs_of
from urgency_dagster.provenance.keys import LANDED, OF_A_TABLE, name_of
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.provenance.manifests import deleted_after_use, read_manifest, why_stale

PLANNED_TAG = ".dagster/urgency_planned"
"""Run tag: the run was planned, not chosen by a person. Its steps keep what is up to date when they start."""


def kept_results(
    context: dg.AssetExecutionContext, paths: StoragePaths, config: dg.Config | None, pretrained: Mapping[str, str]
) -> list[dg.MaterializeResult[Any]]:
    """The stored results of a step whose assets are all up to date.

    Args:
        context: the context of the step.
        paths: the storage root.
        config: the options of the step, or None for a step without options.
        pretrained: the names of the pretrained models by kind; empty for a step without a pretrained model.

    Returns:
        The results to return to Dagster again, or an empty list when the step has to compute: an asset is out of date,
        a person started the run, or an artefact of version 0.1 has no stored result.
    """
    if PLANNED_TAG not in context.run.tags:
        return []
    decisive = _decisive(context, paths, config) if config else {}
    landed = LandedContent(paths)
    results = []
    for key in sorted(context.selected_asset_keys):
        spec = context.assets_def.specs_by_key[key]
        partition = context.partition_key if context.has_partition_key else None
        manifest = read_manifest(paths, name_of(key), partition, _of_subject(config, "renamed"))
        from_table = key in OF_A_TABLE and landed.is_table(partition)
        inputs = inputs_of(spec, partition, paths, landed.known_version, pretrained, from_table=from_table)
        stale = why_stale(manifest, paths, code_version=spec.code_version or "", inputs=inputs, config=decisive)
        keepable = manifest and not stale and key not in LANDED and not deleted_after_use(paths, manifest)
        events = stored_events(paths, manifest) if manifest and keepable else []
        if not events:
            return []
        results.append(result_of(events))
    return results


def _decisive(context: dg.AssetExecutionContext, paths: StoragePaths, config: dg.Config) -> dict[str, Any]:
    """The declared options that decide numbers."""
    machine = _of_subject(config, "machine")
    return {name: value for name, value in declared_for_step(context, paths, config).items() if name not in machine}


def _of_subject(config: dg.Config | None, name: str) -> Any:
    """A class attribute of the options' subject; empty for a step without options."""
    return getattr(getattr(type(config), "subject", None), name, {})

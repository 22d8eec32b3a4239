"""The stored result of a step: what Dagster shows of an artefact, beside the artefact.

Dagster's history can be lost, and a step whose inputs are the same again need not compute. In both cases this file
says again what was said when the artefact was made.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import CODE_VERSION_TAG, DATA_VERSION_TAG
from dagster._serdes import deserialize_value, serialize_value
from dagster_shared.serdes.errors import DeserializationError

from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.manifests import Manifest
from urgency_dagster.writing import write_text

AssetEvent = dg.AssetMaterialization | dg.AssetCheckEvaluation


def store_events(paths: StoragePaths, manifest: Manifest, result: dg.MaterializeResult[Any]) -> None:
    """Writes the result of a step beside its manifest.

    Args:
        paths: the storage root.
        manifest: the manifest of the artefact.
        result: what the step returns to Dagster.
    """
    key = dg.AssetKey(manifest.asset.split("/"))
    made = dg.AssetMaterialization(
        key, partition=manifest.partition, metadata=result.metadata, tags=version_tags(manifest)
    )
    checks = [_evaluation(key, manifest.partition, check) for check in result.check_results or ()]
    write_text(paths.events(manifest.asset, manifest.partition), serialize_value([made, *checks]))


def version_tags(manifest: Manifest) -> dict[str, str]:
    """The versions of an artefact and of its code, as Dagster's tags."""
    return {DATA_VERSION_TAG: manifest.data_version, CODE_VERSION_TAG: manifest.code_version}


def _evaluation(key: dg.AssetKey, partition: str | None, check: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=str(check.check_name),
        passed=check.passed,
        metadata=check.metadata,
        severity=check.severity,
        description=check.description,
        partition=partition,
    )


def stored_events(paths: StoragePaths, manifest: Manifest) -> list[AssetEvent]:
    """The events of an artefact: its materialisation, then its checks.

    Returns:
        The stored events, or an empty list when there are none for this content, as for artefacts of version 0.1.
    """
    try:
        events = deserialize_value(paths.events(manifest.asset, manifest.partition).read_text(encoding="utf-8"), list)
    except (FileNotFoundError, ValueError, DeserializationError):  # absent, no JSON, or of another Dagster
        return []
    made = events[0] if events else None
    same = isinstance(made, dg.AssetMaterialization) and made.tags == version_tags(manifest)
    return list(events) if same else []


def result_of(events: Sequence[AssetEvent]) -> dg.MaterializeResult[Any]:
    """The result that a step returns to say stored events again."""
    made = next(event for event in events if isinstance(event, dg.AssetMaterialization))
    return dg.MaterializeResult(
        asset_key=made.asset_key,
        metadata=made.metadata,
        data_version=dg.DataVersion((made.tags or {})[DATA_VERSION_TAG]),
        check_results=[_check_result(event) for event in events if isinstance(event, dg.AssetCheckEvaluation)],
    )


def _check_result(evaluation: dg.AssetCheckEvaluation) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=evaluation.check_name,
        passed=evaluation.passed,
        metadata=evaluation.metadata,
        severity=evaluation.severity,
        description=evaluation.description,
    )

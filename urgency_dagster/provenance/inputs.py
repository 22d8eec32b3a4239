"""The present version of each input of an asset."""

from collections.abc import Callable, Mapping

import dagster as dg

from urgency_dagster.listening import recogniser_identity
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import model_identity
from urgency_dagster.provenance.keys import (
    ABSENT,
    CALL_ARCHIVE,
    LANDED,
    NOT_MADE,
    PARTITIONED,
    PRETRAINED,
    PRETRAINED_INPUT,
    PROCESSED_DATA,
    USED_IF_MADE,
    name_of,
)
from urgency_dagster.provenance.manifests import partitions_with_manifest, read_manifest

RECOGNISER = "recogniser"

LandedVersion = Callable[[dg.AssetKey, str | None], str | None]
"""The version of a landed input, or None: `LandedContent.version`, or `known_version`, which reads no file."""


def inputs_of(
    spec: dg.AssetSpec,
    partition: str | None,
    paths: StoragePaths,
    landed_version: LandedVersion,
    pretrained: Mapping[str, str],
    *,
    from_table: bool = False,
) -> dict[str, str]:
    """The present version of every input of an asset, by input name.

    An asset without partitions reads every complete archive of a partitioned asset. A deleted landing file keeps its
    recorded version, so deleting a ZIP after use makes nothing out of date.

    Args:
        spec: the asset.
        partition: the archive, or None.
        paths: the storage root.
        landed_version: returns the version of a landed input.
        pretrained: the names of the pretrained models and of the recogniser by kind.
        from_table: whether the archive landed as a table, of which `processed_data` is made directly.
    """
    asset = name_of(spec.key)
    recorded = read_manifest(paths, asset, partition)
    versions: dict[str, str] = {}
    for key in upstream_of(spec, from_table=from_table):
        if key in LANDED:
            recorded_version = recorded.inputs.get(name_of(key)) if recorded else None
            versions[name_of(key)] = landed_version(key, partition) or recorded_version or ABSENT
        else:
            versions |= _upstream_versions(key, partition, paths)
    if asset in PRETRAINED:
        versions[PRETRAINED_INPUT] = " ".join(_identity(kind, pretrained[kind]) for kind in PRETRAINED[asset])
    return versions


def upstream_of(spec: dg.AssetSpec, *, from_table: bool) -> list[dg.AssetKey]:
    """The assets that an asset is made from."""
    if from_table and spec.key == PROCESSED_DATA:
        return [CALL_ARCHIVE]
    return [dep.asset_key for dep in spec.deps]


def _upstream_versions(key: dg.AssetKey, partition: str | None, paths: StoragePaths) -> dict[str, str]:
    name = name_of(key)
    if key in USED_IF_MADE and read_manifest(paths, name) is None:
        return {name: NOT_MADE}
    if key in PARTITIONED and partition is None:
        archives = partitions_with_manifest(paths, name)
        return {f"{name}/{archive}": _version(paths, name, archive) for archive in archives}
    return {name: _version(paths, name, partition if key in PARTITIONED else None)}


def _identity(kind: str, name: str) -> str:
    return recogniser_identity(name) if kind == RECOGNISER else model_identity(name)


def _version(paths: StoragePaths, asset: str, partition: str | None) -> str:
    manifest = read_manifest(paths, asset, partition)
    return manifest.data_version if manifest else ABSENT

"""What each asset is made from, and the record that is kept of it.

Whether work is needed is decided on manifests, not on Dagster's event log, so that a deleted file counts as missing
and a deleted run history costs nothing. Nothing is run here; `planning` says what should be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from urgency_dagster.calls.landing.cache import LandingCache
from urgency_dagster.calls.landing.pairs import Landing, scan_landing
from urgency_dagster.defs.partitions import PARTITIONED
from urgency_dagster.defs.resources import ModelsResource, StorageResource
from urgency_dagster.errors import ArchiveError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import model_identity
from urgency_dagster.provenance.manifests import Manifest, partitions_with_manifest, read_manifest, write_manifest

CALL_ARCHIVE = dg.AssetKey("call_archive")
ATTENTION_SOURCE = dg.AssetKey("attention_source")

PRETRAINED = {"utterance_embeddings": "speech", "urgency_model": "text"}
"""The assets that depend on a pretrained model besides their upstream assets, and which one."""

ABSENT = "absent"
"""The data version of an input that was never made."""


def name_of(key: dg.AssetKey) -> str:
    """The asset key joined by slashes, as manifests name it."""
    return key.to_user_string()


@dataclass(frozen=True)
class Landed:
    """What lies in the landing folders, looked at once, and the identity of its content."""

    paths: StoragePaths

    @cached_property
    def calls(self) -> Landing:
        """The archive pairs and the files that are none."""
        return scan_landing(self.paths.landing_calls, self._cache)

    @cached_property
    def _cache(self) -> LandingCache:
        return LandingCache(self.paths)

    def version(self, key: dg.AssetKey, partition: str | None) -> str | None:
        """The identity of what landed for an external asset, or None when nothing is there (any more).

        None also for what changes while it is read; a pair of archives then joins the files that cannot be used.
        """
        pickle, pair = self.paths.attention_pickle, self.calls.pairs.get(partition or "")
        try:
            if key == ATTENTION_SOURCE:
                return self._cache.of_file(pickle) if pickle.is_file() else None
            return self._cache.of_pair(pair) if pair else None
        except ArchiveError as error:
            if pair:
                self.calls.withdraw(pair.archive, str(error.args[0]))
            return None


def inputs_of(spec: dg.AssetSpec, partition: str | None, landed: Landed, models: ModelsResource) -> dict[str, str]:
    """The version of everything that an asset would be made from now, by input name.

    An unpartitioned asset that reads a partitioned one reads every archive that is complete. A landed file that is
    gone keeps the version on record: removing a ZIP after use puts nothing out of date.
    """
    asset = name_of(spec.key)
    recorded = read_manifest(landed.paths, asset, partition)
    versions: dict[str, str] = {}
    for key in (dep.asset_key for dep in spec.deps):
        if key in (CALL_ARCHIVE, ATTENTION_SOURCE):
            before = recorded.inputs.get(name_of(key)) if recorded else None
            versions[name_of(key)] = landed.version(key, partition) or before or ABSENT
        else:
            versions |= _upstream_versions(key, partition, landed.paths)
    if asset in PRETRAINED:
        versions["pretrained"] = model_identity(getattr(models, PRETRAINED[asset]))
    return versions


def _upstream_versions(key: dg.AssetKey, partition: str | None, paths: StoragePaths) -> dict[str, str]:
    name = name_of(key)
    if key in PARTITIONED and partition is None:
        archives = partitions_with_manifest(paths, name)
        return {f"{name}/{archive}": _version(paths, name, archive) for archive in archives}
    return {name: _version(paths, name, partition if key in PARTITIONED else None)}


def _version(paths: StoragePaths, asset: str, partition: str | None) -> str:
    manifest = read_manifest(paths, asset, partition)
    return manifest.version if manifest else ABSENT


@dataclass(frozen=True)
class Record:
    """The manifest of an asset in the making: inputs are noted before anything is read, outputs when all is done."""

    paths: StoragePaths
    manifests: Mapping[dg.AssetKey, Manifest]

    @classmethod
    def open(
        cls,
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        *,
        config: dg.Config | None = None,
        models: ModelsResource | None = None,
    ) -> "Record":
        """Notes what the selected assets of this step are about to be made from.

        A model that is not needed by the step may be left out.
        """
        partition = context.partition_key if context.has_partition_key else None
        landed = Landed(storage.paths)
        specs = context.assets_def.specs_by_key
        manifests = {
            key: Manifest(
                asset=name_of(key),
                partition=partition,
                code_version=specs[key].code_version or "",
                inputs=inputs_of(specs[key], partition, landed, models or ModelsResource(speech="", text="")),
                config=config.model_dump(mode="json") if config else {},
            )
            for key in context.selected_asset_keys
        }
        return cls(storage.paths, manifests)

    def close(
        self,
        outputs: Sequence[Path],
        metadata: Mapping[str, Any],
        *,
        key: dg.AssetKey | None = None,
        checks: Sequence[dg.AssetCheckResult] = (),
    ) -> dg.MaterializeResult:
        """Writes the manifest and returns the result for Dagster.

        When a blocking check failed there is no manifest: the artefact counts as never made, what depends on it
        stays as it was, and the next run tries again.

        Raises:
            ArchiveError: a landed file is no longer what was noted before it was read.
        """
        asset_key = key or next(iter(self.manifests))
        manifest = self.manifests[asset_key]
        self._check_landed(manifest)
        blocked = any(not check.passed and check.severity == dg.AssetCheckSeverity.ERROR for check in checks)
        if blocked:
            self.paths.manifest(manifest.asset, manifest.partition).unlink(missing_ok=True)
        else:
            manifest = write_manifest(self.paths, manifest, outputs)
        return dg.MaterializeResult(
            asset_key=asset_key,
            metadata={"path": dg.MetadataValue.path(str(outputs[0])), **metadata},
            data_version=None if blocked else dg.DataVersion(manifest.data_version),
            check_results=list(checks),
        )

    def _check_landed(self, manifest: Manifest) -> None:
        landed = Landed(self.paths)
        for key in (CALL_ARCHIVE, ATTENTION_SOURCE):
            noted = manifest.inputs.get(name_of(key))
            if noted and landed.version(key, manifest.partition) != noted:
                raise ArchiveError(
                    f"{manifest.partition or name_of(key)} changed in the landing folder while it was read",
                    "files that are complete",
                    "wait; they are taken when they stay as they are",
                )

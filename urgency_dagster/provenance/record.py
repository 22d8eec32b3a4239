"""The record of a step: the versions of its inputs before the step, and its outputs after it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from urgency_dagster.errors import ArchiveError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.declared import declared_for_step, deviation
from urgency_dagster.provenance.events import store_events
from urgency_dagster.provenance.inputs import inputs_of
from urgency_dagster.provenance.keys import LANDED, OF_A_TABLE, name_of
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.provenance.manifests import Manifest, completed, write_manifest

CheckedEvent = dg.MaterializeResult[Any] | dg.AssetObservation | dg.AssetCheckResult
"""What an asset with checks yields: its result, or the account of what was blocked."""


@dataclass(frozen=True)
class Record:
    """The manifests of the assets of one step. Input versions are recorded before the step reads a file."""

    paths: StoragePaths
    manifests: Mapping[dg.AssetKey, Manifest]
    deviation: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        context: dg.AssetExecutionContext,
        paths: StoragePaths,
        *,
        config: dg.Config | None = None,
        pretrained: Mapping[str, str] | None = None,
    ) -> "Record":
        """Starts the record of a step with the version of each input.

        Args:
            context: the context of the step.
            paths: the storage root.
            config: the options of the step, or None for a step without options.
            pretrained: the names of the pretrained models by kind, or None for a step without a pretrained model.
        """
        partition = context.partition_key if context.has_partition_key else None
        landed = LandedContent(paths)
        declared = declared_for_step(context, paths, config) if config else {}
        specs = context.assets_def.specs_by_key
        manifests = {
            key: Manifest(
                asset=name_of(key),
                partition=partition,
                code_version=specs[key].code_version or "",
                inputs=inputs_of(
                    specs[key],
                    partition,
                    paths,
                    landed.version,
                    pretrained or {},
                    from_table=key in OF_A_TABLE and landed.is_table(partition),
                ),
                config=config.model_dump(mode="json") if config else {},
                declared=declared,
            )
            for key in context.selected_asset_keys
        }
        return cls(paths, manifests, deviation(config, declared) if config else {})

    def close(
        self,
        outputs: Sequence[Path],
        metadata: Mapping[str, Any],
        *,
        key: dg.AssetKey | None = None,
        checks: Sequence[dg.AssetCheckResult] = (),
    ) -> dg.MaterializeResult[Any]:
        """Writes the manifest of an asset.

        Args:
            outputs: the written files and folders. The first is the path on the asset's page.
            metadata: figures for the asset's page.
            key: the asset, for a step with several assets.
            checks: the results of the asset's checks.

        Returns:
            The result for Dagster.

        Raises:
            ArchiveError: a landed file changed while the step read it.
        """
        asset_key = key or next(iter(self.manifests))
        manifest = self.manifests[asset_key]
        self._check_landed(manifest)
        manifest = completed(self.paths, manifest, outputs)
        result = dg.MaterializeResult[Any](
            asset_key=asset_key,
            metadata=self._shown(outputs, metadata),
            data_version=dg.DataVersion(manifest.data_version),
            check_results=list(checks),
        )
        store_events(self.paths, manifest, result)
        write_manifest(self.paths, manifest)
        return result

    def close_checked(
        self, outputs: Sequence[Path], metadata: Mapping[str, Any], checks: Sequence[dg.AssetCheckResult]
    ) -> Iterator[CheckedEvent]:
        """Closes the record of an asset with checks.

        After a failed blocking check the artefact counts as missing: its manifest is removed, and Dagster shows the
        asset, or its partition, as failed. The figures are stored as an observation. The step fails with the check's
        own sentence, so that the run page shows the cause. A retry would fail in the same way, so there is none.

        Args:
            outputs: the written files and folders.
            metadata: figures for the asset's page.
            checks: the results of the asset's checks.

        Yields:
            What Dagster stores.

        Raises:
            ArchiveError: a landed file changed while the step read it.
            dagster.Failure: a blocking check failed.
        """
        failed = [check for check in checks if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR]
        if not failed:
            yield self.close(outputs, metadata, checks=checks)
            return
        key, manifest = next(iter(self.manifests.items()))
        self._check_landed(manifest)
        self.paths.manifest(manifest.asset, manifest.partition).unlink(missing_ok=True)
        causes = {str(check.check_name): check.description or "The check failed." for check in failed}
        shown = {"blocked": " ".join(causes.values()), **self._shown(outputs, metadata)}
        yield dg.AssetObservation(key, partition=manifest.partition, metadata=shown)
        yield from checks
        raise dg.Failure(str(shown["blocked"]), metadata=causes, allow_retries=False)

    def _shown(self, outputs: Sequence[Path], metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The metadata on the page of the asset."""
        return {"path": dg.MetadataValue.path(str(outputs[0])), **self.deviation, **metadata}

    def _check_landed(self, manifest: Manifest) -> None:
        landed = LandedContent(self.paths)
        for key in LANDED:
            recorded = manifest.inputs.get(name_of(key))
            if recorded and landed.version(key, manifest.partition) != recorded:
                raise ArchiveError(
                    f"{manifest.partition or name_of(key)} changed in the landing folder while it was read",
                    "complete files",
                    "wait until the copy is complete; the next run reads it again",
                )


def landed_result(key: dg.AssetKey, size_bytes: int, sha256: str) -> dg.MaterializeResult[Any]:
    """The result of an asset that only reads a landed input. Its content hash is its data version."""
    return dg.MaterializeResult(
        asset_key=key,
        metadata={"size_mb": round(size_bytes / 1e6, 1), "sha256": sha256},
        data_version=dg.DataVersion(sha256),
    )

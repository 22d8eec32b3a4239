"""The plan: which artefacts are missing or out of date, and which runs make them.

The `run` command and the sensor use the same plan, so they always agree.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg

from urgency_dagster.operations.catalogue import Catalogue, op_name
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.declared import DECLARED_TAG
from urgency_dagster.provenance.inputs import inputs_of, upstream_of
from urgency_dagster.provenance.keeping import PLANNED_TAG
from urgency_dagster.provenance.keys import (
    ABSENT,
    CALL_ARCHIVE,
    FIRST_READER,
    LANDED,
    LANDED_OF_GROUP,
    OF_A_TABLE,
    PARTITIONED,
    PROCESSED_DATA,
    URGENCY_MODEL,
    name_of,
)
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.provenance.manifests import (
    NEVER_MADE,
    deleted_after_use,
    is_whole,
    partitions_with_manifest,
    read_manifest,
    why_stale,
)
from urgency_dagster.writing import text_hash

WORK_TAG = ".dagster/urgency_work"
"""Run tag: the identity of a planned run. If it failed, the sensor does not request the same identity again.

The UI hides tags that start with `.dagster/`.
"""

FORMER_WORK_TAG = "urgency/work"
"""The name of WORK_TAG in runs of version 0.1."""

UNPACKED_AGAIN = "its folders were deleted after use, and are needed again"
"""The reason to unpack an archive whose rows or vectors are made again."""

CHANGED = "its files changed"
"""The reason to hash a landed input that was used before."""

REASON_TAG = "reason"
"""Run tag: in words, why the run is made."""


@dataclass(frozen=True)
class PlannedRun:
    """The assets of one run, in the order in which they are made.

    Attributes:
        group: one of `groups.GROUPS`.
        partition: the archive, for `calls` and `scoring`.
        reasons: why each asset is made, by its key.
        identity: a hash of the inputs, code and options. It does not change while the run makes progress.
        config: the run configuration.
        checks: the checks that the steps of the assets make.
    """

    group: str
    partition: str | None
    reasons: Mapping[dg.AssetKey, str]
    identity: str
    config: Mapping[str, Any]
    checks: Sequence[dg.AssetCheckKey] = ()

    @property
    def assets(self) -> list[dg.AssetKey]:
        """The assets to make."""
        return list(self.reasons)

    @property
    def only_hashes(self) -> bool:
        """Whether it only finds out if a landed input has other content."""
        return set(self.assets) <= set(LANDED)

    @property
    def job(self) -> str:
        """The name of the job."""
        return f"{self.group}_job"

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the run, without its partition."""
        declared = {op: of_op["config"] for op, of_op in self.config.get("ops", {}).items()}
        tags = {WORK_TAG: self.identity, PLANNED_TAG: "true", REASON_TAG: self.reason}
        return {**tags, DECLARED_TAG: json.dumps(declared)} if declared else tags

    @property
    def reason(self) -> str:
        """Why the run is made, in words: the reason of its first asset."""
        key, reason = next(iter(self.reasons.items()))
        if reason == NEVER_MADE and (key in FIRST_READER or key in FIRST_READER.values()):
            return f"{self.partition or 'attention.pkl'} is new"
        return f"{name_of(key)}{f' of {self.partition}' if self.partition else ''}: {reason}"


@dataclass(frozen=True)
class Planner:
    """The plan after one scan of the landing folders and the manifests.

    Attributes:
        paths: the storage root.
        pretrained: the names of the pretrained models and of the recogniser by kind.
        catalogue: the assets that a run can make.
    """

    paths: StoragePaths
    pretrained: Mapping[str, str]
    catalogue: Catalogue

    @cached_property
    def landed(self) -> LandedContent:
        """The scan of the landing folders, made once."""
        return LandedContent(self.paths)

    @cached_property
    def declared(self) -> dict[str, dict[str, Any]]:
        """The options in `run_config.yaml`."""
        return self.catalogue.declared_options(self.paths)

    @cached_property
    def deciding(self) -> dict[str, dict[str, Any]]:
        """The options in `run_config.yaml` that decide numbers."""
        return self.catalogue.deciding_options(self.declared)

    def archives(self, group: str) -> list[str]:
        """The archives of a group that landed or that have artefacts, sorted; empty for a group without archives."""
        key = LANDED_OF_GROUP.get(group)
        if key is None or key not in PARTITIONED:
            return []
        landed = [name for name in self.landed.partitions(key) if name]
        return sorted({*landed, *partitions_with_manifest(self.paths, name_of(FIRST_READER[key]))})

    def unscored(self) -> int:
        """The number of archives of recordings that wait for a trained urgency model."""
        return 0 if read_manifest(self.paths, name_of(URGENCY_MODEL)) else len(self.landed.scoring.archives)

    def planned_runs(self, group: str) -> Iterator[PlannedRun]:
        """The runs of a group: one per archive for `calls` and `scoring`, at most one for other groups.

        Each is planned after the caller has used the one before it. A run that only hashes may be followed by one
        that uses the new content.
        """
        for partition in self._partitions(group):
            run = self.planned_run(group, partition)
            if run:
                yield run
            if run and run.only_hashes and (after := self.planned_run(group, partition)) and not after.only_hashes:
                yield after

    def _partitions(self, group: str) -> Sequence[str | None]:
        return self.archives(group) if LANDED_OF_GROUP.get(group) in PARTITIONED else [None]

    def planned_run(self, group: str, partition: str | None = None) -> PlannedRun | None:
        """The run that a group or one archive needs, or None if it is up to date or its input has not landed."""
        specs = self._specs(group, partition)
        inputs = {spec.key: self._inputs(spec, partition) for spec in specs}
        reasons: dict[dg.AssetKey, str] = {}
        for spec in self._possible(specs, partition):
            reason = self._reason(spec, partition, inputs[spec.key], reasons)
            if reason:
                reasons[spec.key] = reason
            if reason == CHANGED:  # it may be the same content under another date
                break
        if not reasons:
            return None
        if key := self._unpacked_again(specs, partition, reasons):
            reasons = {key: UNPACKED_AGAIN, **reasons}
        identity = self._identity(specs, partition, inputs)
        checks = self.catalogue.checks_of(reasons)
        return PlannedRun(group, partition, reasons, identity, self._run_config(reasons), checks)

    def kept_without_source(self) -> Iterator[str]:
        """A sentence for each asset that is out of date, and stays because ZIPs and folders of its archive are gone."""
        for partition in self.archives("calls"):
            specs = self._specs("calls", partition)
            possible = self._possible(specs, partition)
            for spec in (spec for spec in specs if spec not in possible):
                if reason := self._reason(spec, partition, self._inputs(spec, partition), {}):
                    named = f"{name_of(spec.key)} of {partition}"
                    yield f"{named}: {reason}, but its ZIPs and folders are gone, so it stays"

    def _possible(self, specs: list[dg.AssetSpec], partition: str | None) -> list[dg.AssetSpec]:
        """The assets that can be made. Without an archive's ZIPs and folders, nothing that reads its recordings can."""
        recordings = FIRST_READER[CALL_ARCHIVE]
        manifest = read_manifest(self.paths, name_of(recordings), partition) if partition else None
        if manifest is None or self.landed.fingerprint(CALL_ARCHIVE, partition) is not None:
            return specs
        if not deleted_after_use(self.paths, manifest):
            return specs
        return [spec for spec in specs if recordings not in {spec.key, *(dep.asset_key for dep in spec.deps)}]

    def _specs(self, group: str, partition: str | None) -> list[dg.AssetSpec]:
        """The assets of a group, or those that are made of an archive that landed as a table."""
        specs = self.catalogue.in_order(group)
        is_table = group == "calls" and self.landed.is_table(partition)
        return [spec for spec in specs if spec.key in OF_A_TABLE] if is_table else specs

    def _inputs(self, spec: dg.AssetSpec, partition: str | None) -> dict[str, str]:
        """The versions of an asset's inputs. A landed file is not read: its size and time stand for it."""
        if spec.key in LANDED:
            fingerprint = self.landed.fingerprint(spec.key, partition)
            return {"landing": str(fingerprint)} if fingerprint else {}
        return inputs_of(
            spec,
            partition,
            self.paths,
            self.landed.known_version,
            self.pretrained,
            from_table=self._from_table(spec, partition),
        )

    def _from_table(self, spec: dg.AssetSpec, partition: str | None) -> bool:
        return spec.key in OF_A_TABLE and self.landed.is_table(partition)

    def _identity(
        self, specs: list[dg.AssetSpec], partition: str | None, inputs: Mapping[dg.AssetKey, Mapping[str, str]]
    ) -> str:
        """A hash of the group's inputs from outside the group, its code versions and its declared options."""
        group = {name_of(spec.key) for spec in specs}
        parts = [
            [
                name_of(spec.key),
                spec.code_version,
                self.deciding.get(op_name(spec.key)) or None,
                {name: version for name, version in inputs[spec.key].items() if name not in group},
            ]
            for spec in specs
        ]
        return text_hash(partition or "", json.dumps(parts, sort_keys=True))[:16]

    def _reason(
        self, spec: dg.AssetSpec, partition: str | None, inputs: Mapping[str, str], made: Mapping[dg.AssetKey, str]
    ) -> str | None:
        """The reason to make an asset, or None when it is up to date or an input is missing.

        `made` holds the assets that the same run makes before it. If one of them gets the content that it had, the
        step keeps the asset.
        """
        if spec.key in LANDED:
            return self._why_hash(spec.key, partition) if inputs else None
        if not inputs or any(version == ABSENT and not _is_made(name, made) for name, version in inputs.items()):
            return None
        upstream = [key for key in upstream_of(spec, from_table=self._from_table(spec, partition)) if key in made]
        if upstream:
            return f"{name_of(upstream[0])} is made again"
        op = op_name(spec.key)
        manifest = read_manifest(self.paths, name_of(spec.key), partition, self.catalogue.renamed_options(op))
        if manifest and self._source_is_gone(spec, partition) and is_whole(self.paths, manifest):
            return None
        config = self.deciding.get(op, {})
        return why_stale(manifest, self.paths, code_version=spec.code_version or "", inputs=inputs, config=config)

    def _source_is_gone(self, spec: dg.AssetSpec, partition: str | None) -> bool:
        """Whether a landed file that an asset reads was deleted after use, so that it cannot be made again."""
        landed = [key for key in upstream_of(spec, from_table=False) if key in LANDED]
        return any(self.landed.fingerprint(key, partition) is None for key in landed)

    def _unpacked_again(
        self, specs: list[dg.AssetSpec], partition: str | None, reasons: Mapping[dg.AssetKey, str]
    ) -> dg.AssetKey | None:
        """The recordings, if their folders were deleted after use and an asset to make reads them."""
        recordings = FIRST_READER[CALL_ARCHIVE]
        is_read = any(dep.asset_key == recordings for spec in specs if spec.key in reasons for dep in spec.deps)
        manifest = read_manifest(self.paths, name_of(recordings), partition) if is_read else None
        needed = manifest and recordings not in reasons and deleted_after_use(self.paths, manifest)
        return recordings if needed else None

    def _why_hash(self, key: dg.AssetKey, partition: str | None) -> str | None:
        """The reason to hash a landed input, or None when the content of its present state is known."""
        if self.landed.known_version(key, partition):
            return None
        is_table = key == CALL_ARCHIVE and self.landed.is_table(partition)
        reader = PROCESSED_DATA if is_table else FIRST_READER[key]
        return CHANGED if read_manifest(self.paths, name_of(reader), partition) else NEVER_MADE

    def _run_config(self, assets: Mapping[dg.AssetKey, str]) -> dict[str, Any]:
        ops = {op_name(key) for key in assets} & self.declared.keys()
        return {"ops": {op: {"config": self.declared[op]} for op in sorted(ops)}} if ops else {}


def _is_made(name: str, made: Mapping[dg.AssetKey, str]) -> bool:
    """Whether an input, by its name, is among the assets that the same run makes."""
    return dg.AssetKey(name.split("/")) in made

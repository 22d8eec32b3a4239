"""What is missing or out of date, and in which runs it is made. Nothing is run here.

The `run` command and the sensor ask the same questions, so they can never disagree.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any

import dagster as dg
import yaml

from urgency_dagster.defs.attention_assets import ATTENTION_ASSETS
from urgency_dagster.defs.call_assets import CALL_ASSETS
from urgency_dagster.defs.resources import ModelsResource
from urgency_dagster.defs.urgency_assets import URGENCY_ASSETS
from urgency_dagster.errors import SettingsError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.manifests import partitions_with_manifest, read_manifest, why_stale
from urgency_dagster.provenance.record import ABSENT, Landed, inputs_of, name_of
from urgency_dagster.writing import text_hash

WORK_TAG = "urgency/work"
"""Run tag: what exactly the run was asked to make, so that the same work is not requested twice."""

GROUPS = ("calls", "urgency", "attention")


@dataclass(frozen=True)
class Work:
    """The assets of one run, in the order they are made.

    Attributes:
        group: `calls`, `urgency` or `attention`; its job is `<group>_job`.
        partition: the archive, for `calls`.
        reasons: why each asset is made, by its key.
        identity: equal as long as what the group is made from is the same, however far a run of it came.
        config: the run configuration.
    """

    group: str
    partition: str | None
    reasons: Mapping[dg.AssetKey, str]
    identity: str
    config: Mapping[str, Any]

    @property
    def assets(self) -> list[dg.AssetKey]:
        """The assets to make."""
        return list(self.reasons)

    @property
    def job(self) -> str:
        """The job that makes them."""
        return f"{self.group}_job"

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the run, less its partition."""
        return {WORK_TAG: self.identity}


def specs_in_order(group: str) -> list[dg.AssetSpec]:
    """The assets of a group that this code location makes, upstream first."""
    assets = [
        item for item in (*CALL_ASSETS, *URGENCY_ASSETS, *ATTENTION_ASSETS) if isinstance(item, dg.AssetsDefinition)
    ]
    specs = {spec.key: spec for item in assets for spec in item.specs if spec.group_name == group}
    order = TopologicalSorter({key: [dep.asset_key for dep in spec.deps] for key, spec in specs.items()})
    return [specs[key] for key in order.static_order() if key in specs]


def op_name(key: dg.AssetKey) -> str:
    """The op that makes an asset: the first part of its key, also for the assets that share a step."""
    return key.path[0]


def declared_config(paths: StoragePaths) -> dict[str, dict[str, Any]]:
    """The options in `<storage>/run_config.yaml` by op name; none when there is no such file.

    Raises:
        SettingsError: the file is no YAML mapping, or names an asset that does not exist.
    """
    if not paths.run_config.is_file():
        return {}
    known = {op_name(spec.key) for group in GROUPS for spec in specs_in_order(group)}
    try:
        declared = yaml.safe_load(paths.run_config.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise SettingsError(
            f"{paths.run_config} is not YAML", "a mapping of assets to options", "correct it"
        ) from error
    if not isinstance(declared, dict) or not all(isinstance(options, dict) for options in declared.values()):
        raise SettingsError(f"{paths.run_config} is no mapping", "assets, each with its options", "correct it")
    if unknown := sorted(declared.keys() - known):
        raise SettingsError(
            f"{paths.run_config} names {', '.join(unknown)}", f"some of {', '.join(sorted(known))}", "correct the name"
        )
    return declared


@dataclass(frozen=True)
class Planner:
    """Decides on one look at the landing folders and the manifests."""

    paths: StoragePaths
    models: ModelsResource

    @cached_property
    def landed(self) -> Landed:
        """The landing folders as they were when first asked for."""
        return Landed(self.paths)

    @cached_property
    def declared(self) -> dict[str, dict[str, Any]]:
        """The options of this storage root."""
        return declared_config(self.paths)

    def archives(self) -> list[str]:
        """The archives that landed or were made before, sorted."""
        return sorted({*self.landed.calls.pairs, *partitions_with_manifest(self.paths, "call_recordings")})

    def calls(self) -> Iterator[Work]:
        """One run per archive that needs any."""
        for archive in self.archives():
            work = self.work("calls", archive)
            if work:
                yield work

    def work(self, group: str, partition: str | None = None) -> Work | None:
        """The run that a group needs, or None when everything holds or nothing has landed for it."""
        specs = specs_in_order(group)
        inputs = {spec.key: inputs_of(spec, partition, self.landed, self.models) for spec in specs}
        reasons: dict[dg.AssetKey, str] = {}
        for spec in specs:
            reason = self._reason(spec, partition, inputs[spec.key], reasons)
            if reason:
                reasons[spec.key] = reason
        if not reasons:
            return None
        identity = self._identity(specs, partition, inputs)
        return Work(group, partition, reasons, identity, self._run_config(reasons))

    def _identity(
        self, specs: list[dg.AssetSpec], partition: str | None, inputs: Mapping[dg.AssetKey, Mapping[str, str]]
    ) -> str:
        """A hash of what the group is made from: inputs from outside of it, code versions and declared options."""
        made = {name_of(spec.key) for spec in specs}
        outside = [
            [
                name_of(spec.key),
                spec.code_version,
                self.declared.get(op_name(spec.key)),
                {name: version for name, version in inputs[spec.key].items() if name not in made},
            ]
            for spec in specs
        ]
        return text_hash(partition or "", json.dumps(outside, sort_keys=True))[:16]

    def _reason(
        self, spec: dg.AssetSpec, partition: str | None, inputs: Mapping[str, str], made: Mapping[dg.AssetKey, str]
    ) -> str | None:
        """Why the asset is to be made after those in `made`, or None when it holds or cannot be made."""
        made_first = [dep.asset_key for dep in spec.deps if dep.asset_key in made]
        if made_first:
            return f"{name_of(made_first[0])} is made again"
        if not inputs or ABSENT in inputs.values():
            return None
        config = self.declared.get(op_name(spec.key), {})
        manifest = read_manifest(self.paths, name_of(spec.key), partition)
        return why_stale(manifest, self.paths, code_version=spec.code_version or "", inputs=inputs, config=config)

    def _run_config(self, assets: Mapping[dg.AssetKey, str]) -> dict[str, Any]:
        ops = {op_name(key) for key in assets} & self.declared.keys()
        return {"ops": {op: {"config": self.declared[op]} for op in sorted(ops)}} if ops else {}

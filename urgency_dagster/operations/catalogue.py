"""The class `Catalogue`: the assets that a run can make, and the options that each step accepts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import dagster as dg

from urgency_dagster.calls import LANDING
from urgency_dagster.configuration import checked_options
from urgency_dagster.errors import SettingsError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.declared import landing_options, read_declared


@dataclass(frozen=True)
class Catalogue:
    """The assets of the code location that runs make by themselves.

    Attributes:
        specs: the assets, without external assets and assets on demand.
        options: the configuration class of each step with options, by op name.
        checks: the checks that the steps of the assets make themselves.
    """

    specs: tuple[dg.AssetSpec, ...]
    options: Mapping[str, type[dg.Config]]
    checks: frozenset[dg.AssetCheckKey] = frozenset()

    def in_order(self, group: str) -> list[dg.AssetSpec]:
        """The assets of a group in topological order, upstream first."""
        specs = {spec.key: spec for spec in self.specs if spec.group_name == group}
        order = TopologicalSorter({key: [dep.asset_key for dep in spec.deps] for key, spec in specs.items()})
        return [specs[key] for key in order.static_order() if key in specs]

    def checks_of(self, assets: Collection[dg.AssetKey]) -> list[dg.AssetCheckKey]:
        """The checks that come with some assets, sorted. A check with a step of its own is left out."""
        return sorted(check for check in self.checks if check.asset_key in assets)

    def declared_options(self, paths: StoragePaths) -> dict[str, dict[str, Any]]:
        """The options in `<storage>/run_config.yaml` by op name. Without that file it is empty.

        Raises:
            SettingsError: the file is not a YAML mapping, names an unknown asset or option, or holds a value outside
                the bounds of its option.
        """
        declared = read_declared(paths)
        landing_options(paths)  # a wrong option there stops a run too
        declared.pop(LANDING, None)
        known = {op_name(spec.key) for spec in self.specs}
        if unknown := sorted(declared.keys() - known):
            raise SettingsError(
                f"{paths.run_config} names {', '.join(unknown)}",
                f"some of {', '.join(sorted({*known, LANDING}))}",
                "correct the name",
            )
        place = paths.run_config
        return {op: checked_options(self.options.get(op), values, f"{place}: {op}") for op, values in declared.items()}

    def deciding_options(self, declared: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Those of some declared options that decide numbers, by op name. Options of the machine are left out."""
        return {
            op: {name: value for name, value in values.items() if name not in self._subject_attribute(op, "machine")}
            for op, values in declared.items()
        }

    def renamed_options(self, op: str) -> Mapping[str, str]:
        """The present name of each renamed option of a step, by its former name."""
        return dict(self._subject_attribute(op, "renamed"))

    def _subject_attribute(self, op: str, name: str) -> Any:
        """A class attribute of a step's configuration; empty for a step without options."""
        options = self.options.get(op)
        return getattr(getattr(options, "subject", options), name, {})


def op_name(key: dg.AssetKey) -> str:
    """The op that makes an asset: the first part of its key. Assets that share a step share this part."""
    return key.path[0]

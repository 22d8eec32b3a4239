"""The definitions that Dagster loads, for the pages that describe them."""

from functools import cache

import dagster as dg

from urgency_dagster.definitions import build_definitions
from urgency_dagster.settings import Settings

GROUPS = ("calls", "urgency", "attention", "scoring")


@cache
def definitions() -> dg.Definitions:
    """The code location with the settings' defaults."""
    return build_definitions(Settings.load(environment={}))


def specs() -> list[dg.AssetSpec]:
    """Every asset, by group, inputs before outputs."""
    graph = definitions().resolve_asset_graph()
    by_key = {spec.key: spec for spec in definitions().resolve_all_asset_specs()}
    ordered = [by_key[key] for level in graph.toposorted_asset_keys_by_level for key in sorted(level)]
    return sorted(ordered, key=lambda spec: GROUPS.index(str(spec.group_name)))


def makers() -> list[dg.AssetsDefinition]:
    """Every definition that makes assets, in the order of `specs`."""
    found = {id(maker): maker for spec in specs() if (maker := _maker(spec.key))}
    return list(found.values())


def _maker(key: dg.AssetKey) -> dg.AssetsDefinition | None:
    maker = definitions().get_repository_def().assets_defs_by_key[key]
    return maker if maker.is_executable else None


def checks() -> list[dg.AssetCheckSpec]:
    """Every check, in the order of its asset. Checks with a step of their own come first."""
    own = [check for checks in definitions().asset_checks or () for check in checks.check_specs]
    return own + [check for maker in makers() for check in maker.check_specs]

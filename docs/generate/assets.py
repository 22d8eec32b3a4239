"""What each asset and each check is."""

import dagster as dg

from docs.generate.definitions import GROUPS, checks, specs
from docs.generate.tables import table

MODEL = "<model>"


def asset_tables() -> str:
    """A table for each group: the asset, its inputs and its description."""
    return "\n\n".join(_group(group) for group in GROUPS)


def _group(group: str) -> str:
    own = [spec for spec in specs() if spec.group_name == group]
    by_name: dict[str, list[dg.AssetSpec]] = {}
    for spec in own:
        by_name.setdefault(name_of(spec.key), []).append(spec)
    rows = [_row(name, alike) for name, alike in by_name.items()]
    return f"### `{group}`\n\n{table(['asset', 'made from', 'what it is'], rows)}"


def _row(name: str, alike: list[dg.AssetSpec]) -> list[str]:
    """One row for an asset, or for one asset of each model."""
    spec, models = alike[0], [spec.key.path[1] for spec in alike if len(spec.key.path) > 1]
    inputs = ", ".join(f"`{name}`" for name in dict.fromkeys(name_of(dep.asset_key) for dep in spec.deps))
    text = description(spec)
    if models:
        text = f"{text.replace(models[0], MODEL)} For each of {', '.join(models)}."
    return [f"`{name}`", inputs or "files that you put there", text]


def name_of(key: dg.AssetKey) -> str:
    """The name of an asset; the assets of several models share one."""
    return f"{key.path[0]}/{MODEL}" if len(key.path) > 1 else key.path[0]


def description(item: dg.AssetSpec | dg.AssetCheckSpec) -> str:
    """What an asset or a check is; empty if it does not say."""
    return item.description or ""


def check_table() -> str:
    """Every check: its asset, whether it stops what follows, and what it asserts."""
    rows = [
        [f"`{check.name}`", f"`{name_of(check.asset_key)}`", "stops" if check.blocking else "warns", description(check)]
        for check in checks()
    ]
    return table(["check", "asset", "when it fails", "what must be true"], rows)

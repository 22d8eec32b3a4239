"""What `run_config.yaml` declares, and by which options a step deviates from it."""

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg
import yaml

from urgency_dagster.calls import LANDING, LandedTable, LandingConfig
from urgency_dagster.configuration import checked_options
from urgency_dagster.errors import SettingsError
from urgency_dagster.paths import StoragePaths

DECLARED_TAG = ".dagster/urgency_declared"
"""Run tag of a planned run: the declared options by op name, as JSON. The file may change while the run waits."""

DEVIATION = "deviates_from_run_config"
"""The metadata of a materialisation with other options than the declared ones."""


def read_declared(paths: StoragePaths) -> dict[str, dict[str, Any]]:
    """The content of `<storage>/run_config.yaml`, not yet checked. Without that file it is empty.

    Raises:
        SettingsError: the file is not a YAML mapping of names to options.
    """
    if not paths.run_config.is_file():
        return {}
    try:
        declared = yaml.safe_load(paths.run_config.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise SettingsError(
            f"{paths.run_config} is not YAML", "a mapping of assets to options", "correct it"
        ) from error
    if not isinstance(declared, dict) or not all(isinstance(options, dict) for options in declared.values()):
        raise SettingsError(f"{paths.run_config} is no mapping", "assets, each with its options", "correct it")
    return declared


def landing_options(paths: StoragePaths) -> LandingConfig:
    """The section of the file about landed inputs. Paths begin at the storage root unless they are absolute.

    Raises:
        SettingsError: the file is not a YAML mapping of names to options, or an option of the section is wrong.
    """
    section = read_declared(paths).get(LANDING, {})
    options = LandingConfig(**checked_options(LandingConfig, section, f"{paths.run_config}: {LANDING}"))
    tables = {
        name: LandedTable(*(paths.root / path.expanduser() for path in table)) for name, table in options.tables.items()
    }
    return LandingConfig(tables=tables)


def declared_for_step(context: dg.AssetExecutionContext, paths: StoragePaths, config: dg.Config) -> dict[str, Any]:
    """The declared options of a step: those of the plan, or for a person's run those of the file now.

    Raises:
        SettingsError: the file is no mapping, or an option of this step is wrong.
    """
    op = context.op_def.name
    if planned := context.run.tags.get(DECLARED_TAG):
        return dict(json.loads(planned).get(op, {}))
    content = read_declared(paths).get(op, {})
    declared = checked_options(type(config), content, f"{paths.run_config}: {op}")
    given, used = _given(context, op), config.model_dump(mode="json")
    # An option that the run did not give was read from the file when the process started: the file may be newer.
    return {name: value if name in given else used[name] for name, value in declared.items()}


def _given(context: dg.AssetExecutionContext, op: str) -> Mapping[str, Any]:
    """The options in the configuration of the run."""
    section: Any = context.run.run_config
    for name in ("ops", op, "config"):
        section = (section or {}).get(name)
    return section or {}


def deviation(config: dg.Config, declared: Mapping[str, Any]) -> dict[str, dg.MetadataValue[Any]]:
    """The options that decide numbers and that a planned run would set otherwise, as metadata. Empty without any."""
    options = type(config)
    machine = getattr(getattr(options, "subject", options), "machine", ())
    lines = []
    for name, used in config.model_dump(mode="json").items():
        default = options.model_fields[name].get_default(call_default_factory=True)
        if name not in machine and used != declared.get(name, default):
            usual = _shown(declared[name]) if name in declared else f"{_shown(default)} (default)"
            lines.append(f"| {name} | {_shown(used)} | {usual} |")
    table = "\n".join(["| option | used | declared |", "| --- | --- | --- |", *lines])
    return {DEVIATION: dg.MetadataValue.md(table)} if lines else {}


def _shown(value: object) -> str:
    """A value as it is written in the file."""
    return f"`{json.dumps(value, ensure_ascii=False)}`"

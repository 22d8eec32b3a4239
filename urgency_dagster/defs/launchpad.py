"""The options that the Launchpad shows and that a run without options uses: what `run_config.yaml` declares.

Every process of Dagster builds the definitions once. So an option that a run does not give has the value that the
file had when the process of the step started.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from copy import copy
from typing import Any

import dagster as dg
from pydantic import create_model

from urgency_dagster.configuration import checked_options
from urgency_dagster.errors import SettingsError
from urgency_dagster.operations.catalogue import Catalogue
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.declared import read_declared

Asset = dg.AssetsDefinition | dg.AssetSpec

_log = logging.getLogger(__name__)


def with_declared_defaults(assets: Iterable[Asset], catalogue: Catalogue, paths: StoragePaths) -> list[Asset]:
    """The assets with the declared values as defaults of their options.

    A section that is wrong leaves the defaults of the library, so that the UI opens. Its step refuses to start.
    """
    declared = _sections(catalogue, paths)
    return [
        _with_defaults(asset, catalogue.options[asset.op.name], declared[asset.op.name])
        if isinstance(asset, dg.AssetsDefinition) and declared.get(asset.op.name)
        else asset
        for asset in assets
    ]


def _sections(catalogue: Catalogue, paths: StoragePaths) -> dict[str, dict[str, Any]]:
    """The declared options by op name. After a warning, those that are right in themselves."""
    try:
        return catalogue.declared_options(paths)
    except SettingsError as error:
        _log.warning("not every declared option is a default: %s", error)
        return dict(_right_sections(catalogue, paths))


def _right_sections(catalogue: Catalogue, paths: StoragePaths) -> Iterator[tuple[str, dict[str, Any]]]:
    with suppress(SettingsError):
        for op, values in read_declared(paths).items():
            with suppress(SettingsError):
                yield op, checked_options(catalogue.options.get(op), values, op)


def _with_defaults(asset: dg.AssetsDefinition, options: type[dg.Config], values: Mapping[str, Any]) -> Asset:
    """The asset with other defaults in its configuration schema. Dagster has no public function for this."""
    fields: dict[str, Any] = {}
    for name, value in values.items():
        changed = copy(options.model_fields[name])
        changed.default = value
        fields[name] = (changed.annotation, changed)
    model = create_model(options.__name__, __base__=options, __doc__=options.__doc__, **fields)
    op = asset.op.with_replaced_properties(name=asset.op.name, config_schema=model.to_config_schema())
    return dg.AssetsDefinition.dagster_internal_init(**{**asset.get_attributes_dict(), "node_def": op})

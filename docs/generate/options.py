"""The options of every asset: name, type, bounds, default and description, read from the configuration classes."""

import json
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import dagster as dg
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo

from docs.generate.definitions import makers
from docs.generate.tables import first_line, table
from urgency_dagster.defs.catalogue import CATALOGUE

LAUNCHPAD_ONLY = "For the Launchpad only. `run_config.yaml` refuses these options: `run` does not make this asset."

BOUNDS = {Ge: ("ge", "≥"), Gt: ("gt", ">"), Le: ("le", "≤"), Lt: ("lt", "<")}
LENGTHS = {MinLen: ("min_length", "length ≥"), MaxLen: ("max_length", "length ≤")}


def asset_options() -> str:
    """A table of options for every asset that has any."""
    return "\n\n".join(_section(asset, config) for asset, config in configurations())


def configurations() -> Iterator[tuple[str, type[dg.Config]]]:
    """The name of each configurable asset and its configuration class."""
    for maker in makers():
        config = get_type_hints(maker.op.compute_fn.decorated_fn).get("config")  # type: ignore[union-attr]
        if config is not None:
            yield maker.op.name, config


def _section(asset: str, config: type[dg.Config]) -> str:
    rows = [
        [f"`{name}`", type_of(field.annotation), _bounds(field), f"`{_default(field)}`", field.description or ""]
        for name, field in config.model_fields.items()
    ]
    header = ["option", "type", "bounds", "default", "meaning"]
    return f"### `{asset}`\n\n{_introduction(asset, config)}\n\n{table(header, rows)}"


def _introduction(asset: str, config: type[dg.Config]) -> str:
    return summary_of(config) if asset in CATALOGUE.options else LAUNCHPAD_ONLY


def summary_of(config: type[dg.Config]) -> str:
    """The first line of the docstring, of the generated class if there is one."""
    base = config.__bases__[0]
    return first_line(config.__doc__ if base is dg.Config else base.__doc__)


def type_of(annotation: Any) -> str:
    """A type as users write it: the values of a closed set, or the name of the type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join("empty" if part is NoneType else type_of(part) for part in arguments)
    if arguments:
        return f"list of {type_of(arguments[0])}"
    return str(annotation.__name__)


def _bounds(field: FieldInfo) -> str:
    """The bounds of a value or of the length of a list."""
    found = []
    for constraint in field.metadata:
        if name_and_sign := BOUNDS.get(type(constraint)):
            found.append(f"{name_and_sign[1]} {getattr(constraint, name_and_sign[0])}")
        if name_and_word := LENGTHS.get(type(constraint)):
            found.append(f"{name_and_word[1]} {getattr(constraint, name_and_word[0])}")
    return ", ".join(found)


def _default(field: FieldInfo) -> str:
    """The default as YAML on one line."""
    return json.dumps(field.get_default(call_default_factory=True), ensure_ascii=False)

"""Dagster's configuration classes, generated from those of the subjects. No option is stated here."""

from typing import Any, ClassVar, Literal, get_args, get_origin

import dagster as dg
from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from urgency_dagster.configuration import Configuration


def dagster_config(configuration: type[Configuration], *, without: tuple[str, ...] = ()) -> type[dg.Config]:
    """The Launchpad's form of a configuration: the same names, types, bounds, defaults and descriptions.

    `Literal` types become enums, which the Launchpad refuses by itself. Bounds are checked when the step starts.

    Args:
        configuration: the subject's options.
        without: options that Dagster sets by itself, such as a Ray address.
    """
    fields: dict[str, Any] = {
        name: (_as_lists(field.annotation), _field(field))
        for name, field in configuration.model_fields.items()
        if name not in without
    }
    fields["subject"] = (ClassVar[type[Configuration]], configuration)
    return create_model(configuration.__name__, __base__=dg.Config, __doc__=configuration.__doc__, **fields)


def _field(field: FieldInfo) -> Any:
    made: Any = Field(_plain(field.get_default(call_default_factory=True)), description=field.description)
    made.metadata = list(field.metadata)
    return made


def _as_lists(annotation: Any) -> Any:
    """The type with `list` for `tuple`: Dagster's configuration knows no tuples."""
    if get_origin(annotation) is tuple:
        item = get_args(annotation)[0]
        # Dagster has no list of Literal. The subject's configuration checks the values when the step starts.
        return list[str] if get_origin(item) is Literal else list[_as_lists(item)]  # type: ignore[misc]
    return annotation


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value

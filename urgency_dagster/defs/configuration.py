"""Generation of Dagster's configuration classes from those of the subjects."""

from typing import Any, ClassVar, Literal, get_args, get_origin

import dagster as dg
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo

from urgency_dagster.configuration import Configuration


class StepOptions(dg.Config):
    """The base class of the options of a step.

    Raises:
        dagster.Failure: a value is out of bounds. Dagster creates the options when the step starts; any other exception
            would be repeated by the retry policy of the step.
    """

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise dg.Failure(str(error), allow_retries=False) from error


def dagster_config(configuration: type[Configuration], *, without: tuple[str, ...] = ()) -> type[dg.Config]:
    """A Dagster class with the names, types, bounds, defaults and descriptions of a configuration.

    `Literal` types become enums, so the Launchpad rejects other values. Bounds are checked when the step starts.

    Args:
        configuration: the subject's options.
        without: options that the Launchpad does not show, such as a Ray address.
    """
    fields: dict[str, Any] = {
        name: (_as_lists(field.annotation), _field(field))
        for name, field in configuration.model_fields.items()
        if name not in without
    }
    fields["subject"] = (ClassVar[type[Configuration]], configuration)
    return create_model(configuration.__name__, __base__=StepOptions, __doc__=configuration.__doc__, **fields)


def _field(field: FieldInfo) -> Any:
    made: Any = Field(_plain(field.get_default(call_default_factory=True)), description=field.description)
    made.metadata = [*field.metadata, *_item_check(field.annotation)]
    return made


def _item_check(annotation: Any) -> list[AfterValidator]:
    """The check of a list of choices when the step starts: Dagster has no list of Literal."""
    item = get_args(annotation)[0] if get_origin(annotation) is tuple else None
    choices: Any = list[item] if get_origin(item) is Literal else None  # type: ignore[valid-type]
    return [AfterValidator(TypeAdapter(choices).validate_python)] if choices else []


def _as_lists(annotation: Any) -> Any:
    """The type with `list` in place of `tuple`, which Dagster's configuration does not support."""
    if get_origin(annotation) is tuple:
        item = get_args(annotation)[0]
        return list[str] if get_origin(item) is Literal else list[_as_lists(item)]  # type: ignore[misc]
    return annotation


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value

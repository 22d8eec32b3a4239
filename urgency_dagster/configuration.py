"""The base class of every configuration. Dagster's configuration classes are generated from its subclasses."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from urgency_dagster.errors import SettingsError


class Configuration(BaseModel):
    """Options with types, bounds and defaults. The docstring below a field describes it in the Launchpad and the docs.

    Attributes:
        renamed: the present name of each option by its former name. A former name is refused.
        machine: the options that change only time and memory, such as `workers`. They put nothing out of date.

    Raises:
        SettingsError: an option is unknown or renamed, or its value has another type or is outside its bounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    renamed: ClassVar[Mapping[str, str]] = {}

    machine: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _settings_error(type(self), error) from error

    def changed(self, **values: Any) -> Self:
        """A copy with some options changed, validated again."""
        return type(self)(**{**dict(self), **values})


def checked_options(options: type[BaseModel] | None, values: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Checks declared values against the options of a step.

    Args:
        options: the configuration class, or None for a step without options.
        values: the declared values by option name.
        place: the file and step of the declaration, for the error.

    Returns:
        The values with the types of the options, in the form of JSON: 20 is 20.0 for an option that is a float.

    Raises:
        SettingsError: an option is unknown or renamed, or its value has another type or is outside its bounds.
    """
    if options is None:
        if values:
            raise SettingsError(f"{place} has options", "none, because the step has no option", "remove them")
        return {}
    subject: type[BaseModel] = getattr(options, "subject", options)
    for option in sorted(values.keys() - options.model_fields.keys()):
        raise _unknown_option(subject, option, f"{place}: ")
    try:
        return subject(**values).model_dump(mode="json", include=set(values))
    except (SettingsError, ValidationError) as error:
        fault = error if isinstance(error, SettingsError) else _settings_error(subject, error)
        received, expected, remedy = fault.args
        raise SettingsError(f"{place}: {received}", expected, remedy) from error


def _settings_error(options: type[BaseModel], error: ValidationError) -> SettingsError:
    """The first error of a validation: the option, the received value and the expected values."""
    fault = error.errors(include_url=False)[0]
    option = ".".join(str(part) for part in fault["loc"]) or options.__name__
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        return _unknown_option(options, option)
    if fault["type"] in ("missing", "missing_argument"):
        return SettingsError(f"{option} is missing", "a value", f"add `{option}`")
    expected = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return SettingsError(f"{option} is {fault['input']!r}", expected, f"correct `{option}`")


def _unknown_option(options: type[BaseModel], option: str, place: str = "") -> SettingsError:
    renamed: Mapping[str, str] = getattr(options, "renamed", {})
    if option in renamed:
        return SettingsError(f"{place}{option} is no option", f"its new name, {renamed[option]}", "rename it")
    return SettingsError(
        f"{place}{option} is no option", f"one of {', '.join(options.model_fields)}", f"correct `{option}`"
    )

"""The base of every configuration. A subject states its options once, and Dagster's classes are generated from them."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from urgency_dagster.errors import SettingsError


class Configuration(BaseModel):
    """Options with types, bounds and defaults. The docstring below a field is its description for users.

    Raises:
        SettingsError: an option has another name, another type, or a value outside its bounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _settings_error(type(self), error) from error

    def changed(self, **values: Any) -> Self:
        """A copy with some options changed, validated again."""
        return type(self)(**{**dict(self), **values})


def _settings_error(cls: type[Configuration], error: ValidationError) -> SettingsError:
    """The first fault: which option, the value received, and what is expected."""
    first = error.errors(include_url=False)[0]
    option = ".".join(str(part) for part in first["loc"]) or cls.__name__
    if first["type"] == "extra_forbidden":
        return SettingsError(f"{option} is no option", f"some of {', '.join(cls.model_fields)}", f"correct `{option}`")
    message = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return SettingsError(f"{option} is {first['input']!r}", message, f"correct `{option}`")

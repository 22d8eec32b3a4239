"""The base of all configurations: types, bounds, and the former names of options."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field, model_validator

from urgency_dagster.configuration import Configuration, checked_options
from urgency_dagster.errors import SettingsError


class Options(Configuration):
    """Some options."""

    renamed: ClassVar[Mapping[str, str]] = {"passes": "epochs"}

    epochs: int = Field(5, ge=1)
    """Number of epochs."""
    mode: Literal["call", "utterance"] = "call"
    """Unit of the split."""
    low: float = 0.0
    """Lower end."""
    high: float = 1.0
    """Upper end."""

    @model_validator(mode="after")
    def _check_order(self) -> "Options":
        if self.low > self.high:
            raise ValueError(f"low at most high ({self.high})")
        return self


class TestConfiguration:
    def test_the_docstring_below_a_field_is_its_description(self) -> None:
        assert Options.model_fields["epochs"].description == "Number of epochs."

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"epochs": 0}, "epochs is 0; expected greater than or equal to 1; to fix it, correct `epochs`"),
            ({"epochs": 1.5}, "epochs is 1.5; expected "),
            ({"mode": "banana"}, "mode is 'banana'; expected 'call' or 'utterance'"),
            ({"speed": 1}, "speed is no option; expected one of epochs, mode, low, high"),
            ({"passes": 3}, "passes is no option; expected its new name, epochs; to fix it, rename it"),
            ({"low": 2.0}, "expected low at most high"),
        ],
    )
    def test_a_fault_is_named_with_the_expected_values(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(SettingsError) as error:
            Options(**values)
        assert message in str(error.value)

    def test_a_changed_copy_is_validated(self) -> None:
        assert Options().changed(epochs=3) == Options(epochs=3)
        with pytest.raises(SettingsError, match="epochs is 0"):
            Options().changed(epochs=0)


class TestDeclaredOptions:
    def test_values_within_the_bounds_pass_with_the_type_of_their_option(self) -> None:
        checked = checked_options(Options, {"epochs": "3", "low": 0}, "run_config.yaml: model")
        assert checked == {"epochs": 3, "low": 0.0}
        assert [type(value) for value in checked.values()] == [int, float]

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"epochs": 0}, "file: model: epochs is 0; expected"),
            ({"passes": 0}, "file: model: passes is no option; expected its new name, epochs"),
            ({"low": 2.0}, "file: model: .*expected low at most high"),
        ],
    )
    def test_a_fault_names_the_place(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(SettingsError, match=message):
            checked_options(Options, values, "file: model")

    def test_a_step_without_options_takes_none(self) -> None:
        assert checked_options(None, {}, "file: data") == {}
        with pytest.raises(SettingsError, match="file: data has options; expected none"):
            checked_options(None, {"workers": 1}, "file: data")

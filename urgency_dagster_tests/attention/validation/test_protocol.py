from typing import Any

import pytest

from urgency_dagster.attention.audit.controls import ControlConfig
from urgency_dagster.attention.validation.protocol import CrossValidationConfig, Protocol
from urgency_dagster.errors import SettingsError


def test_one_fold_is_refused() -> None:
    with pytest.raises(SettingsError, match="n_splits is 1; expected greater than or equal to 2"):
        CrossValidationConfig(n_splits=1)


@pytest.mark.parametrize("name", ["splitter", "inner_split", "xgb_settings"])
def test_an_unknown_value_is_named_with_the_possible_values(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is 'kfold'; expected '"):
        Protocol(**{name: "kfold"})


def test_backend_and_address_are_not_part_of_the_protocol() -> None:
    here = CrossValidationConfig(splitter="logo", seed=3, oversample=True, backend="sequential")
    there = CrossValidationConfig(splitter="logo", seed=3, oversample=True, address="auto", num_cpus=3)
    assert Protocol.of(here) == Protocol.of(there) == Protocol(splitter="logo", seed=3, oversample=True)
    assert Protocol.of(here) != Protocol.of(CrossValidationConfig())


def test_the_original_sets_what_differs() -> None:
    original = Protocol(protocol="original")
    changed = {name for name in Protocol.model_fields if getattr(original, name) != getattr(Protocol(), name)}
    assert changed == {"protocol", "inner_split", "xgb_settings", "select_logreg"}


def test_the_original_can_be_read_again() -> None:
    original = CrossValidationConfig(protocol="original", num_cpus=2)
    assert Protocol(**Protocol.of(original).model_dump()) == Protocol.of(original) == Protocol(protocol="original")


@pytest.mark.parametrize(("option", "value"), [("n_splits", 4), ("xgb_settings", "authors"), ("rf_max_depth", None)])
def test_the_original_refuses_another_value(option: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"{option} is .*, and protocol is original; expected .*; to fix it, leave"):
        CrossValidationConfig(protocol="original", **{option: value})


def test_options_of_the_machine_put_nothing_out_of_date() -> None:
    assert CrossValidationConfig.machine == {"backend", "address", "num_cpus"}
    assert ControlConfig.machine == {"num_cpus"}

import pytest

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
    there = CrossValidationConfig(splitter="logo", seed=3, oversample=True, address="auto")
    assert here.protocol == there.protocol == Protocol(splitter="logo", seed=3, oversample=True)
    assert here.protocol != CrossValidationConfig().protocol

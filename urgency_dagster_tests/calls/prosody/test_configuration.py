"""The options of `prosody` and their bounds."""

import pytest

from urgency_dagster.calls.prosody.configuration import ProsodyConfig
from urgency_dagster.errors import SettingsError


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("f0_min_hz", 49.0),
        ("f0_min_hz", 401.0),
        ("f0_max_hz", 99.0),
        ("f0_max_hz", 1001.0),
        ("voiced_correlation_min", 0.0),
        ("voiced_correlation_min", 1.0),
        ("voiced_level_min_dbfs", 1.0),
        ("workers", -2),
    ],
)
def test_a_value_outside_its_bounds_is_refused(option: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"correct `{option}`"):
        ProsodyConfig(**{option: value})


def test_bounds_of_f0_that_are_crossed_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"f0_min_hz is 200\.0 and f0_max_hz is 150\.0"):
        ProsodyConfig(f0_min_hz=200, f0_max_hz=150)
    with pytest.raises(SettingsError, match="f0_min_hz below f0_max_hz"):
        ProsodyConfig().changed(f0_min_hz=400, f0_max_hz=400)


def test_an_unknown_option_and_a_change_in_place_are_refused() -> None:
    with pytest.raises(SettingsError, match="hop_length is no option"):
        ProsodyConfig(hop_length=80)  # type: ignore[call-arg]
    config = ProsodyConfig()
    with pytest.raises(ValueError, match="frozen"):
        config.f0_min_hz = 100  # type: ignore[misc]

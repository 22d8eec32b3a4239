"""The resources of assets."""

import pytest

from urgency_dagster.defs.resources import RayResource, resources
from urgency_dagster.errors import SettingsError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import SPEECH_MODEL, Settings


@pytest.mark.parametrize(("value", "address"), [(None, None), ("", None), ("head:6379", "head:6379")])
def test_folds_run_at_ray_address_or_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, value: str | None, address: str | None
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if value is not None:
        monkeypatch.setenv("RAY_ADDRESS", value)
    assert RayResource().address == address


def test_the_address_of_a_dashboard_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    with pytest.raises(SettingsError, match="http://head:8265, a dashboard; expected host:port of the head"):
        _ = RayResource().address


def test_resources_carry_the_settings(settings: Settings, paths: StoragePaths) -> None:
    defined = resources(settings)
    assert defined["storage"].paths == paths  # type: ignore[attr-defined]
    assert defined["models"].speech_model().folder == paths.root / "models" / "demo" / "speech"  # type: ignore[attr-defined]
    assert resources(Settings.load(paths.root / "other", environment={}))["models"].speech == SPEECH_MODEL  # type: ignore[attr-defined]

"""A finished storage root of version 0.1 is taken over: the plan holds the new assets and no other asset."""

import re
from pathlib import Path
from typing import Any

import pytest

from urgency_dagster.defs.catalogue import CATALOGUE
from urgency_dagster.errors import SettingsError
from urgency_dagster.operations.groups import GROUPS
from urgency_dagster.operations.planning import Planner
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.keys import name_of
from urgency_dagster.settings import Settings
from urgency_dagster.writing import read_json, write_json

pytestmark = pytest.mark.slow

ARCHIVES = ("T_광주_구급", "T_서울_화재", "V_광주_구급")
FORMER_OPTIONS = {"deferral_rate": "person_share", "alarm_recall": "high_recall"}
"""The options of `urgency_model` with other names in version 0.1, by their present name."""

WITHOUT_COUNTER = ("call_archive", "attention_source", "pretrained")
"""The inputs that had a plain version in version 0.1. The others had `<sha256>.<number of times made>`."""


def former_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest in the format of version 0.1."""
    inputs = {
        name: version if name in WITHOUT_COUNTER else f"{version}.3" for name, version in manifest["inputs"].items()
    }
    config = {FORMER_OPTIONS.get(name, name): value for name, value in manifest["config"].items()}
    return {**manifest, "generation": 3, "inputs": inputs, "config": config}


@pytest.fixture
def former_root(finished_root: Path) -> Path:
    """A finished root with manifests of version 0.1 and without prosody."""
    folder = finished_root / "manifests"
    for file in [*folder.glob("*.json"), *folder.glob("*/*.json")]:
        content = read_json(file)
        if content.get("asset") == "prosody":
            file.unlink()
        elif "asset" in content:
            write_json(file, former_manifest(content))
    for archive in ARCHIVES:
        StoragePaths(finished_root).archive(archive).prosody.unlink()
    return finished_root


def planned(root: Path) -> dict[tuple[str, str | None], list[str]]:
    """The planned assets by group and partition."""
    settings = Settings.load(root, environment={})
    planner = Planner(StoragePaths(root), settings.pretrained, CATALOGUE)
    runs = [run for group in GROUPS for run in planner.planned_runs(group)]
    return {(run.group, run.partition): [name_of(key) for key in run.assets] for run in runs}


def test_the_former_manifests_hold_counters_and_former_options(former_root: Path) -> None:
    """The other tests need these differences."""
    manifest = read_json(StoragePaths(former_root).manifest("urgency_model"))
    assert {"person_share", "high_recall"} <= manifest["config"].keys()
    assert re.fullmatch(r"[0-9a-f]{64}\.3", manifest["inputs"]["training_set"])


def test_only_prosody_is_planned(former_root: Path) -> None:
    assert planned(former_root) == {("calls", archive): ["prosody"] for archive in ARCHIVES}


def test_a_renamed_option_with_an_equal_value_makes_nothing_outdated(former_root: Path) -> None:
    run_config = StoragePaths(former_root).run_config
    declared = run_config.read_text(encoding="utf-8")
    value = read_json(StoragePaths(former_root).manifest("urgency_model"))["config"]["person_share"]
    run_config.write_text(f"{declared.rstrip()}\n  deferral_rate: {value}\n", encoding="utf-8")
    assert ("urgency", None) not in planned(former_root)
    run_config.write_text(f"{declared.rstrip()}\n  deferral_rate: {value / 2}\n", encoding="utf-8")
    assert planned(former_root)["urgency", None] == ["urgency_model", "urgency_evaluation"]


def test_a_former_option_in_run_config_is_refused_with_its_new_name(former_root: Path) -> None:
    run_config = StoragePaths(former_root).run_config
    run_config.write_text(run_config.read_text(encoding="utf-8").rstrip() + "\n  person_share: 0.1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="person_share is no option; expected its new name, deferral_rate"):
        planned(former_root)

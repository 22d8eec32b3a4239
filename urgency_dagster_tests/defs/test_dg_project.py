"""The repository is a `dg` project: Dagster's own command line finds, checks and runs its definitions."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from urgency_dagster.paths import StoragePaths

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.slow


def run_dg(*arguments: str, root: Path, home: Path, command: str = "dg") -> str:
    """The output of a `dg` or `dagster` command at the root of the repository, as in an activated environment."""
    home.mkdir(exist_ok=True)
    variables = {
        "URGENCY_STORAGE": str(root),
        "DAGSTER_HOME": str(home),
        "VIRTUAL_ENV": sys.prefix,
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        [str(BIN / command), *arguments],
        cwd=REPOSITORY,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr if command == "dagster" else done.stdout


def test_the_workspace_file_loads(tmp_path: Path) -> None:
    arguments = ("definitions", "validate", "-w", "workspace.yaml")
    validated = run_dg(*arguments, root=tmp_path, home=tmp_path / "home", command="dagster")
    assert "Validation successful for code location urgency_dagster" in validated


def test_dg_lists_and_checks_the_definitions(tmp_path: Path) -> None:
    listed = json.loads(run_dg("list", "defs", "--json", root=tmp_path, home=tmp_path / "home"))
    assert {"utterances", "urgency_model", "attention_cv/xgb"} <= {asset["asset_key"] for asset in listed["assets"]}
    assert {job["name"] for job in listed["jobs"]} >= {"calls_job", "urgency_job", "attention_job"}
    assert "All definitions loaded successfully" in run_dg("check", "defs", root=tmp_path, home=tmp_path / "home")
    assert "files are valid" in run_dg("check", "toml", root=tmp_path, home=tmp_path / "home")


def test_dg_launch_makes_an_asset_and_records_its_run(storage_root: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    run_dg("launch", "--assets", "attention_features", root=storage_root, home=home)
    assert StoragePaths(storage_root).attention.features.is_file()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.SUCCESS]

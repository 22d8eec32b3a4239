"""The command as users type it."""

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from urgency_dagster.cli import main
from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.defs.conftest import COMMAND, environment


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.output


def test_help_names_every_command() -> None:
    code, said = call("--help")
    assert code == 0
    assert all(command in said for command in ("run", "demo", "dev", "predict"))


@pytest.mark.slow
def test_demo_writes_the_inputs_and_prints_the_settings(tmp_path: Path) -> None:
    command = [str(COMMAND), "demo", "--storage", str(tmp_path), "--calls", "12"]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 calls" in done.stdout
    assert "URGENCY_SPEECH_MODEL=./models/demo/speech" in done.stdout
    assert len(list(StoragePaths(tmp_path).landing_calls.rglob("*.zip"))) == 6


def test_too_few_calls_is_one_sentence(tmp_path: Path) -> None:
    code, said = call("demo", "--storage", str(tmp_path), "--calls", "3")
    assert code == 1
    assert said.startswith("Error: ")
    assert "expected 12 or more" in said
    assert "Traceback" not in said


def test_an_unknown_pipeline_is_refused() -> None:
    code, said = call("run", "--only", "sentiment")
    assert code == 2
    assert "'calls', 'urgency', 'attention'" in said


class TestDevSettings:
    @pytest.fixture(autouse=True)
    def _no_setting(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        from urgency_dagster import settings

        monkeypatch.setattr(settings, "default_storage", lambda: tmp_path)
        monkeypatch.delenv("URGENCY_STORAGE", raising=False)

    @staticmethod
    def opened(storage: Path | None = None) -> Path:
        from urgency_dagster.cli import _dev_settings

        return _dev_settings(storage).storage

    def test_it_opens_the_demo_until_a_file_has_landed(self, tmp_path: Path) -> None:
        assert self.opened() == tmp_path
        (tmp_path / "demo").mkdir()
        (tmp_path / "demo" / "settings.env").touch()
        assert self.opened() == tmp_path / "demo"
        (tmp_path / "landing" / "calls").mkdir(parents=True)
        assert self.opened() == tmp_path / "demo"
        (tmp_path / "landing" / "calls" / "TS_x.zip").touch()
        assert self.opened() == tmp_path

    def test_it_opens_the_root_that_was_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "demo").mkdir()
        (tmp_path / "demo" / "settings.env").touch()
        assert self.opened(tmp_path) == tmp_path
        monkeypatch.setenv("URGENCY_STORAGE", str(tmp_path))
        assert self.opened() == tmp_path
        assert os.environ["URGENCY_STORAGE"] == str(tmp_path)

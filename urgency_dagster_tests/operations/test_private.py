"""The commands `demo` and `run` leave nothing open to others, whatever umask they inherit."""

import json
import subprocess
from pathlib import Path

import pytest

from urgency_dagster_tests.defs.conftest import COMMAND, OPEN, FirstRun, environment
from urgency_dagster_tests.operations.modes import open_to_others, watched


def test_an_open_file_and_an_open_temporary_file_are_seen(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with watched(tmp_path) as seen:
        (tmp_path / "closed").touch(0o600)
        (tmp_path / "open").touch()
        (tmp_path / "open").chmod(0o640)
        while not seen:
            pass
        (tmp_path / "open").unlink()
    assert list(seen) == [str(tmp_path / "open")]
    assert open_to_others(tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_demo_is_closed_to_others(tmp_path: Path, umask: int) -> None:
    root, temporary = tmp_path / "storage", tmp_path / "tmp"
    temporary.mkdir(0o700)
    command = [str(COMMAND), "demo", "--storage", str(root), "--calls", "12"]
    with watched(root) as seen, watched(temporary) as seen_temporary:
        subprocess.run(command, env=environment(root, TMPDIR=str(temporary)), umask=umask, check=True)
    assert len(list(root.glob("landing/calls/**/*.zip"))) == 6
    assert seen | seen_temporary == {}


def test_nothing_of_a_run_was_open_to_others_at_any_time(first_run: FirstRun) -> None:
    """Its shell has umask 022. That 077 stays 077 is a test of `prepare_process`."""
    root, _ = first_run
    assert open_to_others(root) == {}
    assert json.loads(root.with_name(OPEN).read_text()) == {}

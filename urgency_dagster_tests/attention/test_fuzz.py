import subprocess
import sys

import pytest


@pytest.mark.slow
def test_damaged_files_load_or_are_refused() -> None:
    command = [sys.executable, "-m", "urgency_dagster_tests.attention.fuzzing", "7", "3000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    loaded, count = map(int, done.stdout.split())
    # Damage to a label's text or a number's bit is none to the file; most of it is.
    assert 0 < loaded < count / 2

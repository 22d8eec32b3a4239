import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("pickle", 3000), ("gzip", 2000), ("joblib", 2000), ("parquet", 2000)])
def test_damaged_files_load_or_are_refused(kind: str, count: int) -> None:
    command = [sys.executable, "-m", "urgency_dagster_tests.attention.fuzzing", "7", str(count), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    loaded, tried = map(int, done.stdout.split())
    # Damage to a label's text or a number's bit is none to the file; most of it is. gzip has a checksum.
    assert tried == count
    assert loaded < count / 2
    assert loaded or kind == "gzip"

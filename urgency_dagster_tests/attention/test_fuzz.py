import os
import subprocess
import sys

import pytest

INPUTS = int(os.environ.get("FUZZ_INPUTS", "0"))
SEED = os.environ.get("FUZZ_SEED", "7")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least"), [("pickle", 3000), ("gzip", 2000), ("joblib", 2000), ("parquet", 2000)])
def test_damaged_files_load_or_are_refused(kind: str, least: int) -> None:
    """`FUZZ_INPUTS` sets how many are tried at least, and `FUZZ_SEED` which."""
    count = max(INPUTS, least)
    command = [sys.executable, "-m", "urgency_dagster_tests.attention.fuzzing", SEED, str(count), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280 * count / 2000)
    assert done.returncode == 0, done.stderr[-2000:]
    loaded, tried = map(int, done.stdout.split())
    # Damage to a label's text or a number's bit is none to the file; most of it is. gzip has a checksum.
    assert tried == count
    assert loaded < count / 2
    assert loaded or kind == "gzip"

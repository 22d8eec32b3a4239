"""The memory of a server does not grow with a call.

`python -m urgency_dagster_tests.serving.stream.measure_memory ROOT recogniser 2 10 60 180` measures three hours.
"""

import subprocess
import sys

import pytest

from urgency_dagster_tests.serving.conftest import ServedRoot


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["recogniser", "turns"])
def test_a_long_call_takes_the_memory_of_a_short_one(served_root: ServedRoot, mode: str) -> None:
    """30 minutes at 16 kHz take 115 MB as a waveform."""
    command = [sys.executable, "-m", f"{__package__}.measure_memory", str(served_root.paths.root), mode, "3", "33"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    short, long = (list(map(int, line.split()[:3])) for line in done.stdout.splitlines())
    assert long[1] == 11 * short[1]
    assert long[2] < 1.05 * short[2]

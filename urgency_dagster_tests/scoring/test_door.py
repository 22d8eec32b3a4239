"""The public names of the subject, and how light they are."""

import subprocess
import sys

import pytest

from urgency_dagster import scoring

HEAVY = ("torch", "transformers", "ray", "librosa", "sklearn", "matplotlib", "openvino", "dagster", "soxr", "filelock")


def test_every_public_name_is_there() -> None:
    assert {"find_recordings", "load_predictor", "score_archive"} <= set(dir(scoring))
    assert [name for name in dir(scoring) if getattr(scoring, name, None) is None] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import urgency_dagster.scoring", (*HEAVY, "numpy", "pandas", "pyarrow")),
        ("from urgency_dagster.scoring import find_recordings, load_predictor, predict_recordings", HEAVY),
    ],
)
def test_importing_the_door_loads_nothing_heavy(code: str, absent: tuple[str, ...]) -> None:
    script = f"{code}\nimport sys; print([m for m in {absent} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

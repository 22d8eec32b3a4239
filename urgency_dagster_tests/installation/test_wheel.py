"""The wheel holds the dashboard."""

import sys
import zipfile
from pathlib import Path

import pytest

from urgency_dagster_tests.installation.test_core_only import NO_INDEX, REPOSITORY, copy_sources, run

PAGE = Path("urgency_dagster", "serving", "page")


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_page(tmp_path: Path) -> None:
    copy_sources(tmp_path / "source")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--retries", "1")
    built = run(*pip, "--wheel-dir", str(tmp_path / "wheels"), str(tmp_path / "source"))
    if built.returncode and NO_INDEX.search(built.stderr):
        pytest.skip("no package index is reachable, so the build tools cannot be installed")
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "wheels").iterdir()
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(f"{PAGE.as_posix()}/")}
    files = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / PAGE).rglob("*") if path.is_file()}
    assert packed == files
    assert len(files) > 40

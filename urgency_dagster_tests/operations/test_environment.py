"""The environment and the umask of the project's processes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from urgency_dagster.operations.environment import close_former, prepare_process
from urgency_dagster.paths import StoragePaths


@pytest.fixture(autouse=True)
def _same_umask_afterwards() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("inherited", "used"), [(0o022, 0o077), (0o002, 0o077), (0o077, 0o077), (0o027, 0o027), (0o007, 0o007), (0, 0)]
)
def test_files_are_private_unless_a_umask_was_chosen(inherited: int, used: int) -> None:
    os.umask(inherited)
    prepare_process()
    assert os.umask(0) == used


@pytest.fixture
def former(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoragePaths:
    """A storage root and a Ray token as an earlier version made them under umask 022, and one folder of umask 002."""
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    os.umask(0o022)
    paths = StoragePaths(tmp_path / "storage")
    paths.landing_calls.mkdir(parents=True)
    (tmp_path / "token").touch()
    for name in ("calls", "dagster_home", "urgency"):
        (paths.root / name).mkdir()
    paths.root.joinpath("urgency").chmod(0o775)
    return paths


def modes(paths: StoragePaths) -> dict[str, int]:
    return {folder.name: folder.stat().st_mode & 0o777 for folder in paths.root.iterdir()}


def test_what_an_earlier_version_left_open_is_closed_once(former: StoragePaths, tmp_path: Path) -> None:
    prepare_process()
    assert close_former(former) == ["calls", "urgency", "dagster_home"]
    assert modes(former) == {"landing": 0o755, "calls": 0o700, "dagster_home": 0o700, "urgency": 0o700}
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert close_former(former) == []


def test_a_chosen_mode_stays(former: StoragePaths) -> None:
    former.root.joinpath("calls").chmod(0o750)
    prepare_process()
    assert close_former(former) == ["urgency", "dagster_home"]
    assert modes(former)["calls"] == 0o750


def test_nothing_is_closed_under_a_chosen_umask(former: StoragePaths, tmp_path: Path) -> None:
    os.umask(0o027)
    prepare_process()
    assert close_former(former) == []
    assert modes(former)["calls"] == 0o755
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o644


def test_arrow_uses_the_allocator_of_the_system_although_it_was_imported_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    former = pa.default_memory_pool()
    try:
        pa.set_memory_pool(pa.mimalloc_memory_pool())
        monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "mimalloc")
        prepare_process()
        assert pa.default_memory_pool().backend_name == "mimalloc"  # the user's choice
        monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL")
        prepare_process()
        assert pa.default_memory_pool().backend_name == "system"
    finally:
        pa.set_memory_pool(former)

"""The umask of the project's processes."""

import os
from collections.abc import Iterator

import pytest

from urgency_dagster.operations.environment import prepare_process


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

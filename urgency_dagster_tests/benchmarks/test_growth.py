from pathlib import Path

import pytest

from benchmarks.growth import GrowthSize, check_made, write_pairs
from urgency_dagster.calls.landing.pairs import scan_landing
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.paths import StoragePaths


@pytest.mark.slow
def test_the_copies_are_archives_of_their_own_with_the_same_content(tmp_path: Path) -> None:
    root = write_pairs(tmp_path, GrowthSize(), range(3))
    landed = scan_landing(StoragePaths(root).landing_calls)
    assert landed.problems == {}
    assert [name[1:] for name in landed.pairs] == ["_copy00", "_copy01", "_copy02"]
    assert len({pair.audio.parts[0].read_bytes() for pair in landed.pairs.values()}) == 1


def test_another_number_of_archives_cannot_be_compared(tmp_path: Path) -> None:
    check_made({tmp_path: 0})
    with pytest.raises(BenchmarkError, match="0 archives are complete; expected 1"):
        check_made({tmp_path: 1})

import io
from pathlib import Path

import pytest
import soundfile

from urgency_dagster.demo import inputs
from urgency_dagster.demo.archives import MIN_CALLS
from urgency_dagster.demo.inputs import write_demo
from urgency_dagster.demo.unlabelled import unlabelled_recordings
from urgency_dagster.demo.wearables import MIN_SAMPLES
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import find_recordings

pytestmark = pytest.mark.slow


def test_they_are_recordings_of_the_telephone_without_labels(demo_root: Path) -> None:
    paths = StoragePaths(demo_root)
    found = find_recordings([paths.landing_scoring], paths.landing_scoring)
    assert [file.name for file in found.audio] == [f"demo/recording{number}.wav" for number in (1, 2, 3)]
    assert not found.labels
    assert not found.rejected
    for file in found.audio:
        info = soundfile.info(file.path)
        assert (info.samplerate, info.channels) == (8000, 1)
        assert 10 < info.duration < 180


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    first, again, other = unlabelled_recordings(7), unlabelled_recordings(7), unlabelled_recordings(8)
    assert first == again
    assert first != other
    assert all(soundfile.read(io.BytesIO(content))[0].std() > 0.01 for content in first.values())


def no_recordings(_seed: int) -> dict[str, bytes]:
    """What another process makes instead of the recordings."""
    return {}


def test_the_other_files_are_the_same_without_them(
    demo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "unlabelled_recordings", no_recordings)
    write_demo(tmp_path, calls=MIN_CALLS, samples=MIN_SAMPLES)
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file() and path.name != "demo.json"]
    assert len(files) > 10
    assert all((demo_root / file).read_bytes() == (tmp_path / file).read_bytes() for file in files)

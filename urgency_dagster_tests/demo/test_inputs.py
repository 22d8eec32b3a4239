import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from urgency_dagster.demo.archives import MIN_CALLS
from urgency_dagster.demo.inputs import DemoSummary, write_demo
from urgency_dagster.demo.wearables import MIN_SAMPLES
from urgency_dagster.errors import SettingsError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings

SMALLEST: dict[str, Any] = {"calls": MIN_CALLS, "samples": MIN_SAMPLES}


@pytest.fixture
def root(demo_root: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(demo_root, tmp_path / "root"))


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def identities(root: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()}


def test_another_process_writes_the_same_bytes_elsewhere(demo_root: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from urgency_dagster.demo.inputs import write_demo\n"
        f"if __name__ == '__main__': write_demo(Path(sys.argv[1]), calls={MIN_CALLS}, samples={MIN_SAMPLES})"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "other")], check=True, capture_output=True)
    assert contents(tmp_path / "other") == contents(demo_root)


def test_a_second_call_touches_no_file(root: Path) -> None:
    # What a file manager leaves behind is no data.
    (StoragePaths(root).landing_calls / ".DS_Store").write_bytes(b"finder")
    before = identities(root)
    assert write_demo(root, **SMALLEST).written == 0
    assert identities(root) == before


def test_what_is_missing_or_half_done_is_made_again(demo_root: Path, root: Path) -> None:
    paths = StoragePaths(root)
    paths.attention_pickle.unlink()
    paths.settings_env.unlink()
    assert write_demo(root, **SMALLEST).written == 2
    assert contents(root) == contents(demo_root)


def test_other_arguments_replace_the_demos_own_files_and_back(demo_root: Path, root: Path) -> None:
    assert write_demo(root, **SMALLEST, seed=8).written > 6
    assert contents(root) != contents(demo_root)
    write_demo(root, **SMALLEST)
    assert contents(root) == contents(demo_root)


def test_the_settings_name_the_tiny_models(demo_root: Path) -> None:
    settings = Settings.load(demo_root, environment={})
    for folder in (settings.speech_model, settings.text_model):
        assert (Path(folder) / "config.json").is_file()
        assert Path(folder).is_relative_to(demo_root)


def test_the_run_config_overrides_settings_of_assets(demo_root: Path) -> None:
    overrides = yaml.safe_load(StoragePaths(demo_root).run_config.read_text(encoding="utf-8"))
    assert overrides.keys() == {"utterance_embeddings", "urgency_model"}
    assert overrides["utterance_embeddings"] == {"precision": "float32"}
    assert overrides["urgency_model"].keys() == {"learning_rate", "epochs"}


@pytest.mark.parametrize("place", ["calls/TS_인천_화재.zip", "calls/a/b/readme.txt", "attention/attention.pkl"])
def test_a_root_with_real_data_is_refused(tmp_path: Path, place: str) -> None:
    real = tmp_path / "landing" / place
    real.parent.mkdir(parents=True)
    real.write_bytes(b"real data")
    with pytest.raises(SettingsError, match="was not written by the demo"):
        write_demo(tmp_path, **SMALLEST)
    assert contents(tmp_path) == {f"landing/{place}": b"real data"}


def test_real_data_beside_or_in_place_of_the_demos_is_refused(root: Path) -> None:
    archive = next(StoragePaths(root).landing_calls.rglob("VS_*.zip"))
    archive.write_bytes(b"real data")
    with pytest.raises(SettingsError, match="was not written by the demo"):
        write_demo(root, **SMALLEST)
    assert archive.read_bytes() == b"real data"


def test_a_users_own_settings_are_not_overwritten(root: Path) -> None:
    settings = StoragePaths(root).settings_env
    settings.write_text("URGENCY_SPEECH_MODEL=my/own\n", encoding="utf-8")
    before = contents(root)
    with pytest.raises(SettingsError, match="was not written by the demo"):
        write_demo(root, **SMALLEST, seed=8)
    assert contents(root) == before


def test_too_few_calls_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="11 calls are asked for"):
        write_demo(tmp_path, calls=MIN_CALLS - 1, samples=MIN_SAMPLES)
    assert contents(tmp_path) == {}


def test_the_summary_counts_what_is_there(summary: DemoSummary) -> None:
    assert summary.archives == ("T_광주_구급", "T_서울_화재", "V_광주_구급")
    assert (summary.calls, summary.samples) == (MIN_CALLS, MIN_SAMPLES)
    assert 8 * MIN_CALLS <= summary.utterances <= 14 * MIN_CALLS
    assert summary.written == len(contents(summary.root)) - len(["demo.json"])

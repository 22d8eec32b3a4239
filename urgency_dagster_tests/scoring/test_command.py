"""`urgency-dagster predict` as users type it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from urgency_dagster import extras
from urgency_dagster.cli import main
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.urgency.spoken import SpokenRoot

NOT_NEEDED = ("dagster", "dagster_ray", "ray", "librosa", "imblearn", "matplotlib", "sqlalchemy", "openvino")
"""Libraries of other extras."""


def predict(spoken: SpokenRoot, *arguments: object) -> Result:
    words = [str(argument) for argument in (*arguments, "--storage", spoken.paths.root)]
    return CliRunner().invoke(main, ["predict", *words])


def test_recordings_with_labels_are_answered_on_stdout_alone(spoken: SpokenRoot, calls: Path) -> None:
    done = predict(spoken, calls, "--format", "json")
    assert (done.exit_code, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert len(document["calls"]) == 8
    assert {rejection["reason"] for rejection in document["rejected"]} <= {"too_short", "bad_times"}


def test_text_is_printed_only_if_it_is_asked_for(spoken: SpokenRoot, calls: Path) -> None:
    texts = [row["text"] for row in spoken.rows()]
    silent, speaking = predict(spoken, calls), predict(spoken, calls, "--text")
    assert (silent.exit_code, speaking.exit_code) == (0, 0)
    assert [text for text in texts if text in silent.output] == []
    assert [text for text in texts if text not in speaking.output] == []


def test_a_rejected_file_is_exit_1(spoken: SpokenRoot, calls: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text", encoding="utf-8")
    both, alone = predict(spoken, calls, tmp_path), predict(spoken, tmp_path)
    assert (both.exit_code, alone.exit_code) == (1, 1)
    assert both.stdout.count("label  ") >= 8
    for done in (both, alone):
        assert "notes.txt: unknown_type: not a recording" in done.stdout


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("broken.wav", b"RIFF and no more", "unreadable_audio"),
        ("text.txt", b"text", "unknown_type"),
        ("broken.zip", b"PK and no more", "corrupt"),
        ("label.json", b"{}", "missing_audio"),
    ],
)
def test_a_file_that_is_no_recording_has_a_reason(
    spoken: SpokenRoot, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    done = predict(spoken, tmp_path / name, "--format", "json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["calls"] == []
    assert [rejection["reason"] for rejection in document["rejected"]] == [reason]


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_sources_without_a_recording_have_a_reason(
    spoken: SpokenRoot, tmp_path: Path, build: Builder, kind: str
) -> None:
    source = tmp_path / "empty"
    source.mkdir() if kind == "folder" else source.with_suffix(".zip").write_bytes(build.zipped({}))
    done = predict(spoken, source if kind == "folder" else source.with_suffix(".zip"), "--format", "json")
    assert done.exit_code == 1
    (rejected,) = json.loads(done.stdout)["rejected"]
    assert rejected["file"].startswith(source.as_posix())
    assert rejected["reason"] == "no_recording"


class TestExit2:
    """Nothing was predicted."""

    @pytest.mark.parametrize("arguments", [[], ["missing.wav"], [".", "--format", "xml"], [".", "--unknown"]])
    def test_after_wrong_usage(self, arguments: list[str]) -> None:
        done = CliRunner().invoke(main, ["predict", *arguments])
        assert (done.exit_code, done.stdout) == (2, "")
        assert "Usage: " in done.stderr

    def test_without_a_model(self, calls: Path, tmp_path: Path) -> None:
        done = CliRunner().invoke(main, ["predict", str(calls), "--storage", str(tmp_path)])
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith(f"Error: the model folder {tmp_path / 'urgency' / 'model'} cannot be loaded")

    def test_without_the_speech_model(
        self, spoken: SpokenRoot, calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("URGENCY_SPEECH_MODEL", str(tmp_path))
        done = predict(spoken, calls, "--format", "json")
        assert (done.exit_code, done.stdout) == (2, "")
        assert "holds no config.json" in done.stderr

    def test_without_the_extra(self, spoken: SpokenRoot, calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(extras, "find_spec", lambda name: None)
        done = predict(spoken, calls)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "pip install '.[predict]'" in done.stderr


def test_another_model_folder_is_asked(spoken: SpokenRoot, calls: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.symlink_to(spoken.model)
    done = predict(spoken, min(calls.glob("*.wav")), "--model", folder)
    assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_other_extras_are_not_needed(spoken: SpokenRoot, calls: Path) -> None:
    """A fresh process in which their libraries are missing."""
    code = f"""
import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in {NOT_NEEDED!r} else super().find_spec(name, path, target)
sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from urgency_dagster.cli import main
main({["predict", str(calls), "--storage", str(spoken.paths.root), "--format", "json"]!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["calls"]) == 8

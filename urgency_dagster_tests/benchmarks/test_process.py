from pathlib import Path

import pytest

from benchmarks.process import Process
from urgency_dagster.errors import BenchmarkError


@pytest.mark.slow
def test_every_run_has_a_fresh_copy_and_its_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URGENCY_SPEECH_MODEL", "another/model")
    monkeypatch.setenv("DAGSTER_HOME", "/nowhere")
    template = tmp_path / "template"
    template.mkdir()
    (template / "landed").touch()
    code = "import os, pathlib; root = pathlib.Path(sys.argv[1]); assert [f.name for f in root.iterdir()] == ['landed']"
    code += "; (root / 'seen').write_text(' '.join(os.environ))"
    process = Process(template, tmp_path / "copies", runs=2, code=code)
    roots = [process.run(), process.run()]
    assert roots[0] != roots[1]
    seen = (roots[0] / "seen").read_text().split()
    assert "PATH" in seen
    assert not {"URGENCY_SPEECH_MODEL", "DAGSTER_HOME"}.intersection(seen)


@pytest.mark.slow
def test_a_process_that_fails_says_so(tmp_path: Path) -> None:
    (tmp_path / "template").mkdir()
    process = Process(tmp_path / "template", tmp_path / "copies", runs=1, code="sys.exit('no such thing')")
    with pytest.raises(BenchmarkError, match=r"ended with 1 \(no such thing\)"):
        process.run()

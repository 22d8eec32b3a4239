"""The core dependencies alone load the trained models and predict what the full installation predicts."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "urgency_dagster")
ASK = Path(__file__).with_name("ask_models.py")

MAX_PACKAGES, MAX_MEGABYTES = 70, 2300
"""Bounds of the core: 57 packages of 2,010 MB were measured; the full installation has 215 packages."""

NO_INDEX = re.compile(r"NewConnectionError|NameResolutionError|ConnectTimeoutError|Network is unreachable|ProxyError")
"""What pip writes when it reaches no package index."""

MEASURE = """
import json, sys, sysconfig
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
files = [path for path in Path(sysconfig.get_path("purelib")).rglob("*") if path.is_file() and path.suffix != ".pyc"]
print(json.dumps({
    "packages": len({distribution.name for distribution in distributions()}),
    "megabytes": sum(path.stat().st_size for path in files) // 10**6,
    "modules": [name for name in sys.argv[1:] if find_spec(name)],
}))
"""
"""Prints how many packages an environment has, their size without compiled Python, and which modules it can import."""

ONLY_IN_EXTRAS = (
    "dagster",
    "dagster_ray",
    "ray",
    "librosa",
    "soundfile",
    "silero_vad",
    "imblearn",
    "matplotlib",
    "espeakng_loader",
)


class Core(NamedTuple):
    """A virtual environment with the core dependencies alone.

    Attributes:
        folder: the environment.
        source: the copy of the repository that it was installed from.
        seconds: time of the installation.
    """

    folder: Path
    source: Path
    seconds: float

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment. The repository is not on its path."""
        return run(str(self.folder / "bin" / command[0]), *command[1:])


def run(*command: str, python_path: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a program outside of the repository, with one thread and without the hub."""
    environment = {**os.environ, "PYTHONPATH": python_path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=560, cwd="/", check=False)


@pytest.fixture(scope="module")
def core() -> Iterator[Core]:
    """The core of the repository in a fresh environment; deleted at the end, because it is large."""
    with tempfile.TemporaryDirectory(prefix="core-only-") as temporary:
        folder, source = Path(temporary, "environment"), Path(temporary, "source")
        copy_sources(source)
        start = time.monotonic()
        venv.create(folder, with_pip=False)
        installed = install(folder, source)
        if installed.returncode and NO_INDEX.search(installed.stderr):
            pytest.skip("no package index is reachable, so the core dependencies cannot be installed")
        assert installed.returncode == 0, installed.stderr
        yield Core(folder, source, time.monotonic() - start)


def copy_sources(target: Path) -> None:
    """A copy without history: the build writes beside the sources."""
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.mkdir(exist_ok=True)
            shutil.copy(source, target / name)


def install(environment: Path, source: Path, extra: str = "") -> subprocess.CompletedProcess[str]:
    pip = (sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"))
    options = ("--quiet", "--no-compile", "--retries", "1", "--constraint", str(REPOSITORY / "constraints.txt"))
    return run(*pip, "install", *options, f"{source}{extra}")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_core_alone_predicts_what_the_full_installation_predicts(
    core: Core, first_run: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    root = str(first_run[0])
    full = run(sys.executable, str(ASK), root, python_path=str(REPOSITORY))
    alone = core.run("python", str(ASK), root)
    assert (full.returncode, alone.returncode) == (0, 0), full.stderr + alone.stderr
    answers = json.loads(alone.stdout)
    assert answers == json.loads(full.stdout)
    assert len(answers["urgency"]["utterances"]) == 16
    assert answers["urgency"]["calls"]
    assert set(answers["attention"]) == {
        f"{model}{suffix}" for model in ("lgbm", "logreg", "rf", "voting", "xgb") for suffix in (".pkl", ".skops")
    }


@pytest.mark.slow
def test_the_core_is_small(core: Core, capsys: pytest.CaptureFixture[str]) -> None:
    alone = json.loads(core.run("python", "-c", MEASURE, *ONLY_IN_EXTRAS).stdout)
    full = json.loads(run(sys.executable, "-c", MEASURE, *ONLY_IN_EXTRAS).stdout)
    with capsys.disabled():
        for name, measured in (("core", alone), ("all", full)):
            print(f"\n{name}: {measured['packages']} packages, {measured['megabytes']:,} MB", end="")
        print(f"; the core took {core.seconds:.0f} s to install")
    assert alone["modules"] == []
    assert full["modules"] == list(ONLY_IN_EXTRAS)
    assert alone["packages"] < min(MAX_PACKAGES, full["packages"])
    assert alone["megabytes"] < min(MAX_MEGABYTES, full["megabytes"])


@pytest.mark.slow
def test_the_core_has_all_that_its_packages_require(core: Core) -> None:
    checked = run(sys.executable, "-m", "pip", "--python", str(core.folder / "bin" / "python"), "check")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("command", "extra"), [("run", "pipelines"), ("dev", "pipelines"), ("demo", "demo")])
def test_a_command_of_an_extra_names_it(core: Core, command: str, extra: str) -> None:
    done = core.run("urgency-dagster", command)
    assert (done.returncode, done.stdout) == (1, "")
    module = "dagster" if extra == "pipelines" else "espeakng_loader"
    remedy = f"to fix it, pip install '.[{extra}]' in the repository"
    assert done.stderr == f"Error: {module} is not installed; expected the extra `{extra}`; {remedy}\n"


@pytest.mark.slow
def test_help_needs_no_extra(core: Core) -> None:
    done = core.run("urgency-dagster", "--help")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def core_with_predict(core: Core) -> Core:
    """The same environment with the extra `predict`. Tests of the core alone come before those that use it."""
    installed = install(core.folder, core.source, "[predict]")
    assert installed.returncode == 0, installed.stderr
    return core


@pytest.mark.slow
def test_the_core_with_predict_answers_for_recordings(
    core_with_predict: Core, first_run: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    root = first_run[0]
    archive = root / "calls" / "V_광주_구급"
    arguments = ("predict", str(archive / "Wave"), str(archive / "Label"), "--storage", str(root), "--format", "json")
    alone = core_with_predict.run("urgency-dagster", *arguments)
    full = run(
        sys.executable, "-c", "from urgency_dagster.cli import main; main()", *arguments, python_path=str(REPOSITORY)
    )
    assert alone.stdout == full.stdout, alone.stderr
    assert {call["listening"] for call in json.loads(alone.stdout)["calls"]} == {"label"}


@pytest.mark.slow
def test_the_core_with_predict_hears_a_recording_without_a_label(
    core_with_predict: Core, first_run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    root = first_run[0]
    recording = shutil.copy(min((root / "calls" / "V_광주_구급" / "Wave").iterdir()), tmp_path)
    done = core_with_predict.run(
        "urgency-dagster", "predict", str(recording), "--storage", str(root), "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    (call,) = json.loads(done.stdout)["calls"]
    assert call["listening"] == "ctc"
    assert call["utterances"]


@pytest.mark.slow
def test_predict_is_small(core_with_predict: Core, capsys: pytest.CaptureFixture[str]) -> None:
    measured = json.loads(core_with_predict.run("python", "-c", MEASURE, *ONLY_IN_EXTRAS).stdout)
    with capsys.disabled():
        print(f"\ncore and predict: {measured['packages']} packages, {measured['megabytes']:,} MB", end="")
    assert measured["modules"] == ["soundfile", "silero_vad"]
    assert (measured["packages"], measured["megabytes"]) < (MAX_PACKAGES, MAX_MEGABYTES)

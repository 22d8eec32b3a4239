"""A storage root with everything that the dashboard shows, the server of it, and browsers."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from urgency_dagster.attention import BASELINE, MODEL_NAMES, write_audit, write_leaderboard, write_results
from urgency_dagster.attention.audit.controls import ControlConfig
from urgency_dagster.attention.reading.features import write_features
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.protocol import CrossValidationConfig
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import load_predictor, scan_scoring, score_archive, write_recordings, write_scored_calls
from urgency_dagster.serving import ServingConfig, create_app
from urgency_dagster_tests.defs.browsing import browser_file, without_sandbox
from urgency_dagster_tests.listening.syllables import RATE, silence, syllables
from urgency_dagster_tests.serving.conftest import ServedRoot
from urgency_dagster_tests.serving.page.dashboard import Dashboard

VALIDATION = "V_광주_구급"
THRESHOLDS = {"answer_from": 0.999, "alarm_from": 0.001}
"""With them, every call of a label raises an alarm and is for a person."""

SEQUENTIAL = CrossValidationConfig(backend="sequential")

Open = Callable[..., Dashboard]


@pytest.fixture(scope="session")
def shown_root(served_root: ServedRoot, tmp_path_factory: pytest.TempPathFactory) -> StoragePaths:
    """A copy of the served root with reports and a scored archive."""
    paths = StoragePaths(tmp_path_factory.mktemp("shown") / "root")
    shutil.copytree(served_root.paths.root, paths.root)
    _write_attention_reports(served_root, paths)
    _score_validation_calls(paths)
    _set_thresholds(paths)
    return paths


def _write_attention_reports(served_root: ServedRoot, paths: StoragePaths) -> None:
    models, files = [*MODEL_NAMES, BASELINE], paths.attention
    write_features(served_root.data, files)
    for result in cross_validate(served_root.data, [BASELINE], SEQUENTIAL).values():
        write_results(result, files)
    write_audit(files, models, ControlConfig(permutations=1, models=("logreg",), without_history=False), SEQUENTIAL)
    write_leaderboard(files, models)


def _score_validation_calls(paths: StoragePaths) -> None:
    landed, archive = paths.landing_scoring / "calls", paths.archive(VALIDATION)
    landed.mkdir(parents=True)
    for source in (*archive.audio.iterdir(), *archive.labels.iterdir()):
        shutil.copy(source, landed)
    found = scan_scoring(paths.landing_scoring).archives["calls"]
    write_recordings(paths, found)
    score_archive(paths, found, load_predictor(paths.root))
    write_scored_calls(paths, found.name)


def _set_thresholds(paths: StoragePaths) -> None:
    file = paths.urgency.model / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "thresholds": THRESHOLDS}))


@contextmanager
def serving(config: ServingConfig) -> Iterator[str]:
    """Serves in a thread on a free port; yields the address of the page."""
    options = uvicorn.Config(create_app(config), host="127.0.0.1", port=0, log_level="warning", ws="websockets-sansio")
    server = uvicorn.Server(options)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server ended before it started"
        thread.join(0.05)
    (socket,) = server.servers[0].sockets
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="session")
def address(shown_root: StoragePaths) -> Iterator[str]:
    """The page of a server of everything."""
    with serving(ServingConfig(shown_root.root)) as found:
        yield found


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WAV of six seconds with two utterances that the server finds."""
    file = tmp_path_factory.mktemp("speech") / "speech.wav"
    parts = [silence(800), syllables(1800), silence(1200), syllables(1500, seed=1), silence(700)]
    soundfile.write(file, np.concatenate(parts), RATE, subtype="PCM_16")
    return file


@pytest.fixture(scope="module")
def browser(speech: Path) -> Iterator[Browser]:
    """A browser whose microphone hears the speech; skips the test where there is none."""
    microphone = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    microphone.append(f"--use-file-for-fake-audio-capture={speech}%noloop")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser_file(), args=[*without_sandbox(), *microphone])
        yield started
        started.close()


@pytest.fixture(params=["ko", "en"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Open]:
    """Opens the page. At the end, no page had an error, and none asked another host for anything."""
    opened: list[Dashboard] = []

    def open_one(language: str = "en", at: str = address, **context: object) -> Dashboard:
        opened.append(Dashboard.open(browser, at, language, **context))
        return opened[-1]

    yield open_one
    for dashboard in opened:
        dashboard.page.context.close()
        assert dashboard.errors == []
        assert dashboard.hosts == {"127.0.0.1"}

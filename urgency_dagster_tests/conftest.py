"""What tests of several rooms share: seeded generators, a storage root, and a builder of real archive pairs."""

import io
import json
import random
import shutil
import sys
import warnings
import zipfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from filelock import FileLock
from hypothesis import settings

from urgency_dagster.calls.landing.pairs import ArchivePair
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.extraction import extract_pair
from urgency_dagster.operations.environment import prepare_process
from urgency_dagster.paths import StoragePaths
from urgency_dagster.writing import replacing_folder
from urgency_dagster_tests.process_guard import ProcessGuard

# Before the first test: Ray reads once in the life of a process whether it asks for a token.
prepare_process()

# The same examples on every run, however busy the machine is: a red test must be the fault of a change.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None, database=None)
settings.load_profile("repeatable")

DEMO_CALLS, DEMO_SAMPLES = 24, 400
"""The size of the demo that tests share."""

Members = Mapping[str, bytes] | Iterable[tuple[str | zipfile.ZipInfo, bytes]]


QUICK = "not slow"
"""The marker expression of `make quick`."""

SLOW_FIXTURES = {"summary", "demo_root", "ray_session", "ray_cluster", "forked", "first_run"}
"""Fixtures that start processes: the demo's speech synthesis, Ray, commands. Tests that use one are `slow`."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests by their fixtures, and orders the files so that two processes of pytest end together.

    One file makes the finished run that several share, while the other process works on files that do without it. The
    other users of the finished run follow, and files of quick tests fill the end.
    """
    for item in items:
        if SLOW_FIXTURES & _fixtures(item):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    users = {item.path for item in items if "first_run" in _fixtures(item)}
    maker = min(users, default=None)

    def place(item: pytest.Item) -> int:
        if item.path == maker:
            return 0
        return (2 if item.path in users else 1) if item.path in slow else 3

    items.sort(key=place)


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


guard = ProcessGuard()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Refuses processes in `make quick`; see `process_guard`."""
    with guard.closed() if item.config.option.markexpr == QUICK else nullcontext():
        return (yield)


@pytest.fixture(autouse=True)
def seed() -> None:
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True)
def no_instance_that_is_gone() -> None:
    """Lets Dagster forget an instance that is gone.

    Instances that are closed in another order than they were opened leave the closed one as the current one, and the
    next definitions that are loaded ask it.
    """
    module = sys.modules.get("dagster._core.storage.defs_state.base")
    current = module._current_storage.get() if module else None
    if module and current is not None and current._instance_weakref() is None:
        module._current_storage.set(None)


@pytest.fixture
def paths(tmp_path: Path) -> StoragePaths:
    return StoragePaths(tmp_path / "root")


class Builder:
    """Writes archive pairs as AI Hub ships them, or damaged in one chosen way. Holds no state."""

    def call_id(self, number: int) -> str:
        return f"{number:024x}"

    def wav(
        self, duration_ms: int = 3000, *, rate: int = 8000, channels: int = 1, subtype: str = "PCM_16", seed: int = 0
    ) -> bytes:
        """Noise that swells and fades, so that no two pieces of it are alike."""
        samples = np.random.default_rng(seed).normal(0, 0.1, (duration_ms * rate // 1000, channels))
        samples *= 1.2 + np.sin(np.linspace(0, 20, len(samples)))[:, None]
        stream = io.BytesIO()
        soundfile.write(stream, samples, rate, format="WAV", subtype=subtype)
        return stream.getvalue()

    def utterance(self, number: int = 0, **changed: Any) -> dict[str, Any]:
        """One of the 700 ms utterances that follow each other once a second."""
        start = number * 1000
        entry = {"id": f"{number:08x}", "startAt": start, "endAt": start + 700, "text": f"발화 {number} ", "speaker": 1}
        return {**entry, **changed}

    def label(self, call_id: str, **changed: Any) -> dict[str, Any]:
        """The label of a call with three utterances; a value of `...` drops the key."""
        label = {
            "_id": call_id,
            "audioPath": "20230101/x/converted_1.wav",
            "recordId": "0123456789abcdef0123",
            "status": 12,
            "startAt": 0,
            "endAt": 3000,
            "utterances": [self.utterance(n) for n in range(3)],
            "mediaType": "Mobile",
            "gender": "F",
            "address": "가상시 가상구 비밀동",
            "disasterLarge": "구급",
            "disasterMedium": "질병(중증 외)",
            "urgencyLevel": "중",
            "sentiment": "불안/걱정",
            "symptom": ["기타통증"],
            "triage": "준응급증상",
            **changed,
        }
        return {key: value for key, value in label.items() if value is not ...}

    def json(self, label: Any, encoding: str = "utf-8") -> bytes:
        return json.dumps(label, ensure_ascii=encoding == "ascii").encode(encoding)

    def zip(self, target: Path, members: Members, method: int = zipfile.ZIP_DEFLATED) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.zipped(members, method))
        return target

    def zipped(self, members: Members, method: int = zipfile.ZIP_DEFLATED) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the same name twice is meant
            for name, content in members.items() if isinstance(members, Mapping) else members:
                info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
                info.compress_type = method
                archive.writestr(info, content)
        return stream.getvalue()

    def renamed(self, name: bytes, content: bytes = b"content") -> bytes:
        """A ZIP of one member whose name is exactly these bytes, without the UTF-8 flag."""
        placeholder = "@" * len(name)
        return self.zipped({placeholder: content}).replace(placeholder.encode(), name)

    def pair(self, landing: Path, archive: str, audio: Members, labels: Members) -> ArchivePair:
        split, rest = archive[0], archive[1:]
        return ArchivePair(
            archive,
            LandedZip.whole(self.zip(landing / f"{split}S{rest}.zip", audio)),
            LandedZip.whole(self.zip(landing / f"{split}L{rest}.zip", labels)),
        )

    def calls(self, *labels: Mapping[str, Any]) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """The members of both ZIPs for some labels, each with a recording of three seconds."""
        audio = {f"{label['_id']}_20230101.wav": self.wav(seed=n) for n, label in enumerate(labels)}
        return audio, {f"{label['_id']}_20230101.json": self.json(label) for label in labels}

    def extracted(self, paths: StoragePaths, archive: str, audio: Members, labels: Members) -> None:
        """Lands a pair and unpacks it."""
        pair = self.pair(paths.landing_calls, archive, audio, labels)
        extract_pair(pair, paths.archive(archive), ExtractionConfig())


@pytest.fixture(scope="session")
def build() -> Builder:
    return Builder()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all processes of one call of pytest share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def demo_root(shared: Path) -> Path:
    """A small demo without recordings to score, with nothing made of it yet. Not to be changed.

    All processes of pytest share it. The recordings are left out, because every run of the demo would score them.
    """
    root = shared / "demo"
    with FileLock(shared / "demo.lock"):
        if not root.exists():
            with replacing_folder(root) as written:
                from urgency_dagster.demo.inputs import write_demo

                write_demo(written, calls=DEMO_CALLS, samples=DEMO_SAMPLES)
                shutil.rmtree(StoragePaths(written).landing_scoring)
    return root

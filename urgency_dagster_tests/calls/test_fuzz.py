"""Mutated bytes of valid ZIPs, labels and recordings, from the landing folder to the tables.

Whatever lands, the steps end with tables that account for everything or with one of the project's own errors; they
write nothing outside of `calls/`, and stay within a limit of time and memory. `FUZZ_INPUTS` sets how many are tried.
"""

import copy
import json
import os
import re
import resource
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from urgency_dagster.calls.landing.cache import LandingCache
from urgency_dagster.calls.landing.pairs import scan_landing
from urgency_dagster.calls.table.funnel import read_funnel
from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.extraction import extract_pair
from urgency_dagster.errors import UrgencyError
from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.calls.extracting import CENTRAL, END, LOCAL
from urgency_dagster_tests.conftest import Builder

ARCHIVE = "T_광주_구급"
A, B = "a" * 24, "b" * 24
INPUTS = int(os.environ.get("FUZZ_INPUTS", "200"))
MAX_SECONDS = 10.0
MAX_MEMORY = 1 << 30
LIMITS = ExtractionConfig(member_bytes=32 << 20, total_bytes=64 << 20)

ODD = [
    b"",
    b"\0",
    b"\xff",
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\0" * 64,
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"RIFF",
    b"data",
]
ODD += [b"[" * 2000, b'{"', b"\\ud800", b"1e999", b"-0", b"NaN", b"../", b"\xb0\xa1", b"\xef\xbb\xbf", b"9" * 5000]


def mutations() -> st.SearchStrategy[list[tuple[str, float, float, bytes]]]:
    """What is done to some bytes: an operation, where it begins and ends (as shares of the length), and new bytes."""
    share = st.floats(0, 1)
    operation = st.sampled_from(["write", "insert", "cut", "repeat", "truncate", "swap"])
    return st.lists(st.tuples(operation, share, share, st.binary(max_size=8) | st.sampled_from(ODD)), max_size=6)


def mutated(content: bytes, changes: list[tuple[str, float, float, bytes]]) -> bytes:
    for operation, first, second, new in changes:
        start, end = sorted((int(first * len(content)), int(second * len(content))))
        match operation:
            case "write":
                content = content[:start] + new + content[start + len(new) :]
            case "insert":
                content = content[:start] + new + content[start:]
            case "cut":
                content = content[:start] + content[end:]
            case "repeat":
                content = content[:end] + content[start:end] + content[end:]
            case "truncate":
                content = content[:end]
            case "swap":
                content = content[start:end] + content[:start] + content[end:]
    return content[: 1 << 20]


Slot = tuple[Any, Any]
"""A list or an object of a label, and an index or a key of it."""

VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        7,
        -1,
        0.5,
        1e300,
        float("nan"),
        10**30,
        "",
        "상",
        " 상 ",
        "불안 / 걱정",
        "신고자",
        "700.25",
        "\ud800",
        "x" * 300,
    ]
) | st.sampled_from([[], {}, [None], {"$oid": "a" * 24}, {"id": "u"}, [[]] * 50, "00:00:01.000", "\u1109\u1161\u11bc"])
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp949", "latin-1"])


def restructurings() -> st.SearchStrategy[list[tuple[float, str, Any]]]:
    """What is done to the values of a label: where (as a share of all places), an operation, and a value."""
    operation = st.sampled_from(["set", "delete", "repeat", "wrap", "text", "rename"])
    return st.lists(st.tuples(st.floats(0, 1), operation, VALUES), max_size=8)


def slots(value: Any) -> list[Slot]:
    """Every place of a label, the outermost first."""
    own: list[Slot] = []
    if isinstance(value, list):
        own = [(value, place) for place in range(len(value))]
    elif isinstance(value, dict):
        own = [(value, key) for key in value]
    return own + [slot for holder, key in own for slot in slots(holder[key])]


def restructured(label: dict[str, Any], changes: list[tuple[float, str, Any]]) -> dict[str, Any]:
    label = copy.deepcopy(label)
    for where, operation, value in changes:
        places = slots(label)
        if not places:
            break
        holder, key = places[min(int(where * len(places)), len(places) - 1)]
        match operation:
            case "set":
                holder[key] = copy.deepcopy(value)
            case "delete":
                del holder[key]
            case "repeat" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case "rename" if isinstance(holder, dict):
                holder[str(key).upper()] = holder.pop(key)
            case "wrap":
                holder[key] = [holder[key]]
            case "text":
                holder[key] = str(holder[key])[:400]
    return label


FIELDS = {
    LOCAL: (4, 6, 8, 14, 18, 22, 26, 28),
    CENTRAL: (4, 6, 8, 10, 16, 20, 24, 28, 30, 32, 34, 38, 42),
    END: (4, 6, 8, 12, 16),
}
"""The offsets of numbers in the headers of a ZIP. Source: PKWARE APPNOTE 4.3."""


def field_changes() -> st.SearchStrategy[list[tuple[bytes, float, float, int]]]:
    """What is done to the numbers of a ZIP: the kind of header, which one, which field (as shares), and a number."""
    numbers = st.sampled_from([0, 1, 2, 8, 9, 12, 14, 99, 255, 0x800, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]) | st.integers(
        0, 400
    )
    return st.lists(st.tuples(st.sampled_from([*FIELDS]), st.floats(0, 1), st.floats(0, 1), numbers), max_size=5)


def with_fields(content: bytes, changes: list[tuple[bytes, float, float, int]]) -> bytes:
    for header, which, where, number in changes:
        starts = [match.start() for match in re.finditer(re.escape(header), content)]
        offsets = FIELDS[header]
        if starts:
            start = starts[min(int(which * len(starts)), len(starts) - 1)]
            start += offsets[min(int(where * len(offsets)), len(offsets) - 1)]
            value = number.to_bytes(4, "little")[: 4 if number > 0xFFFF else 2]
            content = content[:start] + value + content[start + len(value) :]
    return content


@pytest.fixture(scope="module", autouse=True)
def memory_limit() -> Iterator[None]:
    """More memory than the limit is refused by the kernel, which shows as a MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + MAX_MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def whole(build: Builder) -> dict[str, dict[str, bytes]]:
    """The members of both ZIPs of two short calls."""
    audio, labels = build.calls(build.label(A), build.label(B))
    return {"TS": {name: build.wav(1600, seed=n) for n, name in enumerate(audio)}, "TL": labels}


tried: Counter[str] = Counter()


def survives(zips: dict[str, bytes], kind: str) -> str:
    """How two ZIPs end, after it was tested that they harm nothing: refused, failed or tabulated."""
    tried[kind] += 1
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        paths = StoragePaths(Path(folder, "storage"))
        paths.landing_calls.mkdir(parents=True)
        for name, content in zips.items():
            (paths.landing_calls / f"{name}_광주_구급.zip").write_bytes(content)
        outcome = _outcome(paths)
        assert {path.name for path in Path(folder).iterdir()} == {"storage"}
        assert {path.name for path in paths.root.iterdir()} <= {"landing", "calls", "manifests"}
        landed = {path.name: path.read_bytes() for path in paths.landing_calls.iterdir()}
        assert landed == {f"{name}_광주_구급.zip": content for name, content in zips.items()}
    assert time.monotonic() - started < MAX_SECONDS
    return outcome


def _outcome(paths: StoragePaths) -> str:
    landing = scan_landing(paths.landing_calls, LandingCache(paths))
    if ARCHIVE not in landing.pairs:
        assert landing.problems
        return "refused"
    files = paths.archive(ARCHIVE)
    try:
        extract_pair(landing.pairs[ARCHIVE], files, LIMITS.changed(workers=1))
    except UrgencyError:
        assert not files.members.exists()
        return "failed"
    counted = build_utterance_table(paths, ARCHIVE, workers=1)
    funnel = read_funnel(paths, ARCHIVE)
    assert (funnel.utterances, funnel.calls) == (counted["labelled"], counted["calls"])
    assert funnel.members == counted["extracted"] + funnel.rejects("members")
    kept = {path.relative_to(files.folder).parts[0] for path in files.folder.rglob("*") if path.is_file()}
    assert {name for name in kept if not name.startswith(".")} <= {
        "Wave", "Label", "members.parquet", "utterances.parquet", "rejects.parquet",
    }  # fmt: skip
    assert pq.read_metadata(files.utterances).num_rows <= funnel.utterances
    return "tabulated"


METHODS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])

fuzzed = settings(max_examples=INPUTS, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
class TestMutations:
    @given(changes=restructurings(), encoding=ENCODINGS)
    @fuzzed
    def test_of_the_structure_of_a_label(
        self, build: Builder, whole: dict[str, dict[str, bytes]], changes: Any, encoding: str
    ) -> None:
        name, content = next(iter(whole["TL"].items()))
        label = restructured(json.loads(content), changes)
        text = json.dumps(label, ensure_ascii=False).encode(encoding, "replace")
        zips = {"TS": build.zipped(whole["TS"]), "TL": build.zipped(whole["TL"] | {name: text})}
        assert survives(zips, "label structure") == "tabulated"

    @given(changes=field_changes(), method=METHODS, kind=st.sampled_from(["TS", "TL"]))
    @fuzzed
    def test_of_the_structure_of_a_zip(
        self, build: Builder, whole: dict[str, dict[str, bytes]], changes: Any, method: int, kind: str
    ) -> None:
        zips = {name: build.zipped(members) for name, members in whole.items()}
        zips[kind] = with_fields(build.zipped(whole[kind], method), changes)
        survives(zips, "zip structure")

    @given(changes=mutations(), method=METHODS, kind=st.sampled_from(["TS", "TL"]))
    @fuzzed
    def test_of_a_zip(
        self, build: Builder, whole: dict[str, dict[str, bytes]], changes: Any, method: int, kind: str
    ) -> None:
        zips = {name: build.zipped(members) for name, members in whole.items()}
        zips[kind] = mutated(build.zipped(whole[kind], method), changes)
        survives(zips, "zip")

    @given(changes=mutations())
    @fuzzed
    def test_of_the_end_of_a_zip(self, build: Builder, whole: dict[str, dict[str, bytes]], changes: Any) -> None:
        """Where the list of members is."""
        content = build.zipped(whole["TS"])
        directory = content.index(b"PK\x01\x02")
        zips = {"TS": content[:directory] + mutated(content[directory:], changes), "TL": build.zipped(whole["TL"])}
        survives(zips, "zip")

    @given(changes=mutations())
    @fuzzed
    def test_of_a_label(self, build: Builder, whole: dict[str, dict[str, bytes]], changes: Any) -> None:
        labels = {name: mutated(content, changes) for name, content in list(whole["TL"].items())[:1]}
        zips = {"TS": build.zipped(whole["TS"]), "TL": build.zipped(whole["TL"] | labels)}
        assert survives(zips, "label") == "tabulated"

    @given(
        changes=mutations(), rate=st.sampled_from([8000, 44_100]), subtype=st.sampled_from(["PCM_16", "ULAW", "FLOAT"])
    )
    @fuzzed
    def test_of_a_recording(
        self, build: Builder, whole: dict[str, dict[str, bytes]], changes: Any, rate: int, subtype: str
    ) -> None:
        sound = mutated(build.wav(800, rate=rate, subtype=subtype), changes)
        zips = {"TS": build.zipped({**whole["TS"], f"{A}_20230101.wav": sound}), "TL": build.zipped(whole["TL"])}
        assert survives(zips, "recording") == "tabulated"

    @given(changes=mutations(), rate=st.sampled_from([8000, 44_100]))
    @fuzzed
    def test_of_the_header_of_a_recording(
        self, build: Builder, whole: dict[str, dict[str, bytes]], changes: Any, rate: int
    ) -> None:
        sound = build.wav(800, rate=rate)
        header = mutated(sound[:60], changes)
        zips = {"TS": build.zipped({f"{A}_20230101.wav": header + sound[60:]}), "TL": build.zipped(whole["TL"])}
        assert survives(zips, "recording") == "tabulated"

    def test_as_many_inputs_were_tried_as_asked_for(self) -> None:
        structures = {"label structure": INPUTS, "zip structure": INPUTS}
        assert tried == {"zip": 2 * INPUTS, "label": INPUTS, "recording": 2 * INPUTS, **structures}

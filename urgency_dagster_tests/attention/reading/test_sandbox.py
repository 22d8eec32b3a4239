"""The sandbox process: what it stores, and how it fails for hostile files."""

import gzip
import hashlib
import pickle
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from urgency_dagster.attention.reading import sandbox
from urgency_dagster.attention.reading.features import read_features
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.reading.row_draw import drawn_by_the_original
from urgency_dagster.attention.reading.sandbox import MIN_MEMORY_MB, FeatureConfig, import_pickle
from urgency_dagster.errors import AttentionError, SettingsError
from urgency_dagster.paths import AttentionPaths, StoragePaths
from urgency_dagster.writing import read_json
from urgency_dagster_tests.attention.conftest import make_data
from urgency_dagster_tests.attention.hostile import block, call, five, index, plain, table, tupled, values

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")


@pytest.fixture
def landed(tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes bytes where a pickle lands."""

    def write(content: bytes) -> Path:
        path = StoragePaths(tmp_path).attention_pickle
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def honest(landed: Callable[[bytes], Path], as_tuple: Callable[..., tuple[object, ...]]) -> Path:
    return landed(pickle.dumps(as_tuple()))


@pytest.fixture
def stored(honest: Path, paths: AttentionPaths) -> Callable[[], None]:
    """The features of an honest file, and a check that they are still there and nothing else is."""
    import_pickle(honest, paths, FeatureConfig())
    files = (paths.features, paths.samples, paths.summary)
    content = [file.read_bytes() for file in files]

    def check() -> None:
        assert sorted(paths.features_folder.iterdir()) == sorted(files)
        assert [file.read_bytes() for file in files] == content
        assert sorted(path.name for path in paths.features_folder.parent.iterdir()) == ["attention", "landing"]

    return check


@pytest.mark.slow
def test_the_stored_features_equal_the_pickle(data: AttentionData, honest: Path, paths: AttentionPaths) -> None:
    summary = import_pickle(honest, paths, FeatureConfig())
    read = read_features(paths)
    pd.testing.assert_frame_equal(read.X, data.X)
    np.testing.assert_array_equal(read.y, data.y)
    np.testing.assert_array_equal(read.groups, data.groups)
    np.testing.assert_array_equal(read.t_s, data.t_s)
    assert summary == read_json(paths.summary)
    assert summary["source_sha256"] == hashlib.sha256(honest.read_bytes()).hexdigest()


@pytest.mark.slow
def test_the_rows_of_the_original_are_drawn(data: AttentionData, honest: Path, paths: AttentionPaths) -> None:
    import_pickle(honest, paths, FeatureConfig(protocol="original"))
    read, drawn = read_features(paths), drawn_by_the_original(data)
    pd.testing.assert_frame_equal(read.X, drawn.X)
    np.testing.assert_array_equal(read.t_s, drawn.t_s)


@pytest.mark.slow
def test_a_compressed_file_has_memory_for_its_content(
    landed: Callable[[bytes], Path], paths: AttentionPaths, as_tuple: Callable[..., tuple[object, ...]]
) -> None:
    zeros = pd.DataFrame(np.zeros((300, 8000), "float32")).add_prefix("HRT#AVG#")
    assert import_pickle(landed(gzip.compress(pickle.dumps(as_tuple(X=zeros)))), paths)["features"]["total"] == 8000


@pytest.mark.slow
def test_the_same_pickle_gives_the_same_bytes(honest: Path, paths: AttentionPaths, stored: Callable[[], None]) -> None:
    import_pickle(honest, paths, FeatureConfig())
    stored()


@pytest.mark.slow
def test_the_parent_reads_no_pickle(honest: Path, paths: AttentionPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(sandbox, "load_attention_pickle", refuse)
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert import_pickle(honest, paths, FeatureConfig())["rows"] == 300


@pytest.mark.slow
def test_a_refusal_reaches_the_parent_word_for_word(
    tmp_path: Path, landed: Callable[[bytes], Path], paths: AttentionPaths
) -> None:
    path = landed(five(X=call("os", "system", plain(f"touch {tmp_path / 'executed'}"))))
    with pytest.raises(AttentionError) as refusal:
        import_pickle(path, paths, FeatureConfig())
    received, expected, remedy = refusal.value.args
    assert (received, expected) == ("the pickle names os.system", "pandas and numpy data only")
    assert "pandas 1.3 or later" in remedy
    assert [path.name for path in tmp_path.iterdir()] == ["landing"]


@pytest.mark.slow
def test_a_refused_file_leaves_the_stored_features_unchanged(
    landed: Callable[[bytes], Path], paths: AttentionPaths, stored: Callable[[], None]
) -> None:
    with pytest.raises(AttentionError, match=r"names builtins\.eval"):
        import_pickle(landed(five(X=call("builtins", "eval", plain("1")))), paths, FeatureConfig())
    stored()


@pytest.mark.slow
def test_long_and_unprintable_names_are_shortened_and_replaced_in_errors(
    landed: Callable[[bytes], Path], paths: AttentionPaths
) -> None:
    path = landed(five(X=call("os\n\x1b[31m", "a" * 10**6)))
    with pytest.raises(AttentionError) as refusal:
        import_pickle(path, paths, FeatureConfig())
    received = refusal.value.args[0]
    assert received.startswith("the pickle names os??[31m.aaa")
    assert len(received) < 400


@pytest.mark.slow
def test_a_missing_file_is_named(paths: AttentionPaths, tmp_path: Path) -> None:
    with pytest.raises(AttentionError, match=r"there is no file attention\.pkl"):
        import_pickle(StoragePaths(tmp_path).attention_pickle, paths, FeatureConfig())
    assert not paths.features_folder.exists()


@pytest.mark.slow
def test_a_large_file_is_refused_unread(landed: Callable[[bytes], Path], paths: AttentionPaths) -> None:
    path = landed(b"")
    with path.open("r+b") as stream:
        stream.truncate(3 * 1024**2)
    with pytest.raises(AttentionError, match=r"attention\.pkl has 3,145,728 bytes; expected at most 2,097,152"):
        import_pickle(path, paths, FeatureConfig(max_mb=2))


def repeated_block(columns: int, rows: int) -> bytes:
    """A file of a few kilobytes whose table has one array in each of its columns."""
    one = values(rows=rows)
    places = [call("builtins", "slice", plain(n), plain(n + 1), plain(1)) for n in range(columns)]
    first = block(one + b"r" + struct.pack("<I", 10**5), places[0])
    others = [block(b"j" + struct.pack("<I", 10**5), place) for place in places[1:]]
    names = index("Index", {"data": np.array([f"A#VAL{n}" for n in range(columns)], dtype=object)})
    return five(X=table(tupled(first, *others), names, rows))


@pytest.mark.slow
def test_a_table_that_outgrows_its_file_is_refused(
    landed: Callable[[bytes], Path], paths: AttentionPaths, stored: Callable[[], None]
) -> None:
    path = landed(repeated_block(columns=300, rows=10_000))
    assert path.stat().st_size < 200_000
    with pytest.raises(AttentionError, match="X takes 12,000,000 bytes; expected at most 2,097,152"):
        import_pickle(path, paths, FeatureConfig(max_mb=2))
    stored()


GIGABYTES = 8 * 1024**3

BOMBS = {
    "bytes of any length": b"\x8e" + struct.pack("<Q", GIGABYTES),
    "text of any length": b"\x8d" + struct.pack("<Q", GIGABYTES),
    "a bytearray of any length": b"\x96" + struct.pack("<Q", GIGABYTES),
    "a number of any length": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "a memo of any size": b")r" + struct.pack("<I", 2**31 - 1),
    "a table wider than memory": table(
        tupled(block(values(10**9, 0), call("builtins", "slice", plain(0), plain(10**9), plain(1)))),
        index("RangeIndex", {"start": 0, "stop": 10**9, "step": 1}),
        0,
    ),
}


@pytest.mark.slow
@linux
@pytest.mark.parametrize("bomb", BOMBS)
def test_memory_bombs_stop_at_the_limit(
    landed: Callable[[bytes], Path], paths: AttentionPaths, stored: Callable[[], None], bomb: str
) -> None:
    path = landed(five(X=BOMBS[bomb]))
    before, start = psutil.Process().memory_info().rss, time.monotonic()
    with pytest.raises(AttentionError, match=f"takes more than {MIN_MEMORY_MB} MB of memory; .*raise memory_mb"):
        import_pickle(path, paths, FeatureConfig())
    assert time.monotonic() - start < 60
    assert psutil.Process().memory_info().rss - before < 100 * 1024**2
    stored()


@pytest.mark.slow
@linux
def test_the_memory_limit_is_an_option(
    landed: Callable[[bytes], Path], paths: AttentionPaths, stored: Callable[[], None]
) -> None:
    path = landed(five(X=b"\x96" + struct.pack("<Q", 20 * 1024**2)))
    with pytest.raises(AttentionError, match="takes more than 10 MB of memory"):
        import_pickle(path, paths, FeatureConfig(memory_mb=10))
    with pytest.raises(AttentionError, match="damaged"):
        import_pickle(path, paths, FeatureConfig(memory_mb=100))
    stored()


@pytest.mark.slow
@linux
@pytest.mark.parametrize("memory_mb", [1, 4, 8])
def test_the_error_names_the_memory_limit_wherever_memory_ends(
    landed: Callable[[bytes], Path], paths: AttentionPaths, stored: Callable[[], None], memory_mb: int
) -> None:
    large = make_data(rows=25_000)
    path = landed(pickle.dumps((large.X, large.y, large.groups, large.t_s)))
    with pytest.raises(AttentionError, match=f"(more than|within) {memory_mb} MB.*raise memory_mb"):
        import_pickle(path, paths, FeatureConfig(memory_mb=memory_mb))
    stored()


LAUGHS = b")" + b"2\x86" * 64
"""A tuple of two of a tuple of two of a tuple ...: 65 objects, but 2 ** 64 to a function that hashes them."""


@pytest.mark.slow
def test_time_bombs_stop_at_the_limit(
    landed: Callable[[bytes], Path], paths: AttentionPaths, stored: Callable[[], None]
) -> None:
    path = landed(five(X=b"}" + LAUGHS + plain(1) + b"s"))
    start = time.monotonic()
    with pytest.raises(AttentionError, match=r"takes too long; expected at most 5 s; .*raise time_s"):
        import_pickle(path, paths, FeatureConfig(time_s=5))
    assert time.monotonic() - start < 30
    stored()


CRASHES = {
    "a crash": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV; .*raise memory_mb"),
    "a kill": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL"),
    "an unknown signal": ("import os; os.kill(os.getpid(), 40)", r"was killed by (signal 40|SIGRTMIN\+\d+)"),
    "an exit": ("import os; os._exit(7)", "failed with exit code 7; .*raise memory_mb"),
    "an error of its own": ("raise OSError('no space')", "failed with exit code 1"),
    "nothing done": ("import os; os._exit(0)", "left no usable features.json"),
    "a refusal without words": ("import os; os._exit(3)", "left no usable refused.json"),
}


@pytest.fixture
def in_the_process(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the process execute some code: it imports what its parent would, and so meets this for pyarrow."""

    def plant(code: str) -> None:
        folder = tmp_path_factory.mktemp("crash")
        (folder / "pyarrow.py").write_text(code)
        monkeypatch.syspath_prepend(folder)

    return plant


@pytest.mark.slow
@pytest.mark.parametrize("crash", CRASHES)
def test_a_crashed_child_process_is_an_error(
    honest: Path, paths: AttentionPaths, stored: Callable[[], None], in_the_process: Any, crash: str
) -> None:
    code, said = CRASHES[crash]
    in_the_process(code)
    with pytest.raises(AttentionError, match=said):
        import_pickle(honest, paths, FeatureConfig())
    stored()


@pytest.mark.slow
def test_a_child_process_over_its_time_is_an_error(
    honest: Path, paths: AttentionPaths, stored: Callable[[], None], in_the_process: Any
) -> None:
    in_the_process("import time; time.sleep(60)")
    with pytest.raises(AttentionError, match="takes too long; expected at most 3 s"):
        import_pickle(honest, paths, FeatureConfig(time_s=3))
    stored()


@pytest.mark.slow
def test_a_summary_over_the_maximum_size_is_refused(
    honest: Path, paths: AttentionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "MAX_RESPONSE_BYTES", 100)
    with pytest.raises(AttentionError, match=r"left no usable features\.json"):
        import_pickle(honest, paths, FeatureConfig())


def test_a_system_without_memory_limit_adds_a_warning(
    honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_set_limits", lambda *_: False)
    sandbox._store(honest, tmp_path, FeatureConfig())
    assert read_json(tmp_path / "features.json")["warnings"] == ["this system could not limit the memory of reading"]


class TestLimits:
    def test_the_memory_follows_the_size_of_the_file(self) -> None:
        full_size = 34_700_000
        assert FeatureConfig().memory_for(0) == MIN_MEMORY_MB
        assert 3 * full_size < FeatureConfig().memory_for(full_size) * 1024**2 < 20 * full_size
        assert FeatureConfig(memory_mb=7).memory_for(full_size) == 7

    @pytest.mark.parametrize("limit", [{"max_mb": 0}, {"memory_mb": 0}, {"memory_mb": -1}, {"time_s": 0}])
    def test_limits_below_1_are_refused(self, limit: dict[str, int]) -> None:
        (name,) = limit
        with pytest.raises(SettingsError, match=f"{name} is .*; expected greater than or equal to 1"):
            FeatureConfig(**limit)

    @pytest.mark.slow
    @linux
    def test_no_core_file_and_no_more_time_than_the_parent_waits(self) -> None:
        code = (
            "import resource as r; from urgency_dagster.attention.reading.sandbox import _set_limits\n"
            "print(_set_limits(100, 9), r.getrlimit(r.RLIMIT_CORE), r.getrlimit(r.RLIMIT_CPU))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "True (0, 0) (10, 10)"


@pytest.mark.slow
@pytest.mark.parametrize("one_block_a_column", [False, True])
def test_a_file_of_the_real_size_loads_within_the_default_limits(
    landed: Callable[[bytes], Path], paths: AttentionPaths, one_block_a_column: bool
) -> None:
    rng = np.random.default_rng(0)
    rows, categorical, numeric = 2619, 83, 3273
    columns = {f"C{n}#VAL=a": rng.random(rows) < 0.3 for n in range(categorical)}
    columns |= {f"S{n // 65}#AVG{n % 65}#M05": rng.normal(size=rows).astype("float32") for n in range(numeric)}
    X = pd.DataFrame(columns)
    if one_block_a_column:
        X = pd.concat([X[[name]] for name in X], axis=1)
    group = np.sort([f"P{n:02d}" for n in rng.integers(1, 48, rows)])
    path = landed(pickle.dumps((X, rng.integers(0, 2, rows), group, np.arange(rows) * 600.0, None), 5))
    summary = import_pickle(path, paths, FeatureConfig())
    assert (summary["rows"], summary["features"]["total"]) == (rows, categorical + numeric)

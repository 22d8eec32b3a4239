"""Reads files of real writers with random damage: `python -m urgency_dagster_tests.attention.fuzzing SEED COUNT KIND`.

KIND is `pickle`, `gzip`, `joblib` or `parquet`.

It is a process of its own, with limits, because damage can turn a length into a memory bomb. It ends with a traceback
if reading does anything but succeed, refuse or run out of memory.
"""

import gzip
import io
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import joblib
import pandas as pd

from urgency_dagster.attention.reading.pickles import load_attention_pickle
from urgency_dagster.attention.reading.sandbox import _set_limits
from urgency_dagster.errors import AttentionError
from urgency_dagster_tests.attention.conftest import make_data
from urgency_dagster_tests.attention.writers import write_pickles

MEMORY_MB, TIME_S = 400, 240


def damaged(rng: random.Random, files: list[bytes]) -> bytes:
    """One of the files with up to eight bytes changed, pieces cut out, and pieces of others put in."""
    content = bytearray(rng.choice(files))
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        place, kind = rng.randrange(len(content)), rng.randrange(3)
        if kind == 0:
            content[place] = rng.randrange(256)
        elif kind == 1:
            del content[place : min(place + rng.randrange(1, 20), len(content) - 1)]
        else:
            other = rng.choice(files)
            start = rng.randrange(len(other))
            content[place:place] = other[start : start + rng.randrange(1, 60)]
    return bytes(content)


def intact(kind: str) -> list[bytes]:
    """Files of one kind without damage."""
    pickles = [file.read_bytes() for file in sorted(Path(write_pickles.__file__).parent.glob("*.pkl"))]
    if kind == "pickle":
        return pickles
    if kind == "gzip":
        return [gzip.compress(content, mtime=0) for content in pickles]
    data = make_data(rows=60)
    if kind == "joblib":
        return [_joblib((data.X, data.y, data.groups.astype(groups), data.t_s)) for groups in (str, object)]
    table = data.X.assign(y=data.y, group=data.groups, t=data.t_s)
    return [_parquet(table, compression) for compression in (None, "snappy", "gzip", "zstd")]


def _joblib(value: tuple[Any, ...]) -> bytes:
    stream = io.BytesIO()
    joblib.dump(value, stream)
    return stream.getvalue()


def _parquet(table: pd.DataFrame, compression: Any) -> bytes:
    stream = io.BytesIO()
    table.to_parquet(stream, compression=compression)
    return stream.getvalue()


def main() -> None:
    """Writes how many files loaded, and how many there were."""
    seed, count, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    rng, loaded = random.Random(seed), 0
    files = intact(kind)
    _set_limits(MEMORY_MB, max(TIME_S, TIME_S * count // 2000))
    with TemporaryDirectory() as folder:
        path = Path(folder, "attention.pkl")
        for _ in range(count):
            path.write_bytes(damaged(rng, files))
            try:
                load_attention_pickle(path)
                loaded += 1
            except (AttentionError, MemoryError):
                pass
    sys.stdout.write(f"{loaded} {count}\n")


if __name__ == "__main__":
    main()

"""A table of the original's scripts becomes an archive: it is checked, and takes the place of ZIPs and embedding."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from urgency_dagster.calls.embedding.shards import AUDIO_TOKENS
from urgency_dagster.calls.landing.pairs import ArchivePair
from urgency_dagster.calls.processed import DEFAULT, ProcessedConfig, write_processed_data
from urgency_dagster.calls.table.values import known_class, role, shown, shown_class
from urgency_dagster.calls.tables import MEMBERS, REJECTS
from urgency_dagster.errors import ArchiveError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import SPEECH_MODEL
from urgency_dagster.tables import AUDIO_FLAGS, EMBEDDING, SENTIMENTS, URGENCY_LEVELS, UTTERANCES, embeddings_schema
from urgency_dagster.writing import replacing, text_hash, write_table

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

REQUIRED = ("_id", "utterance_id", "text", "startAt", "endAt", "sentiment", "urgencyLevel")
OPTIONAL = ("wav_file_path", "urgency_label", "disasterMedium", "disasterLarge", "gender", "speaker")
"""The columns that are read. Source: the original's preprocessing; its earlier variant kept more of them."""

BATCH_ROWS = 4096
"""Vectors in memory at a time."""


def import_table(paths: StoragePaths, pair: ArchivePair, config: ProcessedConfig = DEFAULT) -> dict[str, int]:
    """Checks a CSV with its vectors, and writes the tables of an archive and those of `processed_data`.

    The rows are sorted like those of other archives, and the vectors with them. What only a recording tells is empty:
    no flag is set, and `audio_sha256` is a hash of the call id.

    Args:
        paths: the storage root.
        pair: the NPY file as audio, and the CSV as labels.
        config: the options of `processed_data`.

    Returns:
        See `write_processed_data`.

    Raises:
        ArchiveError: the files cannot be read, have different numbers of rows, lack a column, or hold a value that is
            not usable: a class, a time, a vector that is not finite, or an id that occurs twice.
    """
    vectors = _open_vectors(pair.audio.parts[0])
    table = _read_csv(pair.labels.parts[0])
    if len(table) != len(vectors):
        raise ArchiveError(
            f"the CSV of {pair.archive} has {len(table)} rows, and its NPY file {len(vectors)}",
            "one vector per row, in the same order",
            "copy both files again, from one run of the original's script",
        )
    rows = _utterances(table, pair.archive)
    order = rows.append_column("at", pa.array(range(rows.num_rows), pa.int64())).sort_by(
        [(name, "ascending") for name in ("_id", "startAt", "utterance_id")]
    )
    rows, positions = order.drop_columns("at"), order["at"].to_numpy()
    _write(paths, pair.archive, rows, vectors, positions)
    return write_processed_data(paths, pair.archive, config)


def _open_vectors(file: Path) -> "np.ndarray":
    """The vectors as a read-only memory map of floats, (N, T, D)."""
    import numpy as np

    try:
        vectors: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArchiveError(
            f"{file.name} cannot be read ({type(error).__name__})",
            "an NPY file of numbers",
            "copy it again; if it holds objects, save np.stack of them",
        ) from error
    if vectors.ndim not in (2, 3) or vectors.dtype.kind != "f" or not all(vectors.shape[1:]):
        raise ArchiveError(
            f"{file.name} is {vectors.dtype} of shape {vectors.shape}",
            "floats of shape (N, D), one vector per row of the CSV",
            "save the vectors as float32",
        )
    return vectors if vectors.ndim == 3 else vectors[:, None]


def _read_csv(file: Path) -> "pd.DataFrame":
    """The known columns of the CSV, every value as text."""
    import pandas as pd

    known = {*REQUIRED, *OPTIONAL}
    options: dict[str, Any] = {"dtype": str, "keep_default_na": False, "usecols": lambda name: name in known}
    table: pd.DataFrame
    try:
        try:
            table = pd.read_csv(file, encoding="utf-8-sig", **options)
        except UnicodeDecodeError:  # saved by a spreadsheet
            table = pd.read_csv(file, encoding="cp949", **options)
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{file.name} cannot be read ({type(error).__name__})", "a CSV", "copy it again") from error
    if missing := [name for name in REQUIRED if name not in table]:
        raise ArchiveError(
            f"{file.name} has no column {', '.join(missing)}", f"the columns {', '.join(REQUIRED)}", "see docs/data.md"
        )
    return table


def _utterances(table: "pd.DataFrame", archive: str) -> pa.Table:
    """The rows of UTTERANCES, in the order of the CSV."""
    columns: dict[str, Sequence[Any]] = {str(name): table[name].tolist() for name in table}
    count = len(table)
    starts, ends = (_milliseconds(columns[name], name) for name in ("startAt", "endAt"))
    if bad := sum(start < 0 or end <= start for start, end in zip(starts, ends, strict=True)):
        raise _refused(f"{bad} rows whose startAt is negative or whose endAt is not after it", "0 <= startAt < endAt")
    urgencies = _classes(columns["urgencyLevel"], "urgencyLevel", URGENCY_LEVELS)
    ids = _ids(columns["_id"], columns["utterance_id"])
    hashes = {call_id: text_hash("no recording", call_id) for call_id in set(ids[0])}
    made: dict[str, Sequence[Any]] = {
        **{name: [None] * count for name in ("disasterMedium", "disasterLarge", "gender")},
        "wav_file_path": [""] * count,
        **{name: columns[name] for name in OPTIONAL if name in columns},
        "_id": ids[0],
        "utterance_id": ids[1],
        "text": [_composed(text) for text in columns["text"]],
        "startAt": starts,
        "endAt": ends,
        "sentiment": _classes(columns["sentiment"], "sentiment", SENTIMENTS),
        "urgencyLevel": urgencies,
        "urgency_label": _same_ids(columns.get("urgency_label"), urgencies),
        "archive": [archive] * count,
        "speaker": [_speaker(value) for value in columns.get("speaker", [""] * count)],
        "duration_s": [(end - start) / 1000 for start, end in zip(starts, ends, strict=True)],
        **{flag: [False] * count for flag in AUDIO_FLAGS},
        "audio_sha256": [hashes[call_id] for call_id in ids[0]],
    }
    return pa.table({name: pa.array(made[name], UTTERANCES.field(name).type) for name in UTTERANCES.names}).cast(
        UTTERANCES
    )


def _refused(received: str, expected: str) -> ArchiveError:
    return ArchiveError(f"the CSV has {received}", expected, "correct the CSV, or make it again")


def _each(values: Sequence[str], convert: Callable[[str], Any], name: str, expected: str, show: Any) -> list[Any]:
    """The converted values. Each distinct one is converted once.

    Raises:
        ArchiveError: one cannot be converted. It is shown, with the number of such rows.
    """
    converted = {value: convert(value) for value in set(values)}
    bad = [value for value in values if converted[value] is None]
    if bad:
        raise _refused(f"{len(bad)} rows with another {name}, the first is {show(bad[0])}", expected)
    return [converted[value] for value in values]


def _classes(values: Sequence[str], name: str, known: Sequence[str]) -> list[str]:
    return _each(values, lambda value: known_class(value, known), name, f"one of {', '.join(known)}", shown_class)


def _milliseconds(values: Sequence[str], name: str) -> list[int]:
    return _each(values, _integer, name, "milliseconds", shown)


def _integer(value: str) -> int | None:
    try:
        number = float(value)
        return round(number) if abs(number) < float(1 << 62) else None
    except ValueError:
        return None


def _speaker(value: str) -> int | None:
    return _integer(str(role(value)))


def _ids(calls: Sequence[str], utterances: Sequence[str]) -> tuple[list[str], list[str]]:
    """The stripped ids of both columns.

    Raises:
        ArchiveError: one is empty, or the ids of two rows are equal.
    """
    stripped = [value.strip() for value in calls], [value.strip() for value in utterances]
    if empty := sum(not call or not utterance for call, utterance in zip(*stripped, strict=True)):
        raise _refused(f"{empty} rows without an id", "an _id and an utterance_id in each row")
    copies = len(calls) - len(set(zip(*stripped, strict=True)))
    if copies:
        raise _refused(f"{copies} rows whose _id and utterance_id occurred before", "each utterance once")
    return stripped


def _same_ids(labels: Sequence[str] | None, urgencies: Sequence[str]) -> list[int]:
    """The ids of the urgencies: 하 0, 중 1, 상 2.

    Raises:
        ArchiveError: the column `urgency_label` says otherwise. Another order of ids is in use too.
    """
    ids = [URGENCY_LEVELS.index(name) for name in urgencies]
    if labels is not None and (bad := sum(_integer(value) != id_ for value, id_ in zip(labels, ids, strict=True))):
        raise _refused(f"{bad} rows whose urgency_label is not that of their urgencyLevel", "하 0, 중 1, 상 2")
    return ids


def _composed(text: str) -> str:
    import unicodedata

    return unicodedata.normalize("NFC", text)


def _write(paths: StoragePaths, archive: str, rows: pa.Table, vectors: "np.ndarray", positions: "np.ndarray") -> None:
    """Writes the tables of an archive. No member was unpacked, and nothing is rejected."""
    files = paths.archive(archive)
    _write_embeddings(files.embeddings, rows, vectors, positions)
    write_table(files.members, MEMBERS.empty_table())
    write_table(files.rejects, REJECTS.empty_table())
    write_table(files.utterances, rows)


def _write_embeddings(target: Path, rows: pa.Table, vectors: "np.ndarray", positions: "np.ndarray") -> None:
    """Writes the vectors in the order of the rows.

    Args:
        target: the file.
        rows: rows of UTTERANCES.
        vectors: floats of shape (N, T, D).
        positions: for each row its place in `vectors`.
    """
    import numpy as np

    schema = embeddings_schema(vectors.shape[1] * vectors.shape[2]).with_metadata(
        {"model": SPEECH_MODEL, "revision": "", AUDIO_TOKENS: str(vectors.shape[1])}
    )
    keys = [name for name in schema.names if name != EMBEDDING]
    with replacing(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for start in range(0, rows.num_rows, BATCH_ROWS):
            batch = vectors[positions[start : start + BATCH_ROWS]].astype(np.float32)
            if not np.isfinite(batch).all():
                raise ArchiveError(
                    "the NPY file has vectors that are NaN or infinite", "finite float32 vectors", "embed them again"
                )
            flat = pa.FixedSizeListArray.from_arrays(pa.array(batch.reshape(-1)), type=schema.field(EMBEDDING).type)
            columns = [rows[name].slice(start, len(batch)).combine_chunks() for name in keys]
            writer.write_table(pa.Table.from_arrays([*columns, flat], schema=schema))

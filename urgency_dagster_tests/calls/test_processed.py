import codecs
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.calls.processed import ProcessedConfig, write_processed_data
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import AUDIO_FLAGS, EMBEDDING, UTTERANCES, embeddings_schema
from urgency_dagster.writing import write_table

ARCHIVE, WIDTH = "T_x", 3


def utterance(number: int, **changed: Any) -> dict[str, Any]:
    row = {
        "_id": f"{number // 3:024x}",
        "wav_file_path": "calls/T_x/Wave/a.wav",
        "utterance_id": f"{number:08x}",
        "text": f"발화 {number}",
        "startAt": number,
        "endAt": 2**62 + number,
        "sentiment": "중립",
        "urgencyLevel": "상",
        "urgency_label": 2,
        "archive": ARCHIVE,
        "speaker": 1,
        "duration_s": 0.7,
        **dict.fromkeys(AUDIO_FLAGS, False),
        "audio_sha256": "0" * 64,
    }
    return {**row, **changed}


def key_of(row: dict[str, Any]) -> dict[str, Any]:
    """What `embeddings.parquet` has of a row, besides its vector."""
    return {name: row[name] for name in embeddings_schema(WIDTH).names if name != EMBEDDING}


def write(
    paths: StoragePaths, rows: list[dict[str, Any]], vectors: list[dict[str, Any]] | None = None, **noted: str
) -> None:
    """Writes an utterance table and, unless given, the vectors of its rows, with some metadata."""
    keys = [key_of(row) for row in rows]
    made = [{**key, EMBEDDING: [n, n + 0.1, -n]} for n, key in enumerate(keys)] if vectors is None else vectors
    write_table(paths.archive(ARCHIVE).utterances, pa.Table.from_pylist(rows, schema=UTTERANCES))
    schema = embeddings_schema(WIDTH).with_metadata(noted)
    with pq.ParquetWriter(paths.archive(ARCHIVE).embeddings, schema) as writer:
        for start in range(0, len(made), 1000):  # several row groups, as the step writes them
            writer.write_table(pa.Table.from_pylist(made[start : start + 1000], schema=schema))


def read(paths: StoragePaths) -> tuple[pd.DataFrame, np.ndarray]:
    table = pd.read_csv(paths.archive(ARCHIVE).processed_csv, encoding="utf-8-sig", keep_default_na=False)
    return table, np.load(paths.archive(ARCHIVE).vectors, allow_pickle=False)


def test_row_i_of_one_is_row_i_of_the_other(paths: StoragePaths) -> None:
    rows = [utterance(n) for n in range(5000)]
    write(paths, rows)
    assert write_processed_data(paths, ARCHIVE) == {"rows": 5000, "width": WIDTH, "audio_tokens": 1}
    table, vectors = read(paths)
    assert list(table.columns) == UTTERANCES.names
    assert table["utterance_id"].tolist() == [row["utterance_id"] for row in rows]
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, np.array([[n, n + 0.1, -n] for n in range(5000)], np.float32))


@pytest.mark.parametrize("count", [0, 5000])
@pytest.mark.parametrize(("tokens", "shape"), [(1, (3,)), (3, (3, 1))])
def test_several_vectors_of_an_utterance_are_a_dimension_of_their_own(
    paths: StoragePaths, count: int, tokens: int, shape: tuple[int, ...]
) -> None:
    write(paths, [utterance(n) for n in range(count)], audio_tokens=str(tokens))
    counts = {"rows": count, "width": WIDTH // tokens, "audio_tokens": tokens}
    assert write_processed_data(paths, ARCHIVE) == counts
    _, vectors = read(paths)
    assert vectors.dtype == np.float32
    expected = np.array([[n, n + 0.1, -n] for n in range(count)], np.float32).reshape(count, *shape)
    np.testing.assert_array_equal(vectors, expected, strict=True)


def test_the_csv_begins_with_a_byte_order_mark(paths: StoragePaths) -> None:
    write(paths, [utterance(0)])
    write_processed_data(paths, ARCHIVE)
    assert paths.archive(ARCHIVE).processed_csv.read_bytes().startswith(codecs.BOM_UTF8 + b"_id,wav_file_path,")


def test_numbers_stay_whole_numbers(paths: StoragePaths) -> None:
    write(paths, [utterance(0), utterance(1)])
    write_processed_data(paths, ARCHIVE)
    table, _ = read(paths)
    assert table["endAt"].tolist() == [2**62, 2**62 + 1]
    assert table["urgency_label"].tolist() == [2, 2]


@given(
    texts=st.lists(st.text(max_size=8) | st.sampled_from(["\r", "a\rb", "a\nb", '"', ",", "\r\n", "\x00"]), max_size=5)
)
def test_any_text_stays_in_its_row(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    paths = StoragePaths(tmp_path_factory.mktemp("texts"))
    write(paths, [utterance(n, text=text) for n, text in enumerate(texts)])
    write_processed_data(paths, ARCHIVE)
    table, vectors = read(paths)
    assert table["text"].tolist() == texts
    assert len(vectors) == len(texts)


def test_unknown_speakers_do_not_make_the_known_ones_fractions(paths: StoragePaths) -> None:
    write(paths, [utterance(0, speaker=None), utterance(1, speaker=1)])
    write_processed_data(paths, ARCHIVE)
    assert paths.archive(ARCHIVE).processed_csv.read_text("utf-8-sig").count(",1.0,") == 0


ORIGINAL = [
    *("_id", "wav_file_path", "utterance_id", "text", "startAt", "endAt"),
    *("sentiment", "urgencyLevel", "urgency_label", "wav2vec2_embedding"),
]
"""The columns of the original's table. Source: issue 15, A5, from the CSV that its training script reads."""


@pytest.mark.parametrize("count", [0, 3, 2500])
def test_the_parquet_file_has_the_columns_of_the_original_with_the_vectors(paths: StoragePaths, count: int) -> None:
    write(paths, [utterance(n) for n in range(count)])
    write_processed_data(paths, ARCHIVE, ProcessedConfig(parquet=True))
    made = pq.read_table(paths.archive(ARCHIVE).processed_parquet)
    _, vectors = read(paths)
    assert (made.column_names, made.num_rows) == (ORIGINAL, count)
    assert [list(row) for row in made[EMBEDDING].to_pylist()] == vectors.tolist()
    utterances = pq.read_table(paths.archive(ARCHIVE).utterances)
    assert made.select(ORIGINAL[:-1]).equals(utterances.select(ORIGINAL[:-1]))


def test_several_vectors_of_an_utterance_are_side_by_side_in_the_parquet_file(paths: StoragePaths) -> None:
    write(paths, [utterance(0)], audio_tokens="3")
    write_processed_data(paths, ARCHIVE, ProcessedConfig(parquet=True))
    assert read(paths)[1].shape == (1, 3, 1)
    assert len(pq.read_table(paths.archive(ARCHIVE).processed_parquet)[EMBEDDING][0]) == WIDTH


def test_without_the_option_a_former_parquet_file_does_not_stay(paths: StoragePaths) -> None:
    write(paths, [utterance(0)])
    write_processed_data(paths, ARCHIVE, ProcessedConfig(parquet=True))
    write_processed_data(paths, ARCHIVE)
    assert not paths.archive(ARCHIVE).processed_parquet.exists()


def test_an_empty_table_gives_empty_files(paths: StoragePaths) -> None:
    write(paths, [])
    assert write_processed_data(paths, ARCHIVE) == {"rows": 0, "width": WIDTH, "audio_tokens": 1}
    table, vectors = read(paths)
    assert (len(table), list(table.columns)) == (0, UTTERANCES.names)
    assert (vectors.shape, str(vectors.dtype)) == ((0, WIDTH), "float32")


def test_a_second_run_writes_the_same_bytes(paths: StoragePaths) -> None:
    write(paths, [utterance(n) for n in range(5)])
    files = paths.archive(ARCHIVE)
    write_processed_data(paths, ARCHIVE)
    first = files.processed_csv.read_bytes(), files.vectors.read_bytes()
    write_processed_data(paths, ARCHIVE)
    assert (files.processed_csv.read_bytes(), files.vectors.read_bytes()) == first


@pytest.mark.parametrize("change", ["order", "fewer", "more", "other"])
def test_vectors_of_other_rows_are_refused(paths: StoragePaths, change: str) -> None:
    rows = [utterance(n) for n in range(3)]
    keys = [{**key_of(row), EMBEDDING: [0, 0, 0]} for row in rows]
    changed = {
        "order": keys[::-1],
        "fewer": keys[:2],
        "more": [*keys, keys[0]],
        "other": [{**keys[0], "_id": "x"}, *keys[1:]],
    }
    write(paths, rows, changed[change])
    with pytest.raises(ArtefactError, match="do not belong to its utterance table"):
        write_processed_data(paths, ARCHIVE)
    assert not paths.archive(ARCHIVE).processed_csv.exists()
    assert not paths.archive(ARCHIVE).vectors.exists()


@pytest.mark.parametrize(("missing", "asset"), [("utterances", "utterances"), ("embeddings", "utterance_embeddings")])
def test_a_missing_table_is_named(paths: StoragePaths, missing: str, asset: str) -> None:
    write(paths, [utterance(0)])
    getattr(paths.archive(ARCHIVE), missing).unlink()
    with pytest.raises(ArtefactError, match=f"materialize {asset}$"):
        write_processed_data(paths, ARCHIVE)

"""The files that the original's scripts leave, as its preprocessing writes them, become an archive."""

import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from urgency_dagster.calls.landing.landed_tables import LandedTable
from urgency_dagster.calls.landing.pairs import scan_landing
from urgency_dagster.calls.original_table import import_table
from urgency_dagster.calls.table.funnel import read_funnel
from urgency_dagster.errors import ArchiveError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import EMBEDDING, UTTERANCES
from urgency_dagster_tests.calls.test_processed import ORIGINAL
from urgency_dagster_tests.conftest import Builder

ARCHIVE, WIDTH = "T_광주_구급", 5


def original_rows(count: int = 6) -> pd.DataFrame:
    """The table of the original: rows in the order of its label files, which is none."""
    rows = [
        {
            "_id": f"{(7 - n // 3):024x}",
            "wav_file_path": f"/content/drive/{n}.wav",
            "utterance_id": f"{n:08x}",
            "text": ["네 ", "NA", '"따옴표", 쉼표\n줄'][n % 3],
            "startAt": 1000 * (count - n),
            "endAt": 1000 * (count - n) + 700,
            "sentiment": ["불안/걱정", "중립"][n // 3 % 2],
            "urgencyLevel": ["상", "하"][n // 3 % 2],
            "urgency_label": [2, 0][n // 3 % 2],
            EMBEDDING: str(np.arange(WIDTH)),
        }
        for n in range(count)
    ]
    return pd.DataFrame(rows, columns=ORIGINAL)


def original_vectors(count: int = 6) -> np.ndarray:
    vectors: np.ndarray = np.arange(count * WIDTH, dtype=np.float32).reshape(count, WIDTH)
    return vectors


def land(
    paths: StoragePaths, table: pd.DataFrame | None = None, vectors: Any = None, encoding: str = "utf-8-sig"
) -> Path:
    folder = paths.landing_calls / "original"
    folder.mkdir(parents=True, exist_ok=True)
    (original_rows() if table is None else table).to_csv(
        folder / "광주_구급_full_final.csv", index=False, encoding=encoding
    )
    np.save(folder / "wav2vec2_embeddings_full.npy", original_vectors() if vectors is None else vectors)
    return folder


def imported(paths: StoragePaths, *args: Any, **options: Any) -> pd.DataFrame:
    land(paths, *args, **options)
    found = scan_landing(paths.landing_calls)
    assert found.problems == {}
    import_table(paths, found.pairs[ARCHIVE])
    return pd.read_csv(paths.archive(ARCHIVE).processed_csv, encoding="utf-8-sig", dtype=str, keep_default_na=False)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "cp949"])
def test_every_row_keeps_its_vector(paths: StoragePaths, encoding: str) -> None:
    table, source = imported(paths, encoding=encoding), original_rows()
    vectors = np.load(paths.archive(ARCHIVE).vectors)
    keys = list(zip(source["_id"], source["utterance_id"], strict=True))
    for n, row in table.iterrows():
        was = keys.index((row["_id"], row["utterance_id"]))
        assert vectors[n].tolist() == original_vectors()[was].tolist()
        for name in ("text", "sentiment", "urgencyLevel", "wav_file_path", "startAt", "endAt", "urgency_label"):
            assert row[name] == str(source[name][was])
    assert len(table) == len(source)
    assert table.columns.tolist() == UTTERANCES.names
    order = [(row["_id"], int(row["startAt"])) for _, row in table.iterrows()]
    assert order == sorted(order), "the order of other archives"


def test_the_tables_of_an_archive_are_there(paths: StoragePaths) -> None:
    imported(paths)
    files = paths.archive(ARCHIVE)
    assert pq.read_schema(files.utterances).equals(UTTERANCES)
    funnel = read_funnel(paths, ARCHIVE)
    assert (funnel.calls, funnel.utterances, funnel.segments, funnel.vectors, funnel.rejects("calls")) == (
        2,
        6,
        6,
        6,
        0,
    )
    assert len(set(pq.read_table(files.utterances)["audio_sha256"].to_pylist())) == 2


def test_what_can_mean_one_thing_only_is_read(paths: StoragePaths) -> None:
    source = original_rows().drop(columns=["urgency_label", "wav_file_path", EMBEDDING])
    source["startAt"] = source["startAt"] + 0.25
    source["sentiment"] = [unicodedata.normalize("NFD", name).replace("/", " / ") for name in source["sentiment"]]
    source["_id"] = [f" {call} " for call in source["_id"]]
    source["utterance_id"] = [f"{utterance}\t" for utterance in source["utterance_id"]]
    source["text"] = unicodedata.normalize("NFD", "여기요")
    source["speaker"] = ["1", "0.0", "신고자", "", "접수자", "who"]
    table = imported(paths, source, original_vectors().astype(np.float64)[:, None])
    assert set(table["sentiment"]) == {"불안/걱정", "중립"}
    assert table["startAt"].tolist() == [str(1000 * n) for n in (1, 2, 3, 4, 5, 6)]
    assert sorted(table["speaker"]) == ["", "", "0", "0", "1", "1"]
    assert set(table["text"]) == {"여기요"}
    for name in ("_id", "utterance_id"):
        assert set(table[name]) == set(original_rows()[name])


def test_several_vectors_of_an_utterance_stay_several(paths: StoragePaths) -> None:
    spans = np.arange(6 * 2 * WIDTH, dtype=np.float32).reshape(6, 2, WIDTH)
    imported(paths, vectors=spans)
    vectors = np.load(paths.archive(ARCHIVE).vectors)
    assert vectors.shape == spans.shape
    assert {tuple(row.ravel()) for row in vectors} == {tuple(row.ravel()) for row in spans}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.iloc[:5], "has 5 rows, and its NPY file 6"),
        (lambda table: table.drop(columns=["text", "endAt"]), "has no column text, endAt"),
        (lambda table: table.assign(_id="a", utterance_id="b"), "5 rows whose _id and utterance_id occurred before"),
        (lambda table: table.assign(utterance_id=""), "6 rows without an id"),
        (lambda table: table.assign(sentiment="불안"), '6 rows with another sentiment, the first is "불안"'),
        (lambda table: table.assign(urgencyLevel=""), '6 rows with another urgencyLevel, the first is ""'),
        (lambda table: table.assign(urgency_label=1), "6 rows whose urgency_label is not that of their urgencyLevel"),
        (lambda table: table.assign(startAt=""), '6 rows with another startAt, the first is ""'),
        (lambda table: table.assign(endAt="비밀"), "the first is a text of 2 characters"),
        (lambda table: table.assign(endAt=0), "6 rows whose startAt is negative or whose endAt is not after it"),
        (lambda table: table.assign(startAt=-1), "6 rows whose startAt is negative or whose endAt is not after it"),
        (lambda table: table.assign(endAt="inf"), "6 rows with another endAt"),
        (lambda table: table.assign(endAt="nan"), "6 rows with another endAt"),
        (lambda table: table.assign(endAt="1e300"), "6 rows with another endAt"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(paths: StoragePaths, change: Any, said: str) -> None:
    land(paths, change(original_rows()))
    with pytest.raises(ArchiveError) as caught:
        import_table(paths, scan_landing(paths.landing_calls).pairs[ARCHIVE])
    assert said in str(caught.value)
    assert "비밀" not in str(caught.value)
    assert not paths.archive(ARCHIVE).processed_csv.exists()


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.arange(6), "int64 of shape (6,)"),
        (np.zeros((6, WIDTH), np.int64), "int64 of shape (6, 5)"),
        (np.zeros((6, 0), np.float32), "float32 of shape (6, 0)"),
        (np.full((6, WIDTH), np.nan, np.float32), "NaN or infinite"),
        (np.array([[1.0]] * 6, dtype=object), "save np.stack"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(paths: StoragePaths, vectors: np.ndarray, said: str) -> None:
    land(paths, vectors=vectors)
    with pytest.raises(ArchiveError) as caught:
        import_table(paths, scan_landing(paths.landing_calls).pairs[ARCHIVE])
    assert said in str(caught.value)


class TestLanding:
    @pytest.mark.parametrize(
        ("csv", "archive"),
        [
            ("광주_구급_full_final.csv", "T_광주_구급"),
            ("V_x.csv", "V_x"),
            ("processed_data.csv", "T_original"),
            ("Other.CSV", "T_Other"),
        ],
    )
    def test_its_name_is_that_of_the_archive(self, paths: StoragePaths, csv: str, archive: str) -> None:
        folder = land(paths)
        (folder / "광주_구급_full_final.csv").rename(folder / csv)
        assert list(scan_landing(paths.landing_calls).pairs) == [archive]

    def test_a_name_that_no_archive_can_have_is_refused(self, paths: StoragePaths) -> None:
        """Three dots mean a range of partitions to Dagster."""
        folder = land(paths)
        (folder / "광주_구급_full_final.csv").rename(folder / "a...b.csv")
        found = scan_landing(paths.landing_calls)
        assert found.pairs == {}
        assert set(found.problems.values()) == {"its name cannot be that of an archive; rename it"}

    def test_half_of_it_waits(self, paths: StoragePaths) -> None:
        folder = land(paths)
        (folder / "wav2vec2_embeddings_full.npy").rename(folder / "x.bin")
        reason = "a table of the original without its vectors: an NPY file must lie in the same folder"
        assert scan_landing(paths.landing_calls).problems == {"original/광주_구급_full_final.csv": reason}
        (folder / "x.bin").rename(folder / "x.npy")
        (folder / "광주_구급_full_final.csv").unlink()
        reason = "vectors without their table: a CSV of the original must lie in the same folder"
        assert scan_landing(paths.landing_calls).problems == {"original/x.npy": reason}

    def test_two_in_one_folder_and_two_of_one_name_are_refused(self, paths: StoragePaths) -> None:
        folder = land(paths)
        (folder / "b.npy").write_bytes(b"")
        reason = "1 CSV and 2 NPY files lie in one folder; put each pair into a folder of its own"
        assert set(scan_landing(paths.landing_calls).problems.values()) == {reason}
        (folder / "b.npy").unlink()
        folder.rename(folder.with_name("first"))
        land(paths)
        reasons = scan_landing(paths.landing_calls).problems
        assert len(reasons) == 4
        assert all("another input is named T_광주_구급 too" in reason for reason in reasons.values())

    def test_the_name_of_a_pair_of_zips_is_refused(self, paths: StoragePaths, build: Builder) -> None:
        land(paths)
        for name in ("TS_광주_구급.zip", "TL_광주_구급.zip"):
            build.zip(paths.landing_calls / name, {"a.wav": b"1"})
        found = scan_landing(paths.landing_calls)
        assert [pair.is_table for pair in found.pairs.values()] == [False]
        assert len(found.problems) == 2
        assert all("another input is named T_광주_구급 too" in reason for reason in found.problems.values())

    def test_an_unfinished_copy_of_it_waits(self, paths: StoragePaths) -> None:
        folder = land(paths)
        (folder / "wav2vec2_embeddings_full.npy.part").touch()
        found = scan_landing(paths.landing_calls)
        assert found.pairs == {}
        assert len(found.problems) == 3

    def test_somebodys_list_is_passed_over(self, paths: StoragePaths) -> None:
        paths.landing_calls.mkdir(parents=True)
        (paths.landing_calls / "list.csv").write_text("a,b")
        assert scan_landing(paths.landing_calls).problems == {}


class TestNamedInAnOption:
    """A table that lies outside the landing folder and is named in `run_config.yaml`."""

    @pytest.fixture
    def table(self, paths: StoragePaths, tmp_path: Path) -> LandedTable:
        folder = land(paths).rename(tmp_path / "elsewhere")
        return LandedTable(folder / "광주_구급_full_final.csv", folder / "wav2vec2_embeddings_full.npy")

    @pytest.mark.parametrize(
        ("name", "archive"), [("V_대구", "V_대구"), (unicodedata.normalize("NFD", "대구"), "T_대구")]
    )
    def test_its_archive_has_the_name_in_the_option(
        self, paths: StoragePaths, table: LandedTable, name: str, archive: str
    ) -> None:
        found = scan_landing(paths.landing_calls, None, {name: table})
        assert (list(found.pairs), found.problems) == ([archive], {})
        assert import_table(paths, found.pairs[archive])["rows"] == 6

    def test_one_that_lies_in_the_landing_folder_is_used_once(self, paths: StoragePaths, table: LandedTable) -> None:
        """Named, it needs no folder of its own."""
        shutil.copytree(table.csv.parent, paths.landing_calls / "a")
        (paths.landing_calls / "a" / "other.npy").touch()
        here = LandedTable(*(paths.landing_calls / "a" / path.name for path in table))
        found = scan_landing(paths.landing_calls, None, {"T_a": here})
        assert list(found.pairs) == ["T_a"]
        assert list(found.problems) == ["a/other.npy"]
        (paths.landing_calls / "a" / "other.npy").unlink()
        found = scan_landing(paths.landing_calls, None, {"T_a": here})
        assert (list(found.pairs), found.problems) == (["T_a"], {})

    @pytest.mark.parametrize("name", ["a/b", "../a", "a...b", "a\n"])
    def test_a_name_that_no_archive_can_have_is_refused(
        self, paths: StoragePaths, table: LandedTable, name: str
    ) -> None:
        found = scan_landing(paths.landing_calls, None, {name: table})
        assert found.pairs == {}
        assert set(found.problems.values()) == {"its name cannot be that of an archive; rename it"}

    def test_a_missing_file_is_named_with_the_option(self, paths: StoragePaths, table: LandedTable) -> None:
        table.npy.unlink()
        found = scan_landing(paths.landing_calls, None, {"T_a": table})
        reason = "run_config.yaml names it as a table of T_a, but it is not there"
        assert (found.pairs, found.problems) == ({}, {table.npy.as_posix(): reason})

    def test_two_inputs_of_one_name_are_refused(self, paths: StoragePaths, table: LandedTable) -> None:
        land(paths)
        found = scan_landing(paths.landing_calls, None, {ARCHIVE: table})
        assert found.pairs == {}
        assert len(found.problems) == 4

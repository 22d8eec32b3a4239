from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.calls.audio import cut, load_waveform
from urgency_dagster.calls.segments import Recording, decoded_segments, recordings_of, whole_calls
from urgency_dagster.errors import AudioError
from urgency_dagster_tests.conftest import Builder


def table(*rows: tuple[str, int, int]) -> pa.Table:
    """Rows of `(wav, start, end)`; a call is named like its file."""
    return pa.table(
        {
            "_id": pa.array([wav for wav, _, _ in rows], pa.string()),
            "wav_file_path": pa.array([wav for wav, _, _ in rows], pa.string()),
            "startAt": pa.array([start for _, start, _ in rows], pa.int64()),
            "endAt": pa.array([end for _, _, end in rows], pa.int64()),
        }
    )


class TestWholeCalls:
    @given(lengths=st.lists(st.integers(1, 9), max_size=12), max_rows=st.integers(1, 20))
    def test_the_slices_are_the_table_and_end_between_calls(self, lengths: list[int], max_rows: int) -> None:
        rows = table(*((f"{call:03}", n, n + 1) for call, length in enumerate(lengths) for n in range(length)))
        slices = list(whole_calls(rows, max_rows))
        assert pa.concat_tables([rows.slice(0, 0), *slices]).equals(rows)
        ids = [set(piece["_id"].to_pylist()) for piece in slices]
        assert sum(map(len, ids)) == len(set().union(*ids))
        assert all(piece.num_rows >= max_rows for piece in slices[:-1])
        assert all(piece.num_rows < max_rows + max(lengths) for piece in slices)


class TestRecordings:
    def test_each_recording_is_named_once_with_all_its_times_in_order(self, tmp_path: Path) -> None:
        rows = table(("a.wav", 5, 9), ("a.wav", 1, 3), ("b.wav", 2, 4))
        assert recordings_of(rows, tmp_path) == [
            Recording(tmp_path / "a.wav", [(5, 9), (1, 3)]),
            Recording(tmp_path / "b.wav", [(2, 4)]),
        ]

    @pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
    def test_a_piece_gives_the_segments_of_its_rows(self, tmp_path: Path, build: Builder, workers: int) -> None:
        for name in ("a.wav", "b.wav"):
            (tmp_path / name).write_bytes(build.wav(2000, seed=ord(name[0])))
        both = table(("a.wav", 0, 600), ("a.wav", 700, 1500), ("b.wav", 0, 800))
        pieces = [both, table(), table(("b.wav", 100, 900))]
        found = list(decoded_segments(pieces, tmp_path, workers))
        assert [len(segments) for segments in found] == [3, 0, 1]
        for piece, segments in zip(pieces, found, strict=True):
            for row, segment in zip(piece.to_pylist(), segments, strict=True):
                waveform = load_waveform(tmp_path / row["wav_file_path"])
                np.testing.assert_array_equal(segment, cut(waveform, row["startAt"], row["endAt"]))

    def test_a_recording_that_is_gone_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError):
            list(decoded_segments([table(("a.wav", 0, 600))], tmp_path, 1))

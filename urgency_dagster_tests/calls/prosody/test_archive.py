"""`prosody.parquet` of whole archives: rows, keys, order, the same bytes again, and what is refused."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from urgency_dagster.calls.audio import cut, load_waveform
from urgency_dagster.calls.prosody import archive as prosody_archive
from urgency_dagster.calls.prosody.archive import ProsodySummary, write_prosody
from urgency_dagster.calls.prosody.configuration import ProsodyConfig
from urgency_dagster.calls.prosody.features import spoken_characters, utterance_features
from urgency_dagster.calls.prosody.schema import PROSODY_KEY, prosody_schema
from urgency_dagster.calls.prosody.verification import impossible_values, same_utterances
from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.errors import ArtefactError, AudioError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import UTTERANCES
from urgency_dagster.writing import write_table
from urgency_dagster_tests.conftest import Builder

ARCHIVE = "T_광주_구급"
ONE = ProsodyConfig(workers=1)


@pytest.fixture
def archive(paths: StoragePaths, build: Builder) -> StoragePaths:
    """Five calls of three utterances, one of them with a text of its own."""
    labels = [build.label(build.call_id(n)) for n in range(5)]
    labels[2]["utterances"] = [build.utterance(1, text="빨리요!!"), build.utterance(0, text="... "), build.utterance(2)]
    build.extracted(paths, ARCHIVE, *build.calls(*labels))
    build_utterance_table(paths, ARCHIVE, workers=1)
    return paths


def rows(paths: StoragePaths) -> list[dict[str, Any]]:
    return list(pq.read_table(paths.archive(ARCHIVE).prosody).to_pylist())


def tone(seconds: float = 3.0, rate: int = 8_000, subtype: str = "PCM_16", damage: float = 0.0) -> bytes:
    """A recording of a 220 Hz harmonic tone; `damage` is written over every thousandth sample."""
    times = np.arange(int(seconds * rate)) / rate
    samples = sum(0.2 / n * np.sin(2 * np.pi * 220 * n * times) for n in range(1, 6))
    assert isinstance(samples, np.ndarray)
    if damage:
        samples[::1000] = damage
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="WAV", subtype=subtype)
    return stream.getvalue()


class TestRows:
    def test_the_keys_are_those_of_the_utterances_in_their_order(self, archive: StoragePaths) -> None:
        summary = write_prosody(archive, ARCHIVE, ONE)
        assert summary == ProsodySummary(utterances=15, calls=5, audio_s=10.5, without_f0=15)
        files = archive.archive(ARCHIVE)
        expected = pq.read_table(files.utterances, columns=[*PROSODY_KEY, "duration_s"])
        assert pq.read_table(files.prosody, columns=expected.column_names).equals(expected)
        assert same_utterances(archive, ARCHIVE)

    def test_each_row_has_the_features_of_its_own_utterance(self, archive: StoragePaths) -> None:
        write_prosody(archive, ARCHIVE, ONE)
        table = pq.read_table(archive.archive(ARCHIVE).utterances).to_pylist()
        for stored, row in zip(rows(archive), table, strict=True):
            segment = cut(load_waveform(archive.root / row["wav_file_path"]), row["startAt"], row["endAt"])
            expected = utterance_features(segment, ONE)
            assert {name: stored[name] for name in expected} == expected
            assert stored["speaking_rate_chars_per_s"] == spoken_characters(row["text"]) / row["duration_s"]

    def test_the_speaking_rate_counts_characters(self, archive: StoragePaths) -> None:
        write_prosody(archive, ARCHIVE, ONE)
        rates = [row["speaking_rate_chars_per_s"] for row in rows(archive)[6:9]]
        assert rates == pytest.approx([0, 3 / 0.7, 3 / 0.7])  # "... ", "빨리요!!", "발화 2 "

    def test_the_table_holds_no_text_and_states_units_and_parameters(self, archive: StoragePaths) -> None:
        config = ONE.changed(f0_max_hz=400)
        write_prosody(archive, ARCHIVE, config)
        schema = pq.read_schema(archive.archive(ARCHIVE).prosody)
        assert schema.equals(prosody_schema(config), check_metadata=True)
        assert [field.name for field in schema if pa.types.is_string(field.type)] == [
            "_id",
            "utterance_id",
            "audio_sha256",
        ]
        features = [field for field in schema if field.name not in PROSODY_KEY]
        assert len(features) == 9
        assert all(field.metadata[b"unit"] and field.metadata[b"description"] for field in features)
        nullable = {field.name for field in schema if field.nullable}
        assert nullable == {"f0_median_hz", "f0_iqr_semitones", "f0_range_semitones"}
        assert schema.metadata[b"f0_max_hz"] == b"400.0"
        assert b"workers" not in schema.metadata
        assert "빨리요".encode() not in archive.archive(ARCHIVE).prosody.read_bytes()

    def test_progress_ends_at_the_number_of_utterances(self, archive: StoragePaths) -> None:
        seen: list[tuple[int, int]] = []

        def progress(done: int, total: int, **figures: float) -> None:
            seen.append((done, total))

        write_prosody(archive, ARCHIVE, ONE, progress)
        assert seen == [(3, 15), (6, 15), (9, 15), (12, 15), (15, 15)]

    def test_no_utterance_gives_an_empty_table(self, archive: StoragePaths) -> None:
        write_table(archive.archive(ARCHIVE).utterances, UTTERANCES.empty_table())
        assert write_prosody(archive, ARCHIVE, ONE) == ProsodySummary(0, 0, 0.0, 0)
        assert rows(archive) == []
        assert same_utterances(archive, ARCHIVE)


class TestSound:
    @pytest.mark.parametrize(
        "wav",
        [
            tone(),
            tone(rate=16_000),
            tone(rate=44_100),
            tone(subtype="FLOAT", damage=float("nan")),
            tone(subtype="FLOAT", damage=float("inf")),
            tone(subtype="FLOAT", damage=1.5),
        ],
        ids=["8 kHz", "16 kHz", "44.1 kHz", "NaN", "infinity", "beyond full scale"],
    )
    def test_a_tone_keeps_its_f0_in_every_format(self, paths: StoragePaths, build: Builder, wav: bytes) -> None:
        label = build.label(build.call_id(0), utterances=[build.utterance(0, endAt=500), build.utterance(1)])
        build.extracted(paths, ARCHIVE, {f"{label['_id']}_1.wav": wav}, {f"{label['_id']}_1.json": build.json(label)})
        build_utterance_table(paths, ARCHIVE, workers=1)
        summary = write_prosody(paths, ARCHIVE, ONE)
        assert (summary.utterances, summary.without_f0) == (2, 0)
        assert [row["f0_median_hz"] for row in rows(paths)] == pytest.approx([220, 220], rel=0.01)
        assert set(impossible_values(paths, ARCHIVE, ONE).values()) == {0}

    def test_an_utterance_past_the_end_of_its_recording_is_clipped(self, paths: StoragePaths, build: Builder) -> None:
        label = build.label(build.call_id(0), utterances=[build.utterance(2, endAt=9_999)])
        build.extracted(
            paths, ARCHIVE, {f"{label['_id']}_1.wav": tone()}, {f"{label['_id']}_1.json": build.json(label)}
        )
        build_utterance_table(paths, ARCHIVE, workers=1)
        write_prosody(paths, ARCHIVE, ONE)
        (row,) = rows(paths)
        assert (row["endAt"], row["duration_s"]) == (9_999, 1.0)
        assert row["f0_median_hz"] == pytest.approx(220, rel=0.01)


class TestAgain:
    @pytest.mark.slow
    def test_a_rerun_and_other_workers_give_the_same_bytes(
        self, archive: StoragePaths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        contents = []
        monkeypatch.setattr(prosody_archive, "AUDIO_S_PER_WORKER", 1)  # short archives work in this process
        for workers in (1, 1, 2):
            write_prosody(archive, ARCHIVE, ProsodyConfig(workers=workers))
            contents.append(archive.archive(ARCHIVE).prosody.read_bytes())
        assert contents[0] == contents[1] == contents[2]

    def test_a_failed_rerun_keeps_the_former_table(self, archive: StoragePaths) -> None:
        write_prosody(archive, ARCHIVE, ONE)
        files = archive.archive(ARCHIVE)
        before = files.prosody.read_bytes()
        next(files.audio.rglob("*.wav")).unlink()
        with pytest.raises(AudioError):
            write_prosody(archive, ARCHIVE, ONE)
        assert files.prosody.read_bytes() == before
        assert {path.name for path in files.folder.iterdir() if path.suffix == ".tmp"} == set()

    def test_each_recording_is_decoded_once(self, archive: StoragePaths, monkeypatch: pytest.MonkeyPatch) -> None:
        from urgency_dagster.calls import segments

        decoded: list[Path] = []

        def counting(path: Path) -> np.ndarray:
            decoded.append(path)
            return load_waveform(path)

        monkeypatch.setattr(segments, "load_waveform", counting)
        write_prosody(archive, ARCHIVE, ONE)
        assert len(decoded) == len(set(decoded)) == 5


class TestRefused:
    def test_an_archive_without_utterances(self, paths: StoragePaths) -> None:
        with pytest.raises(ArtefactError, match=r"T_광주_구급 has no utterances\.parquet.*materialize utterances"):
            write_prosody(paths, ARCHIVE, ONE)

    @pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
    def test_a_missing_recording(self, archive: StoragePaths, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
        monkeypatch.setattr(prosody_archive, "AUDIO_S_PER_WORKER", 1)
        next(archive.archive(ARCHIVE).audio.rglob("*.wav")).unlink()
        with pytest.raises(AudioError, match="not decodable"):
            write_prosody(archive, ARCHIVE, ProsodyConfig(workers=workers))
        assert not archive.archive(ARCHIVE).prosody.exists()

    def test_a_recording_that_became_shorter(self, archive: StoragePaths, build: Builder) -> None:
        next(archive.archive(ARCHIVE).audio.rglob("*.wav")).write_bytes(build.wav(1_050))
        with pytest.raises(AudioError, match="an utterance of 800 samples; expected at least 1024"):
            write_prosody(archive, ARCHIVE, ONE)


@pytest.mark.parametrize(
    ("allowed", "audio_s", "workers"),
    [(1, 1e6, 1), (4, 1e6, 4), (4, 0, 1), (4, 1_799, 1), (4, 3_600, 2), (-1, 3_600, 2), (-1, 1e9, 8), (0, 1e9, 8)],
)
def test_a_short_archive_uses_fewer_processes(
    monkeypatch: pytest.MonkeyPatch, allowed: int, audio_s: float, workers: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert prosody_archive._workers(allowed, audio_s) == workers

import io
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.calls import load_waveform
from urgency_dagster.listening import Turn
from urgency_dagster.scoring import Recording, Rejection, RejectReason, find_recordings
from urgency_dagster.scoring.recordings.file_types import AUDIO_SUFFIXES
from urgency_dagster_tests.conftest import Builder

CALL = "0" * 23 + "1"


def written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read(*sources: Path, top: Path | None = None) -> tuple[list[Recording], list[Rejection]]:
    """The recordings and all rejections of some sources."""
    found = find_recordings(sources, top)
    outcomes = list(found.read())
    recordings = [outcome for outcome in outcomes if isinstance(outcome, Recording)]
    rejected = [*found.rejected, *(outcome for outcome in outcomes if isinstance(outcome, Rejection))]
    return recordings, rejected + [item for recording in recordings for item in recording.rejected]


def reasons(rejected: list[Rejection]) -> dict[str, str]:
    return {item.file: item.reason for item in rejected}


class TestFiles:
    def test_a_folder_gives_its_recordings_at_any_depth(self, tmp_path: Path) -> None:
        written(tmp_path / "calls", {"b_2.flac": b"", "x/y/a_1.wav": b""})
        recordings, rejected = read(tmp_path / "calls", top=tmp_path)
        assert [(item.file, item.id) for item in recordings] == [("calls/b_2.flac", "b"), ("calls/x/y/a_1.wav", "a")]
        assert recordings[0].audio == tmp_path / "calls/b_2.flac"
        assert not rejected

    @pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "OGG", "AIFF", "AU", "W64", "CAF"])
    def test_every_suffix_is_one_that_libsndfile_reads(self, tmp_path: Path, kind: str) -> None:
        suffix = {"AIFF": ".aif"}.get(kind, f".{kind.lower()}")
        assert suffix in AUDIO_SUFFIXES
        path = tmp_path / f"a{suffix}"
        soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000, format=kind)
        (recording,), _ = read(path)
        assert isinstance(recording.audio, Path)
        assert len(load_waveform(recording.audio)) >= 16_000

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("a.m4a", RejectReason.UNREAD_FORMAT),
            ("a.mp4", RejectReason.UNREAD_FORMAT),
            ("a.7z", RejectReason.UNREAD_FORMAT),
            ("a.tar", RejectReason.UNREAD_FORMAT),
            ("a.tar.gz", RejectReason.UNREAD_FORMAT),
            ("a.zip.001", RejectReason.UNREAD_FORMAT),
            ("a.wav.part", RejectReason.UNFINISHED),
            ("a.wav.crdownload", RejectReason.UNFINISHED),
            (".a.wav.Ab12Cd", RejectReason.UNFINISHED),
            ("a.zip.part", RejectReason.UNFINISHED),
            ("list.txt", RejectReason.UNKNOWN_TYPE),
            ("wav", RejectReason.UNKNOWN_TYPE),
            ("a.zip", RejectReason.CORRUPT),
            ("a.json", RejectReason.MISSING_AUDIO),
        ],
    )
    def test_every_other_file_has_a_reason(self, tmp_path: Path, name: str, reason: RejectReason) -> None:
        recordings, rejected = read(written(tmp_path, {name: b"content"}), top=tmp_path)
        assert not recordings
        assert reasons(rejected) == {name: reason}

    def test_the_reason_of_an_m4a_says_what_to_do(self, tmp_path: Path) -> None:
        _, (rejected,) = read(written(tmp_path, {"a.m4a": b""}))
        assert "ffmpeg -i in.m4a out.wav" in rejected.detail

    def test_files_of_macos_are_not_counted(self, tmp_path: Path) -> None:
        files = {".DS_Store": b"", "._a.wav": b"", "__MACOSX/a.wav": b""}
        assert (
            read(written(tmp_path, files | {"x.txt": b""}), top=tmp_path)[1]
            == read(tmp_path / "x.txt", top=tmp_path)[1]
        )

    def test_a_missing_file_a_linked_folder_and_a_pipe_have_reasons(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        folder = tmp_path / "calls"
        folder.mkdir()
        (folder / "link").symlink_to(tmp_path / "elsewhere")
        (folder / "gone.wav").symlink_to(tmp_path / "nothing.wav")
        _, rejected = read(folder, tmp_path / "absent.wav", top=tmp_path)
        assert reasons(rejected) == {
            "absent.wav": RejectReason.UNREADABLE_FILE,
            "calls/gone.wav": RejectReason.UNREADABLE_FILE,
            "calls/link": RejectReason.UNREADABLE_FILE,
        }

    def test_a_source_that_is_named_twice_counts_once(self, tmp_path: Path) -> None:
        path = written(tmp_path, {"a.wav": b""}) / "a.wav"
        recordings, _ = read(path, path, tmp_path)
        assert len(recordings) == 1

    @given(
        st.lists(
            st.sampled_from(["a_1.wav", "a.json", "b.mp3", "b.m4a", "b.json", "x.txt", "c.json"]),
            unique=True,
            min_size=1,
        )
    )
    def test_every_file_is_used_or_rejected(self, tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
        folder = written(tmp_path_factory.mktemp("files"), dict.fromkeys(names, b"{}"))
        found = find_recordings([folder], folder)
        used = [file.name for file in (*found.audio, *found.labels.values())]
        assert sorted([*used, *(item.file for item in found.rejected)]) == sorted(names)


class TestZips:
    def test_members_are_read_into_memory(self, tmp_path: Path, build: Builder) -> None:
        wav = build.wav(500)
        build.zip(tmp_path / "calls.zip", {"x/a_1.wav": wav, "b.m4a": b"", "inner.zip": b""})
        (recording,), rejected = read(tmp_path, top=tmp_path)
        assert (recording.file, recording.id, recording.audio) == ("calls.zip/x/a_1.wav", "a", wav)
        assert set(reasons(rejected).values()) == {RejectReason.UNREAD_FORMAT}

    def test_names_in_cp949_are_read(self, tmp_path: Path, build: Builder) -> None:
        (tmp_path / "a.zip").write_bytes(build.renamed("통화/신고_1.wav".encode("cp949")))
        (recording,), _ = read(tmp_path / "a.zip", top=tmp_path)
        assert (recording.file, recording.id) == ("a.zip/통화/신고_1.wav", "신고")

    def test_unsafe_and_equal_names_are_rejected(self, tmp_path: Path, build: Builder) -> None:
        build.zip(tmp_path / "a.zip", [("../a.wav", b""), ("b.wav", b""), ("B.wav", b"")])
        recordings, rejected = read(tmp_path, top=tmp_path)
        assert not recordings
        assert reasons(rejected) == {
            "a.zip/../a.wav": RejectReason.UNSAFE_NAME,
            "a.zip/b.wav": RejectReason.DUPLICATE_NAME,
            "a.zip/B.wav": RejectReason.DUPLICATE_NAME,
        }

    def test_a_bomb_is_rejected_and_the_next_member_is_read(self, tmp_path: Path, build: Builder) -> None:
        build.zip(tmp_path / "a.zip", {"a.wav": bytes(20 << 20), "b.wav": b"content"})
        (recording,), rejected = read(tmp_path, top=tmp_path)
        assert recording.audio == b"content"
        assert reasons(rejected) == {"a.zip/a.wav": RejectReason.TOO_LARGE}

    def test_a_damaged_member_is_rejected(self, tmp_path: Path, build: Builder) -> None:
        content = build.zipped({"a.wav": b"content"}, zipfile.ZIP_STORED)
        (tmp_path / "a.zip").write_bytes(content.replace(b"content", b"another", 1))
        recordings, (rejected,) = read(tmp_path, top=tmp_path)
        assert (recordings, rejected.reason, rejected.id) == ([], RejectReason.CORRUPT, "a")

    def test_a_zip_that_is_gone_is_a_reason(self, tmp_path: Path, build: Builder) -> None:
        found = find_recordings([build.zip(tmp_path / "a.zip", {"a.wav": b""})])
        (tmp_path / "a.zip").unlink()
        (rejected,) = found.read()
        assert isinstance(rejected, Rejection)
        assert rejected.reason == RejectReason.UNREADABLE_FILE

    def test_many_zips_are_not_open_at_once(self, tmp_path: Path, build: Builder) -> None:
        for number in range(5):
            build.zip(tmp_path / f"{number}.zip", {"a.wav": bytes([number]), "b.wav": bytes([number])})
        recordings, _ = read(tmp_path, top=tmp_path)
        assert [item.audio for item in recordings] == [bytes([number]) for number in range(5) for _ in range(2)]


class TestLabels:
    def test_a_label_gives_the_turns(self, tmp_path: Path, build: Builder) -> None:
        label = build.label(CALL, utterances=[build.utterance(1, speaker=0), build.utterance(0, speaker=7)])
        written(tmp_path, {f"{CALL}_2023.wav": build.wav(), f"{CALL}_2023.json": build.json(label)})
        (recording,), rejected = read(tmp_path)
        assert recording.turns == (Turn(0, 700, "발화 0 ", "7"), Turn(1000, 1700, "발화 1 ", "call_taker"))
        assert recording.utterance_ids == ("00000000", "00000001")
        assert not rejected

    @pytest.mark.parametrize("urgency", [..., None, "높음", 3])
    def test_a_label_needs_no_urgency(self, tmp_path: Path, build: Builder, urgency: object) -> None:
        label = build.label(CALL, urgencyLevel=urgency, sentiment=...)
        written(tmp_path, {f"{CALL}.wav": b"", f"{CALL}.json": build.json(label)})
        (recording,), rejected = read(tmp_path)
        assert recording.turns is not None
        assert len(recording.turns) == 3
        assert not rejected

    def test_a_recording_that_is_named_alone_brings_its_label(self, tmp_path: Path, build: Builder) -> None:
        other = build.json(build.label("b"))
        written(tmp_path, {"a_1.wav": b"", "a_2.json": build.json(build.label("a")), "b.json": other})
        (recording,), rejected = read(tmp_path / "a_1.wav")
        assert recording.turns
        assert not rejected

    def test_a_label_in_another_zip_is_taken_if_it_is_the_only_one(self, tmp_path: Path, build: Builder) -> None:
        audio, labels = build.calls(build.label(CALL), build.label("b"))
        build.zip(tmp_path / "VS_x.zip", audio)
        build.zip(tmp_path / "VL_x.zip", labels)
        recordings, rejected = read(tmp_path)
        assert [len(item.turns or ()) for item in recordings] == [3, 3]
        assert not rejected

    def test_one_id_in_two_folders_keeps_the_labels_apart(self, tmp_path: Path, build: Builder) -> None:
        for day, count in (("mon", 1), ("tue", 2)):
            label = build.label("1", utterances=[build.utterance(n) for n in range(count)])
            written(tmp_path / day, {"1.wav": b"", "1.json": build.json(label)})
        recordings, rejected = read(tmp_path)
        assert [len(item.turns or ()) for item in recordings] == [1, 2]
        assert not rejected

    @pytest.mark.parametrize("names", [["a_1.wav", "a_2.wav", "a.json"], ["a.wav", "a_1.json", "a_2.json"]])
    def test_a_label_that_may_be_anothers_is_rejected(self, tmp_path: Path, build: Builder, names: list[str]) -> None:
        content = build.json(build.label("a"))
        recordings, rejected = read(written(tmp_path, dict.fromkeys(names, content)))
        assert [item.turns for item in recordings] == [None] * len([name for name in names if name.endswith(".wav")])
        assert {item.reason for item in rejected} == {RejectReason.AMBIGUOUS_LABEL}

    @pytest.mark.parametrize(
        ("label", "reason"),
        [
            (b"{", RejectReason.UNREADABLE_LABEL),
            (b'{"_id": "a"}', RejectReason.UNREADABLE_LABEL),
            (b'{"_id": "b", "utterances": []}', RejectReason.ID_MISMATCH),
            (b'{"_id": "a", "utterances": []}', RejectReason.NO_UTTERANCES),
            (b'{"_id": "a", "utterances": [{"id": "1", "text": "x"}]}', RejectReason.NO_UTTERANCES),
            (b" " * ((4 << 20) + 1), RejectReason.TOO_LARGE),
        ],
    )
    @pytest.mark.parametrize("zipped", [False, True])
    def test_a_bad_label_leaves_its_recording(
        self, tmp_path: Path, build: Builder, label: bytes, reason: RejectReason, zipped: bool
    ) -> None:
        files = {"a.wav": build.wav(500), "a.json": label}
        if zipped:
            build.zip(tmp_path / "x.zip", files, zipfile.ZIP_STORED)
        else:
            written(tmp_path, files)
        (recording,), (rejected,) = read(tmp_path)
        assert recording.turns is None
        assert (rejected.reason, rejected.id) == (reason, "a")

    def test_a_bad_utterance_leaves_the_others(self, tmp_path: Path, build: Builder) -> None:
        entries = [build.utterance(0), build.utterance(1, endAt=None), build.utterance(2, text=None)]
        label = build.json(build.label("a", utterances=entries))
        (recording,), rejected = read(written(tmp_path, {"a.wav": b"", "a.json": label}))
        assert recording.turns is not None
        assert len(recording.turns) == 1
        assert {(item.utterance_id, item.reason) for item in rejected} == {
            ("00000001", RejectReason.BAD_TIMES),
            ("00000002", RejectReason.BAD_UTTERANCE),
        }

    def test_no_text_is_in_a_rejection_or_in_what_is_printed(self, tmp_path: Path, build: Builder) -> None:
        entries = [build.utterance(0, text="비밀 이야기"), build.utterance(1, text=["비밀 이야기"])]
        label = build.json(build.label("a", utterances=entries))
        recordings, rejected = read(written(tmp_path, {"a.wav": b"", "a.json": label}))
        assert "비밀" not in repr(recordings) + repr(rejected)


def test_one_recording_is_in_memory_at_a_time(tmp_path: Path, build: Builder) -> None:
    import tracemalloc

    noise = np.random.default_rng(0).bytes(2 << 20)
    build.zip(tmp_path / "a.zip", {f"{n}.wav": noise for n in range(20)}, zipfile.ZIP_STORED)
    tracemalloc.start()
    kinds = Counter(type(outcome) for outcome in find_recordings([tmp_path]).read())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kinds == {Recording: 20}
    assert peak < 5 * len(noise)


def test_the_audio_of_a_member_is_the_file_that_was_packed(tmp_path: Path, build: Builder) -> None:
    build.zip(tmp_path / "a.zip", {"a.wav": build.wav(1000, rate=44_100, channels=2)})
    (recording,), _ = read(tmp_path)
    assert isinstance(recording.audio, bytes)
    samples, rate = soundfile.read(io.BytesIO(recording.audio))
    assert (samples.shape, rate) == ((44_100, 2), 44_100)


class TestEmptySources:
    @pytest.mark.parametrize("content", [{}, {".DS_Store": b"macOS"}])
    def test_an_empty_folder_and_an_empty_zip_have_a_reason(
        self, tmp_path: Path, build: Builder, content: dict[str, bytes]
    ) -> None:
        folder, archive = written(tmp_path / "empty", content), build.zip(tmp_path / "empty.zip", content)
        recordings, rejected = read(folder, archive)
        assert recordings == []
        assert [(entry.file, entry.reason) for entry in rejected] == [
            (folder.as_posix(), RejectReason.NO_RECORDING),
            (archive.as_posix(), RejectReason.NO_RECORDING),
        ]

    def test_an_empty_folder_beside_a_recording_has_a_reason_too(self, tmp_path: Path, build: Builder) -> None:
        full, empty = written(tmp_path / "a", {"b/x.wav": build.wav()}), written(tmp_path / "empty", {})
        recordings, rejected = read(full, empty)
        assert len(recordings) == 1
        assert [entry.file for entry in rejected] == [empty.as_posix()]

    def test_a_source_with_rejected_files_alone_has_their_reasons(self, tmp_path: Path) -> None:
        folder = written(tmp_path / "a", {"notes.txt": b"text"})
        assert [entry.reason for entry in read(folder)[1]] == [RejectReason.UNKNOWN_TYPE]

    def test_the_top_folder_is_not_empty_if_a_file_is_below_it(self, tmp_path: Path, build: Builder) -> None:
        folder = written(tmp_path / "a", {"x.wav": build.wav()})
        assert read(folder, top=folder)[1] == []

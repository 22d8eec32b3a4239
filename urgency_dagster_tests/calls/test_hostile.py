"""Hostile and damaged downloads, from the landing folder to the tables: what is kept, and why the rest is not.

Each case spoils call A, or the ZIPs around it, in one way. Call B is whole and must always be kept.
"""

import io
import json
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from urgency_dagster.calls.landing.cache import LandingCache
from urgency_dagster.calls.landing.pairs import Landing, scan_landing
from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.extraction import extract_pair
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import AUDIO_FLAGS
from urgency_dagster_tests.conftest import Builder

ARCHIVE = "T_광주_구급"
A, B = "a" * 24, "b" * 24
WAV, LABEL = f"{A}_20230101.wav", f"{A}_20230101.json"
CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
LIMITS = ExtractionConfig()
HUGE = b'"' + np.random.default_rng(0).bytes(3 << 20).hex().encode() + b'"'
"""A valid JSON text far larger than a label, that does not pack well enough to be taken for a bomb."""


class Drop:
    """A pair with calls A and B, to be spoilt before it lands; what became of it afterwards."""

    def __init__(self, paths: StoragePaths, build: Builder) -> None:
        self.paths, self.build = paths, build
        self.audio, self.labels = ({**members} for members in build.calls(build.label(A), build.label(B)))
        self.zips: dict[str, bytes] = {}
        self.outside = self._outside()

    def _outside(self) -> set[Path]:
        root = self.paths.root
        return {path for path in root.parent.rglob("*") if root not in (path, *path.parents)}

    def relabel(self, encoding: str = "utf-8", **changed: Any) -> None:
        """Changes the label of A; `...` drops a key."""
        self.labels[LABEL] = self.build.json(self.build.label(A, **changed), encoding)

    def respeak(self, **changed: Any) -> None:
        """Changes the second of A's three utterances."""
        spoken = [self.build.utterance(0), self.build.utterance(1, **changed), self.build.utterance(2)]
        self.relabel(utterances=[{k: v for k, v in entry.items() if v is not ...} for entry in spoken])

    def resound(self, samples: np.ndarray, rate: int = 8000, subtype: str = "PCM_16", form: str = "WAV") -> None:
        """Replaces the recording of A."""
        stream = io.BytesIO()
        soundfile.write(stream, samples, rate, format=form, subtype=subtype)
        self.audio[WAV] = stream.getvalue()

    def patch(self, offset: int, value: bytes, header: bytes) -> None:
        """Overwrites bytes of the first header of a kind in the audio ZIP, which is that of A."""
        content = bytearray(self.zips.get("TS") or self.build.zipped(self.audio, zipfile.ZIP_STORED))
        start = content.index(header) + offset
        content[start : start + len(value)] = value
        self.zips["TS"] = bytes(content)

    def land(self, limits: ExtractionConfig = LIMITS) -> None:
        """Lands, unpacks and tabulates; nothing may appear outside the storage root."""
        landing = self.paths.landing_calls
        landing.mkdir(parents=True)
        for kind, members in (("TS", self.audio), ("TL", self.labels)):
            content = self.zips.get(kind) or self.build.zipped(members)
            (landing / f"{kind}_광주_구급.zip").write_bytes(content)
        self.tabulate(limits)
        assert self._outside() == self.outside

    def tabulate(self, limits: ExtractionConfig = LIMITS) -> None:
        pair = find(self.paths).pairs[ARCHIVE]
        extract_pair(pair, self.paths.archive(ARCHIVE), limits.changed(workers=1))
        self.counts = build_utterance_table(self.paths, ARCHIVE, workers=1)

    @property
    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.paths.archive(ARCHIVE).utterances).to_pylist()
        return rows

    @property
    def kept(self) -> dict[str, int]:
        """Kept utterances by call: `A`, `B`."""
        return dict(sorted(Counter(row["_id"][0].upper() for row in self.rows).items()))

    @property
    def rejected(self) -> dict[str, int]:
        """Rejects as `<level> <reason>`: m(ember), c(all), u(tterance)."""
        rows = pq.read_table(self.paths.archive(ARCHIVE).rejects).to_pylist()
        assert {row["reason"] for row in rows} <= set(RejectReason)
        levels = ["m" if row["_id"] is None else "c" if row["utterance_id"] is None else "u" for row in rows]
        return dict(Counter(f"{level} {row['reason']}" for level, row in zip(levels, rows, strict=True)))


@pytest.fixture
def drop(paths: StoragePaths, build: Builder) -> Drop:
    return Drop(paths, build)


def find(paths: StoragePaths) -> Landing:
    return scan_landing(paths.landing_calls, LandingCache(paths))


WHOLE = {"A": 3, "B": 3}
LOST = {"B": 3}


def lost(reason: str, member: str | None = None) -> dict[str, int]:
    """What the rejects hold when all of A is lost because its recording is."""
    of_member = {f"m {member}": 1} if member else {}
    return {**of_member, f"c {reason}": 1, f"u {reason}": 3}


def named(name: str, change: Callable[[zipfile.ZipInfo], None] = lambda info: None) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    change(info)
    return info


def special(mode: int) -> zipfile.ZipInfo:
    """An entry for A's recording that says it is no regular file."""
    info = zipfile.ZipInfo(WAV)
    info.create_system = 3
    info.external_attr = (mode | 0o644) << 16
    return info


class TestNames:
    @pytest.mark.parametrize("name", [f"/{WAV}", f"//{WAV}", f"x/y/{WAV}", f"x\\{WAV}", f"한글/{WAV}"])
    def test_a_leading_slash_and_folders_are_no_harm(self, drop: Drop, name: str) -> None:
        drop.audio[name] = drop.audio.pop(WAV)
        drop.land()
        assert (drop.kept, drop.rejected) == (WHOLE, {})

    @pytest.mark.parametrize(
        "name",
        [
            f"../{WAV}",
            f"x/../../{WAV}",
            f"..\\{WAV}",
            f"C:{WAV}",
            f"C:\\{WAV}",
            f"x/./{WAV}",
            f"x//{WAV}",
            f"{A}_\n.wav",
            f"{A}_{'x' * 250}.wav",
            f"{'x/' * 100}{WAV}",
            f"CON/{WAV}",
            f"{A}_1:stream.wav",
        ],
    )
    def test_a_name_that_leaves_the_folder_or_cannot_be_stored(self, drop: Drop, name: str) -> None:
        drop.audio[name] = drop.audio.pop(WAV)
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, lost("missing_audio", "unsafe_name"))

    def test_a_name_with_a_nul(self, drop: Drop) -> None:
        drop.zips["TS"] = drop.build.zipped(drop.audio).replace(WAV.encode(), WAV.encode().replace(b"2023", b"2\x0023"))
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, lost("missing_audio", "unsafe_name"))

    @pytest.mark.parametrize("name", ["con.wav", "NUL.wav", "com1.wav", "LPT9.x.wav"])
    def test_a_device_name_beside_a_whole_pair(self, drop: Drop, name: str) -> None:
        drop.audio[name] = b"RIFF"
        drop.land()
        assert (drop.kept, drop.rejected) == (WHOLE, {"m unsafe_name": 1})

    @pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
    def test_links_and_devices(self, drop: Drop, mode: int) -> None:
        del drop.audio[WAV]
        drop.zips["TS"] = drop.build.zipped([(special(mode), b"/etc/passwd"), *drop.audio.items()])
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, lost("missing_audio", "unsafe_name"))

    @pytest.mark.parametrize(
        "twin", [WAV, WAV.upper(), f"/{WAV}", f"{A}_20230101.WAV", unicodedata.normalize("NFD", f"가/{WAV}")]
    )
    def test_names_that_collide_are_all_refused(self, drop: Drop, twin: str) -> None:
        first = "가/" + WAV if twin.endswith(WAV) and len(twin) > len(WAV) + 1 else WAV
        sound = drop.audio.pop(WAV)
        drop.zips["TS"] = drop.build.zipped([(first, sound), (twin, sound), *drop.audio.items()])
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, {**lost("missing_audio"), "m duplicate_name": 2})

    @pytest.mark.parametrize("encoding", ["cp949", "utf-8"])
    def test_names_without_the_utf8_flag(self, drop: Drop, encoding: str) -> None:
        folder = "광주".encode(encoding)
        placeholder = b"@" * len(folder)
        drop.audio[f"{placeholder.decode()}/{WAV}"] = drop.audio.pop(WAV)
        drop.zips["TS"] = drop.build.zipped(drop.audio).replace(placeholder, folder)
        drop.land()
        assert (drop.kept, drop.rejected) == (WHOLE, {})
        assert {row["wav_file_path"] for row in drop.rows if row["_id"] == A} == {f"calls/{ARCHIVE}/Wave/광주/{WAV}"}

    def test_litter_is_passed_over_silently(self, drop: Drop) -> None:
        drop.audio |= {f"__MACOSX/._{WAV}": b"1", f"x/._{WAV}": b"2", ".DS_Store": b"3", "folder/": b""}
        drop.land()
        assert (drop.kept, drop.rejected, drop.counts["members"]) == (WHOLE, {}, 4)

    @pytest.mark.parametrize("name", ["readme.txt", "inner.zip", f"{A}_1.mp3", f"{A}_1.json"])
    def test_other_files(self, drop: Drop, name: str) -> None:
        drop.audio[name] = b"content"
        drop.land()
        assert (drop.kept, drop.rejected) == (WHOLE, {"m unknown_type": 1})


class TestMembers:
    def test_an_encrypted_one(self, drop: Drop) -> None:
        drop.patch(8, b"\x01\x00", CENTRAL)
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, lost("missing_audio", "encrypted"))

    def test_a_broken_checksum(self, drop: Drop) -> None:
        drop.patch(16, b"\x00\x00\x00\x01", CENTRAL)
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, lost("missing_audio", "corrupt"))

    @pytest.mark.parametrize(("method", "reason"), [(1, "corrupt"), (6, "corrupt"), (99, "encrypted")])
    def test_a_method_nobody_unpacks(self, drop: Drop, method: int, reason: str) -> None:
        drop.patch(10, struct.pack("<H", method), CENTRAL)
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, lost("missing_audio", reason))

    def test_a_size_that_is_a_lie(self, drop: Drop) -> None:
        drop.patch(24, struct.pack("<I", len(drop.audio[WAV]) - 1), CENTRAL)
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, lost("missing_audio", "corrupt"))

    def test_a_bomb(self, drop: Drop) -> None:
        drop.audio[WAV] = bytes(20 << 20)
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, lost("missing_audio", "too_large"))

    def test_a_member_over_its_limit(self, drop: Drop) -> None:
        drop.resound(np.random.default_rng(0).normal(0, 0.1, 80_000))
        drop.land(ExtractionConfig(member_bytes=100_000))
        assert (drop.kept, drop.rejected) == (LOST, lost("missing_audio", "too_large"))

    def test_a_damaged_stream(self, drop: Drop) -> None:
        content = bytearray(drop.build.zipped(drop.audio))
        start = content.index(LOCAL) + 30 + len(WAV)
        content[start + 100 : start + 400] = bytes(300)
        drop.zips["TS"] = bytes(content)
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, lost("missing_audio", "corrupt"))


class TestLabels:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
    def test_every_encoding(self, drop: Drop, encoding: str) -> None:
        drop.relabel(encoding)
        drop.land()
        assert (drop.kept, drop.rejected) == (WHOLE, {})

    @pytest.mark.parametrize("number", [float, str, lambda n: f" {n} ", lambda n: f"{n}.0"])
    def test_numbers_as_copies_write_them(self, drop: Drop, number: Callable[..., Any] | type) -> None:
        drop.respeak(startAt=number(1000), endAt=number(1700), speaker=number(1))
        drop.land()
        assert (drop.kept, drop.rejected) == (WHOLE, {})
        assert {(row["startAt"], row["endAt"], row["speaker"]) for row in drop.rows if row["startAt"] == 1000} == {
            (1000, 1700, 1)
        }

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"endAt": 1499}, "too_short"),
            ({"startAt": 2999, "endAt": 9999}, "too_short"),
            ({"startAt": 3000, "endAt": 9999}, "outside_audio"),
            ({"startAt": -1}, "bad_times"),
            ({"endAt": 1000}, "bad_times"),
            ({"endAt": ...}, "bad_times"),
            ({"startAt": "soon"}, "bad_times"),
            ({"startAt": "00:00:01.000"}, "bad_times"),
            ({"text": ...}, "bad_utterance"),
            ({"id": ""}, "bad_utterance"),
            ({"id": "x" * 1000}, "bad_utterance"),
            ({"speaker": "who"}, "bad_utterance"),
        ],
    )
    def test_one_bad_utterance_never_costs_its_call(self, drop: Drop, changed: dict[str, Any], reason: str) -> None:
        drop.respeak(**changed)
        drop.land()
        assert (drop.kept, drop.rejected) == ({"A": 2, "B": 3}, {f"u {reason}": 1})

    @pytest.mark.parametrize("changed", [{"endAt": 1500}, {"endAt": 99_999}, {"startAt": 2500, "endAt": 3001}])
    def test_half_a_second_and_an_end_past_the_end_are_kept(self, drop: Drop, changed: dict[str, Any]) -> None:
        drop.respeak(**changed)
        drop.land()
        assert (drop.kept, drop.rejected) == (WHOLE, {})

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"urgencyLevel": ...}, "unknown_urgency"),
            ({"urgencyLevel": "최상"}, "unknown_urgency"),
            ({"sentiment": None}, "unknown_sentiment"),
            ({"_id": B}, "id_mismatch"),
        ],
    )
    def test_a_call_that_cannot_be_labelled(self, drop: Drop, changed: dict[str, Any], reason: str) -> None:
        drop.relabel(**changed)
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, lost(reason))

    @pytest.mark.parametrize(
        "content", [b"", b"null", b"[]", b"{", b"\xff\xfe\xfa", b"[" * 99_999, HUGE, b'{"_id": 1}']
    )
    def test_a_label_that_is_none(self, drop: Drop, content: bytes) -> None:
        drop.labels[LABEL] = content
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, {"c unreadable_label": 1})

    @pytest.mark.parametrize(("spoken", "rejected"), [([], {}), ([None, 7], {"u bad_utterance": 2})])
    def test_a_call_of_which_nothing_is_left(
        self, drop: Drop, spoken: list[Any] | list[int | None], rejected: dict[str, Any]
    ) -> None:
        drop.relabel(utterances=spoken)
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, {"c no_utterances": 1, **rejected})

    def test_a_call_that_is_there_twice(self, drop: Drop) -> None:
        drop.audio[f"{A}_20240101.wav"] = drop.audio[WAV]
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, {"c duplicate_call": 2, "u duplicate_call": 3})

    def test_a_label_or_a_recording_alone(self, drop: Drop) -> None:
        drop.audio.pop(WAV)
        drop.labels.pop(f"{B}_20230101.json")
        drop.labels["c" * 24 + "_1.json"] = drop.build.json(drop.build.label("c" * 24, utterances=[]))
        drop.land()
        assert (drop.kept, drop.rejected) == ({}, {"c missing_audio": 2, "u missing_audio": 3, "c missing_label": 1})


def tone(seconds: float = 3.0, rate: int = 8000, frequency: float = 660.0, level: float = 0.3) -> np.ndarray:
    return level * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def noise(seconds: float = 3.0, rate: int = 8000, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (int(seconds * rate), channels))


class TestAudio:
    def flags(self, drop: Drop, call: str = A) -> set[str]:
        """The flags that all utterances of a call have; no other is set on any."""
        rows = [row for row in drop.rows if row["_id"] == call]
        assert all([row[flag] for row in rows] in ([True] * 3, [False] * 3) for flag in AUDIO_FLAGS)
        return {flag for flag in AUDIO_FLAGS if rows[0][flag]}

    @pytest.mark.parametrize(
        ("rate", "channels", "subtype", "form"),
        [
            (8000, 1, "PCM_16", "WAV"),
            (8000, 1, "ALAW", "WAV"),
            (8000, 1, "ULAW", "WAV"),
            (16000, 1, "PCM_24", "WAV"),
            (44100, 2, "FLOAT", "WAV"),
            (48000, 2, "PCM_U8", "WAV"),
            (11025, 1, "PCM_32", "WAV"),
            (8000, 1, "PCM_16", "RF64"),
            (8000, 1, "PCM_16", "FLAC"),
        ],
    )
    def test_whatever_libsndfile_reads(self, drop: Drop, rate: int, channels: int, subtype: str, form: str) -> None:
        drop.resound(noise(3.0, rate, channels), rate, subtype, form)
        drop.land()
        assert (drop.kept, drop.rejected, self.flags(drop)) == (WHOLE, {}, set())

    @pytest.mark.parametrize("claimed", [0xFFFFFFFF, 0x7FFFFFFF, 48_002])
    def test_a_header_that_promises_too_much(self, drop: Drop, claimed: int) -> None:
        content = bytearray(drop.audio[WAV])
        size = content.index(b"data") + 4
        content[size : size + 4] = struct.pack("<I", claimed)
        drop.audio[WAV] = bytes(content[: size + 4 + 2 * 8000 * 2])
        drop.land()
        assert (drop.kept, drop.rejected) == ({"A": 2, "B": 3}, {"u outside_audio": 1})

    @pytest.mark.parametrize("content", [b"", b"RIFF", b"not a sound" * 100])
    def test_what_nobody_decodes(self, drop: Drop, content: bytes) -> None:
        drop.audio[WAV] = content
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, lost("unreadable_audio"))

    def test_no_sample_at_all(self, drop: Drop) -> None:
        drop.resound(noise(0))
        drop.land()
        assert (drop.kept, drop.rejected) == (LOST, lost("unreadable_audio"))

    @pytest.mark.parametrize(
        ("samples", "subtype", "flags"),
        [
            (np.zeros(24_000), "PCM_16", {"silent"}),
            (np.clip(30 * tone(frequency=300), -1, 1), "PCM_16", {"clipped"}),
            (tone(), "PCM_16", {"tone_660hz"}),
            (tone(frequency=440), "PCM_16", set()),
            (np.where(np.arange(24_000) % 800 == 0, np.nan, noise()[:, 0]), "FLOAT", {"has_nan"}),
        ],
    )
    def test_odd_sound_is_flagged_and_kept(
        self, drop: Drop, samples: np.ndarray, subtype: str, flags: set[Any] | set[str]
    ) -> None:
        drop.resound(samples, subtype=subtype)
        drop.land()
        assert (drop.kept, drop.rejected) == (WHOLE, {})
        assert self.flags(drop) == flags
        assert self.flags(drop, B) == set()


class TestSplitZips:
    def parts(self, drop: Drop, *lengths: int, folder: str = "") -> list[Path]:
        """Lands the audio ZIP in parts of some lengths, the last one being what is left."""
        content = drop.build.zipped(drop.audio)
        offsets = [sum(lengths[:n]) for n in range(len(lengths) + 1)]
        landing = drop.paths.landing_calls / folder
        landing.mkdir(parents=True, exist_ok=True)
        (landing / "TL_광주_구급.zip").write_bytes(drop.build.zipped(drop.labels))
        ends = [*offsets[1:], len(content)]
        files = [landing / f"TS_광주_구급.zip.part{offset}" for offset in offsets]
        for file, start, end in zip(files, offsets, ends, strict=True):
            file.write_bytes(content[start:end])
        return files

    def test_parts_count_as_one_zip_in_the_order_of_their_numbers(self, drop: Drop) -> None:
        self.parts(drop, 900, 9000, 20_000)  # part9900 sorts after part29900 as text
        landed = {path.name for path in drop.paths.landing_calls.iterdir()}
        drop.tabulate()
        assert (drop.kept, drop.rejected) == (WHOLE, {})
        assert {path.name for path in drop.paths.landing_calls.iterdir()} == landed

    @pytest.mark.parametrize("missing", [0, 1, 2])
    def test_a_missing_part_is_not_ready(self, drop: Drop, missing: int) -> None:
        self.parts(drop, 900, 9000)[missing].unlink()
        found = find(drop.paths)
        assert found.pairs == {}
        assert len(found.problems) >= 1


def test_the_local_header_of_another_member_does_not_take_its_place(drop: Drop) -> None:
    """A directory that points both names at one member: the one whose name is not there is refused."""
    content = bytearray(drop.build.zipped(drop.audio, zipfile.ZIP_STORED))
    second = content.index(CENTRAL, content.index(CENTRAL) + 4)
    content[second + 42 : second + 46] = struct.pack("<I", 0)
    drop.zips["TS"] = bytes(content)
    drop.land()
    assert drop.kept == {"A": 3}
    assert drop.rejected == {"m corrupt": 1, "c missing_audio": 1, "u missing_audio": 3}


def test_checksums_are_those_of_the_members(drop: Drop) -> None:
    drop.land()
    members = pq.read_table(drop.paths.archive(ARCHIVE).members).to_pylist()
    by_name = {row["member"]: row["crc32"] for row in members}
    assert by_name == {name: zlib.crc32(content) for name, content in {**drop.audio, **drop.labels}.items()}


def test_no_reject_quotes_what_was_said(drop: Drop) -> None:
    drop.labels[LABEL] = json.dumps(
        {"_id": A, "utterances": [{"id": "x", "text": ["비밀"], "startAt": "비밀"}], "address": "비밀"}
    ).encode()
    drop.land()
    rows = pq.read_table(drop.paths.archive(ARCHIVE).rejects).to_pylist()
    assert rows
    assert "비밀" not in repr(rows)

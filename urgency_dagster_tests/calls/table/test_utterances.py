import json
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urgency_dagster.calls.table.labels import MAX_UTTERANCES
from urgency_dagster.calls.table.quality import RecordingQuality
from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.calls.tables import REJECTS, RejectReason
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import SENTIMENTS, URGENCY_LEVELS, UTTERANCES
from urgency_dagster_tests.conftest import Builder

ARCHIVE = "T_광주_구급"
A, B = "a" * 24, "b" * 24


class Table:
    """Extracts a pair and builds its tables."""

    def __init__(self, paths: StoragePaths, build: Builder) -> None:
        self.paths, self.files, self._build = paths, paths.archive(ARCHIVE), build

    def __call__(
        self,
        *labels: dict[str, Any],
        audio: dict[str, Any] | None = None,
        json: dict[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """The funnel of some calls; `audio` and `json` add members or replace them (None removes)."""
        of_audio, of_labels = self._build.calls(*labels)
        members = [
            {name: content for name, content in {**made, **(changed or {})}.items() if content is not None}
            for made, changed in ((of_audio, audio), (of_labels, json))
        ]
        self._build.extracted(self.paths, ARCHIVE, *members)
        self.funnel = build_utterance_table(self.paths, ARCHIVE, **{"workers": 1, **options})
        return self.funnel

    @property
    def kept(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.files.utterances).to_pylist()
        return rows

    @property
    def rejects(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.files.rejects).to_pylist()
        return rows

    def reasons(self) -> dict[str, str]:
        """The reason of each rejected utterance by its id; that of the call is under None."""
        return {row["utterance_id"]: row["reason"] for row in self.rejects}


@pytest.fixture
def table(paths: StoragePaths, build: Builder) -> Table:
    return Table(paths, build)


class TestKeptRows:
    def test_a_row_holds_what_the_label_says(self, table: Table, build: Builder) -> None:
        funnel = table(build.label(A, utterances=[build.utterance(1, speaker=0)]))
        (row,) = table.kept
        assert row == {
            "_id": A,
            "wav_file_path": f"calls/{ARCHIVE}/Wave/{A}_20230101.wav",
            "utterance_id": "00000001",
            "text": "발화 1 ",
            "startAt": 1000,
            "endAt": 1700,
            "sentiment": "불안/걱정",
            "urgencyLevel": "중",
            "urgency_label": 1,
            "disasterMedium": "질병(중증 외)",
            "archive": ARCHIVE,
            "speaker": 0,
            "gender": "F",
            "disasterLarge": "구급",
            "duration_s": 0.7,
            "silent": False,
            "has_nan": False,
            "clipped": False,
            "tone_660hz": False,
            "audio_sha256": RecordingQuality.read(table.paths.root / row["wav_file_path"]).audio_sha256,
        }
        counts = {"members": 2, "extracted": 2, "calls": 1, "labelled": 1, "kept": 1, "kept_calls": 1}
        assert funnel == {**counts, "rejects": {}}

    def test_tables_have_their_schemas(self, table: Table, build: Builder) -> None:
        table(build.label(A))
        assert pq.read_schema(table.files.utterances).equals(UTTERANCES)
        assert pq.read_schema(table.files.rejects).equals(REJECTS)

    def test_the_address_is_nowhere(self, table: Table, build: Builder) -> None:
        table(build.label(A), build.label(B, urgencyLevel=None))
        assert "비밀" not in json.dumps([*table.kept, *table.rejects], ensure_ascii=False)

    @pytest.mark.parametrize(("level", "label"), [("하", 0), ("중", 1), ("상", 2)])
    def test_urgency_ids_are_fixed(self, table: Table, build: Builder, level: str, label: int) -> None:
        table(build.label(A, urgencyLevel=level))
        assert {row["urgency_label"] for row in table.kept} == {label}

    @pytest.mark.parametrize("value", [" 상 ", unicodedata.normalize("NFD", "상"), "\ufeff상\u200b", "상\n"])
    def test_an_urgency_in_another_spelling_is_read(self, table: Table, build: Builder, value: str) -> None:
        table(build.label(A, urgencyLevel=value))
        assert {(row["urgencyLevel"], row["urgency_label"]) for row in table.kept} == {("상", 2)}

    @pytest.mark.parametrize(
        "value",
        ["불안 / 걱정", "불안/ 걱정 ", unicodedata.normalize("NFD", "불안/걱정"), "불안／걱정", "불안\u3000/걱정"],
    )
    def test_a_sentiment_in_another_spelling_is_read(self, table: Table, build: Builder, value: str) -> None:
        table(build.label(A, sentiment=value))
        assert {row["sentiment"] for row in table.kept} == {"불안/걱정"}

    @pytest.mark.parametrize("key", ["gender", "disasterLarge", "disasterMedium", "symptom", "triage", "address"])
    def test_what_is_not_needed_may_be_missing(self, table: Table, build: Builder, key: str) -> None:
        table(build.label(A, **{key: ...}))
        assert len(table.kept) == 3
        assert table.rejects == []

    def test_an_empty_text_is_kept(self, table: Table, build: Builder) -> None:
        table(build.label(A, utterances=[build.utterance(text="")]))
        assert [row["text"] for row in table.kept] == [""]

    def test_a_call_without_utterances_does_not_disappear(self, table: Table, build: Builder) -> None:
        funnel = table(build.label(A, utterances=[]))
        assert (funnel["calls"], funnel["kept_calls"], funnel["labelled"]) == (1, 0, 0)
        (reject,) = table.rejects
        assert reject == {
            "archive": ARCHIVE,
            "member": f"{A}_20230101.json",
            "_id": A,
            "utterance_id": None,
            "reason": RejectReason.NO_UTTERANCES,
            "detail": "none of its 0 utterances is kept",
        }

    def test_a_call_of_which_no_utterance_is_kept_is_told_beside_them(self, table: Table, build: Builder) -> None:
        table(build.label(A, utterances=[build.utterance(0, endAt=1), build.utterance(1, endAt=1001)]))
        assert table.kept == []
        assert table.reasons() == {
            None: RejectReason.NO_UTTERANCES,
            "00000000": RejectReason.TOO_SHORT,
            "00000001": RejectReason.TOO_SHORT,
        }

    def test_rows_are_in_the_order_of_call_start_and_id(self, table: Table, build: Builder) -> None:
        times = {"a": (500, 1200), "c": (0, 700), "b": (0, 600), "d": (9, 800)}
        spoken = [build.utterance(id=id_, startAt=start, endAt=end) for id_, (start, end) in times.items()]
        table(build.label(B, utterances=spoken), build.label(A))
        assert [row["_id"] for row in table.kept] == [A] * 3 + [B] * 4
        assert [row["utterance_id"] for row in table.kept[3:]] == ["b", "c", "d", "a"]

    def test_members_in_folders_pair_by_their_names(self, table: Table, build: Builder) -> None:
        audio, labels = build.calls(build.label(A))
        build.extracted(
            table.paths,
            ARCHIVE,
            {f"x/{name}": content for name, content in audio.items()},
            {f"y/z/{name}": content for name, content in labels.items()},
        )
        build_utterance_table(table.paths, ARCHIVE, workers=1)
        assert {row["wav_file_path"] for row in table.kept} == {f"calls/{ARCHIVE}/Wave/x/{A}_20230101.wav"}

    def test_the_id_of_a_file_ends_at_its_first_underscore(self, table: Table, build: Builder) -> None:
        audio, labels = build.calls(build.label(A))
        longer = {name.replace("_20230101", "_20230101_part_2"): content for name, content in audio.items()}
        build.extracted(table.paths, ARCHIVE, longer, labels)
        build_utterance_table(table.paths, ARCHIVE, workers=1)
        assert {row["_id"] for row in table.kept} == {A}

    def test_the_path_in_the_label_is_ignored(self, table: Table, build: Builder) -> None:
        table(build.label(A, audioPath=f"{B}.wav"), build.label(B))
        assert {row["_id"] for row in table.kept if A in row["wav_file_path"]} == {A}


class TestTimes:
    """The recording lasts 3000 ms."""

    @pytest.mark.parametrize(
        ("start", "end", "duration_s"),
        [(0, 500, 0.5), (1, 501, 0.5), (2500, 3000, 0.5), (2500, 3001, 0.5), (2000, 99_000, 1.0), (0, 2**62, 3.0)],
    )
    def test_half_a_second_of_audio_is_kept_and_the_label_is_not_changed(
        self, table: Table, build: Builder, start: int, end: int, duration_s: float
    ) -> None:
        table(build.label(A, utterances=[build.utterance(startAt=start, endAt=end)]))
        assert [(row["startAt"], row["endAt"], row["duration_s"]) for row in table.kept] == [(start, end, duration_s)]

    @pytest.mark.parametrize(
        ("start", "end", "reason"),
        [
            (0, 499, RejectReason.TOO_SHORT),
            (2501, 3000, RejectReason.TOO_SHORT),
            (2501, 9000, RejectReason.TOO_SHORT),
            (2999, 9000, RejectReason.TOO_SHORT),
            (3000, 9000, RejectReason.OUTSIDE_AUDIO),
            (2**62, 2**63 - 1, RejectReason.OUTSIDE_AUDIO),
            (-1, 900, RejectReason.BAD_TIMES),
            (900, 900, RejectReason.BAD_TIMES),
            (900, 100, RejectReason.BAD_TIMES),
            (None, 900, RejectReason.BAD_TIMES),
            (0, None, RejectReason.BAD_TIMES),
            (True, 900, RejectReason.BAD_TIMES),
            (0, "00:00:01", RejectReason.BAD_TIMES),
            (0, 499.4, RejectReason.TOO_SHORT),
            (0, 10**30, RejectReason.BAD_TIMES),
            (0, float("nan"), RejectReason.BAD_TIMES),
        ],
    )
    def test_other_times_cost_this_utterance_only(
        self, table: Table, build: Builder, start: bool | int | None, end: float | None, reason: RejectReason
    ) -> None:
        spoken = [build.utterance(0), build.utterance(1, startAt=start, endAt=end), build.utterance(2)]
        table(build.label(A, utterances=spoken))
        assert [row["utterance_id"] for row in table.kept] == ["00000000", "00000002"]
        assert table.reasons() == {"00000001": reason}

    def test_a_bad_entry_costs_itself_only(self, table: Table, build: Builder) -> None:
        spoken = [
            build.utterance(0),
            None,
            build.utterance(2, text=None),
            build.utterance(3, id="x"),
            build.utterance(4, id="x"),
        ]
        funnel = table(build.label(A, utterances=spoken))
        assert [row["utterance_id"] for row in table.kept] == ["00000000"]
        assert Counter(row["utterance_id"] for row in table.rejects) == {"#1": 1, "00000002": 1, "x": 2}
        assert funnel["rejects"] == {RejectReason.BAD_UTTERANCE: 4}

    def test_the_duration_is_that_of_the_decoded_audio(self, table: Table, build: Builder) -> None:
        """The header promises more than the recording holds."""
        whole = build.wav(3000)
        header = whole.index(b"data") + 8
        table(build.label(A), audio={f"{A}_20230101.wav": whole[: header + 2 * 8 * 1600]})
        assert table.reasons() == {"00000002": RejectReason.OUTSIDE_AUDIO}
        assert [row["duration_s"] for row in table.kept] == [0.7, 0.6]


class TestRejectedCalls:
    """Call A breaks one rule; call B is kept whole."""

    def check(self, table: Table, reason: RejectReason, utterances: int = 3, members: int = 1) -> None:
        assert [row["_id"] for row in table.kept] == [B] * 3
        assert {row["reason"] for row in table.rejects} == {reason}
        assert {row["_id"] for row in table.rejects} == {A}
        assert {row["archive"] for row in table.rejects} == {ARCHIVE}
        of_utterances = [row for row in table.rejects if row["utterance_id"] is not None]
        assert len(of_utterances) == utterances
        assert len(table.rejects) - utterances == members
        assert table.funnel["labelled"] == 3 + utterances
        assert (table.funnel["kept"], table.funnel["kept_calls"], table.funnel["calls"]) == (3, 1, 2)

    @pytest.mark.parametrize(
        ("value", "found"),
        [
            (..., "missing"),
            (None, "missing"),
            ("", '""'),
            ("긴급", '"긴급"'),
            ("high", '"high"'),
            ("상하", '"상하"'),
            ("a\n", '"a\N{REPLACEMENT CHARACTER}"'),
            ("비밀동 " * 9, "a text of 36 characters"),
            (2, "2"),
            (["상"], "a list"),
        ],
    )
    def test_unknown_urgency(self, table: Table, build: Builder, value: Any, found: str) -> None:
        table(build.label(A, urgencyLevel=value), build.label(B))
        self.check(table, RejectReason.UNKNOWN_URGENCY)
        assert {row["detail"] for row in table.rejects} == {f"urgencyLevel is {found}; expected 하, 중 or 상"}

    @pytest.mark.parametrize(
        ("value", "found"), [(..., "missing"), ("불안", '"불안"'), ("불안걱정", '"불안걱정"'), (1, "1")]
    )
    def test_unknown_sentiment(self, table: Table, build: Builder, value: Any, found: str) -> None:
        table(build.label(A, sentiment=value), build.label(B))
        self.check(table, RejectReason.UNKNOWN_SENTIMENT)
        expected = f"sentiment is {found}; expected 기타부정, 당황/난처, 불안/걱정 or 중립"
        assert {row["detail"] for row in table.rejects} == {expected}

    def test_missing_audio(self, table: Table, build: Builder) -> None:
        table(build.label(A), build.label(B), audio={f"{A}_20230101.wav": None})
        self.check(table, RejectReason.MISSING_AUDIO)
        assert table.rejects[0]["member"] == f"{A}_20230101.json"

    def test_missing_label(self, table: Table, build: Builder) -> None:
        table(build.label(A), build.label(B), json={f"{A}_20230101.json": None})
        self.check(table, RejectReason.MISSING_LABEL, utterances=0)
        assert table.rejects[0]["member"] == f"{A}_20230101.wav"

    @pytest.mark.parametrize("content", [b"", b"no sound" * 99])
    def test_unreadable_audio(self, table: Table, build: Builder, content: bytes) -> None:
        table(build.label(A), build.label(B), audio={f"{A}_20230101.wav": content})
        self.check(table, RejectReason.UNREADABLE_AUDIO)

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xff"])
    def test_unreadable_label(self, table: Table, build: Builder, content: bytes) -> None:
        table(build.label(A), build.label(B), json={f"{A}_20230101.json": content})
        self.check(table, RejectReason.UNREADABLE_LABEL, utterances=0)

    def test_a_label_without_an_id_still_tells_of_its_utterances(self, table: Table, build: Builder) -> None:
        label = build.json(build.label(A, _id=...))
        table(build.label(A), build.label(B), json={f"{A}_20230101.json": label})
        self.check(table, RejectReason.UNREADABLE_LABEL)

    @pytest.mark.parametrize("id_", ["c" * 24, A.upper(), A[:-1]])
    def test_an_id_that_is_not_in_the_file_name(self, table: Table, build: Builder, id_: str) -> None:
        label = build.json(build.label(id_))
        table(build.label(A), build.label(B), json={f"{A}_20230101.json": label})
        self.check(table, RejectReason.ID_MISMATCH)

    def test_two_recordings_of_one_call(self, table: Table, build: Builder) -> None:
        table(build.label(A), build.label(B), audio={f"{A}_20240101.wav": build.wav(seed=9)})
        self.check(table, RejectReason.DUPLICATE_CALL, members=2)
        members = {row["member"] for row in table.rejects if row["utterance_id"] is None}
        assert members == {f"{A}_20230101.wav", f"{A}_20240101.wav"}

    def test_two_labels_of_one_call(self, table: Table, build: Builder) -> None:
        table(build.label(A), build.label(B), json={f"{A}_20240101.json": build.json(build.label(A))})
        self.check(table, RejectReason.DUPLICATE_CALL, utterances=6, members=2)

    def test_a_bad_utterance_of_a_rejected_call_is_told_too(self, table: Table, build: Builder) -> None:
        table(build.label(A, urgencyLevel=None, utterances=[build.utterance(0), None]), build.label(B))
        self.check(table, RejectReason.UNKNOWN_URGENCY, utterances=2)
        assert set(table.reasons()) == {None, "00000000", "#1"}

    def test_each_utterance_of_a_call_with_too_many_is_counted(self, table: Table, build: Builder) -> None:
        many = [build.utterance(0) | {"id": f"{n:08d}"} for n in range(MAX_UTTERANCES + 1)]
        table(build.label(A, utterances=many), build.label(B))
        self.check(table, RejectReason.UNREADABLE_LABEL, utterances=MAX_UTTERANCES + 1)

    def test_a_rejected_member_and_its_call_are_both_told(self, table: Table, build: Builder) -> None:
        table(build.label(B), audio={"x/../y.wav": b"1", "notes.txt": b"2"})
        assert [(row["member"], row["_id"], row["reason"]) for row in table.rejects] == [
            ("x/../y.wav", None, RejectReason.UNSAFE_NAME),
            ("notes.txt", None, RejectReason.UNKNOWN_TYPE),
        ]
        assert table.funnel["members"] == 4


class TestTheStep:
    def test_calls_are_in_the_order_of_their_ids(self, table: Table, build: Builder) -> None:
        ids = [build.call_id(n) for n in range(9)]
        table(*(build.label(id_, utterances=[build.utterance()]) for id_ in reversed(ids)))
        assert [row["_id"] for row in table.kept] == ids

    def labels(self, build: Builder) -> list[dict[str, Any]]:
        odd: dict[int, dict[str, Any]] = {
            1: {"urgencyLevel": None},
            2: {"utterances": [None, build.utterance(0)]},
            5: {"sentiment": "?"},
        }
        return [build.label(build.call_id(n), **odd.get(n, {})) for n in range(7)]

    def test_a_second_run_writes_the_same_bytes(self, table: Table, build: Builder) -> None:
        table(*self.labels(build))
        first = table.files.utterances.read_bytes(), table.files.rejects.read_bytes()
        assert build_utterance_table(table.paths, ARCHIVE, workers=1) == table.funnel
        assert (table.files.utterances.read_bytes(), table.files.rejects.read_bytes()) == first

    @pytest.mark.slow
    def test_several_processes_write_the_same_bytes(self, table: Table, build: Builder) -> None:
        table(*self.labels(build))
        first = table.files.utterances.read_bytes(), table.files.rejects.read_bytes()
        assert build_utterance_table(table.paths, ARCHIVE, workers=2) == table.funnel
        assert (table.files.utterances.read_bytes(), table.files.rejects.read_bytes()) == first

    def test_progress_counts_the_calls(self, table: Table, build: Builder) -> None:
        seen = []
        table(*self.labels(build), progress=lambda done, total, **figures: seen.append((done, total)))
        assert seen == [(n, 7) for n in range(1, 8)]

    def test_an_archive_that_was_not_extracted_is_refused(self, table: Table, build: Builder) -> None:
        table(build.label(A))
        table.files.members.unlink()
        with pytest.raises(ArtefactError, match=r"no members\.parquet"):
            build_utterance_table(table.paths, ARCHIVE, workers=1)


odd = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "1e3", "\ud800", [], {}, 2**63])
milliseconds = st.integers(-100, 4000) | st.integers(0, 4000).map(float) | st.integers(0, 4000).map(str) | odd
utterance_strategy = odd | st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from("abcdef") | odd,
        "text": st.text(max_size=5) | odd,
        "startAt": milliseconds,
        "endAt": milliseconds,
        "speaker": st.integers(0, 1) | odd,
    },
)
label_strategy = st.fixed_dictionaries(
    {"_id": st.just(A) | st.just(A) | odd, "utterances": st.lists(utterance_strategy, max_size=6) | odd},
    optional={
        "urgencyLevel": st.sampled_from(URGENCY_LEVELS) | odd,
        "sentiment": st.sampled_from(SENTIMENTS) | odd,
        "gender": odd,
        "disasterMedium": odd,
    },
)


@given(label=label_strategy | st.lists(label_strategy, max_size=2))
@settings(max_examples=150)
def test_whatever_a_label_says_nothing_disappears(build: Builder, label: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = StoragePaths(Path(folder))
        members = {f"{A}_1.json": json.dumps(label).encode(), f"{B}_1.json": build.json(build.label(B))}
        build.extracted(paths, ARCHIVE, {f"{A}_1.wav": build.wav(), f"{B}_1.wav": build.wav()}, members)
        funnel = build_utterance_table(paths, ARCHIVE, workers=1)
        assert {path.name for path in Path(folder).iterdir()} == {"landing", "calls", "manifests"}
        assert [path.name for path in (paths.root / "calls").iterdir()] == [ARCHIVE]
        kept, rejects = (
            pq.read_table(path).to_pylist()
            for path in (paths.archive(ARCHIVE).utterances, paths.archive(ARCHIVE).rejects)
        )
    entries = label["utterances"] if isinstance(label, dict) and isinstance(label["utterances"], list) else []
    assert funnel["labelled"] == 3 + len(entries)
    assert funnel["labelled"] == len(kept) + sum(row["utterance_id"] is not None for row in rejects)
    calls = {row["_id"] for row in kept} | {row["_id"] for row in rejects if row["utterance_id"] is None}
    assert calls == {A, B}
    assert {row["reason"] for row in rejects} <= set(RejectReason)
    assert sum(row["_id"] == B for row in kept) == 3
    assert all(row["duration_s"] >= 0.5 and 0 <= row["startAt"] < row["endAt"] for row in kept)
    assert len({(row["_id"], row["utterance_id"]) for row in kept}) == len(kept)

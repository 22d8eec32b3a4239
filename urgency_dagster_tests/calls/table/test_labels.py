import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.calls.table.labels import (
    MAX_ID_LENGTH,
    MAX_LABEL_BYTES,
    MAX_LISTED,
    MAX_UTTERANCES,
    labelled_entries,
    parse_label,
    parse_utterances,
    read_label,
)
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.errors import LabelError
from urgency_dagster_tests.conftest import Builder

CALL_ID = "0123456789abcdef01234567"
INT64 = 2**63

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=6,
)


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def parsed(entry: object) -> Any:
    """The only entry of a call, parsed."""
    good, bad = parse_utterances([entry])
    assert len(good) + len(bad) == 1
    return (good or bad)[0]


class TestCalls:
    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"]
    )
    def test_every_encoding_of_the_copies_is_read(self, build: Builder, encoding: str) -> None:
        call = parse_label(
            build.json(build.label(CALL_ID, utterances=[build.utterance(text="숨을 못 쉬어요")]), encoding)
        )
        assert (call.id, call.urgency, call.sentiment, call.gender) == (CALL_ID, "중", "불안/걱정", "F")
        assert (call.disaster_large, call.disaster_medium) == ("구급", "질병(중증 외)")
        assert call.utterances[0]["text"] == "숨을 못 쉬어요"

    def test_the_address_is_dropped(self, build: Builder) -> None:
        call = parse_label(build.json(build.label(CALL_ID)))
        assert "비밀동" not in repr(call)
        assert not hasattr(call, "address")

    @pytest.mark.parametrize("key", ["_id", "utterances"])
    def test_a_call_needs_its_id_and_its_utterances(self, build: Builder, key: str) -> None:
        with pytest.raises(LabelError, match=f"wrong or missing: {key}"):
            parse_label(build.json(build.label(CALL_ID, **{key: ...})))

    @pytest.mark.parametrize(("before", "after"), [("\ufeff\ufeff", ""), ("", "\0" * 16), ("\ufeff", "\n\0")])
    def test_byte_order_marks_and_zero_bytes_around_the_json_do_not_matter(
        self, build: Builder, before: str, after: str
    ) -> None:
        data = build.json(build.label(CALL_ID))
        assert parse_label(before.encode() + data + after.encode()) == parse_label(data)

    @pytest.mark.parametrize("value", [None, True, 7.0, "", "  ", ["a"], {}, {"$oid": 7.5}, {"$oid": "a", "x": 1}])
    def test_an_id_is_a_text(self, build: Builder, value: Any) -> None:
        with pytest.raises(LabelError, match="_id"):
            parse_label(build.json(build.label(CALL_ID, _id=value)))

    @pytest.mark.parametrize(("value", "id_"), [(7, "7"), ({"$oid": CALL_ID}, CALL_ID), (f" {CALL_ID} ", CALL_ID)])
    def test_an_id_in_another_notation_is_read(self, build: Builder, value: Any, id_: str) -> None:
        assert parse_label(build.json(build.label(CALL_ID, _id=value))).id == id_

    @pytest.mark.parametrize("value", [None, 7, {}, "abc"])
    def test_utterances_are_a_list(self, build: Builder, value: Any) -> None:
        with pytest.raises(LabelError, match="utterances"):
            parse_label(build.json(build.label(CALL_ID, utterances=value)))

    @pytest.mark.parametrize("key", ["gender", "disasterLarge", "disasterMedium"])
    @pytest.mark.parametrize("value", [..., None, 3, ["상"], "\ud800"])
    def test_what_is_no_text_is_missing(self, build: Builder, key: str, value: Any) -> None:
        call = parse_label(build.json(build.label(CALL_ID, **{key: value}), "ascii"))
        fields = {"disasterLarge": "disaster_large", "disasterMedium": "disaster_medium"}
        assert getattr(call, fields.get(key, key)) is None

    def test_decomposed_hangul_and_white_space_around_an_attribute_do_not_matter(self, build: Builder) -> None:
        call = parse_label(build.json(build.label(CALL_ID, disasterLarge=f" {decomposed('구급')}\n")))
        assert call.disaster_large == "구급"

    @pytest.mark.parametrize("key", ["symptom", "triage", "recordId", "audioPath", "startAt", "endAt", "status"])
    def test_other_keys_do_not_matter(self, build: Builder, key: str) -> None:
        with_key, without = (parse_label(build.json(build.label(CALL_ID, **{key: v}))) for v in ({"odd": 1}, ...))
        assert with_key == without

    def test_names_of_the_code_are_no_keys(self, build: Builder) -> None:
        call = parse_label(build.json(build.label(CALL_ID, urgencyLevel=..., urgency="상")))
        assert call.urgency is None

    @pytest.mark.parametrize(
        "data",
        [b"", b"{", b"null", b"[1]", b'"text"', b"\xff\xfe\x00\x01", b"RIFF....WAVE", b"1" * 5000, b"[" * 100_000],
        ids=["empty", "cut", "null", "list", "text", "utf-16", "audio", "huge number", "deep"],
    )
    def test_what_is_no_label_is_refused(self, data: bytes) -> None:
        with pytest.raises(LabelError):
            parse_label(data)

    def test_the_error_quotes_nothing(self, build: Builder) -> None:
        with pytest.raises(LabelError) as caught:
            parse_label(build.json({"utterances": "비밀", "address": "비밀동"}))
        assert "비밀" not in str(caught.value)
        assert caught.value.args[0] == "wrong or missing: _id, utterances (a text of 2 characters)"


class TestUtterances:
    def test_an_utterance_is_typed(self, build: Builder) -> None:
        utterance = parsed(build.utterance(3, text="네 ", speaker=0))
        assert (utterance.id, utterance.text, utterance.speaker) == ("00000003", "네 ", 0)
        assert (utterance.start_ms, utterance.end_ms) == (3000, 3700)

    @pytest.mark.parametrize("value", [700, 700.0, "700", " 700 ", "700.0"])
    def test_numbers_are_ints_integral_floats_or_texts(self, build: Builder, value: float | str) -> None:
        assert parsed(build.utterance(endAt=value)).end_ms == 700

    @pytest.mark.parametrize(
        ("value", "milliseconds"),
        [(700.25, 700), (700.75, 701), ("700.25", 700), (" 700.75 ", 701), (0.5, 0), (-0.25, 0), (1e-9, 0)],
    )
    def test_a_fraction_of_a_millisecond_is_rounded(
        self, build: Builder, value: float | str, milliseconds: int
    ) -> None:
        assert parsed(build.utterance(endAt=value)).end_ms == milliseconds

    def test_minus_zero_is_zero(self, build: Builder) -> None:
        assert str(parsed(build.utterance(startAt=-0.0)).start_ms) == "0"

    @pytest.mark.parametrize(
        "value",
        [
            True,
            False,
            "soon",
            "",
            "00:00:01.000",
            "1.5e3",
            "0x10",
            [],
            {},
            float("nan"),
            float("inf"),
            1e300,
            INT64,
            -INT64 - 1,
            "9" * 30,
        ],
    )
    def test_other_times_are_bad(self, build: Builder, value: Any) -> None:
        bad = parsed(build.utterance(endAt=value))
        assert (bad.reason, bad.id) == (RejectReason.BAD_TIMES, "00000000")

    @pytest.mark.parametrize("value", [None, ...])
    def test_missing_times_are_left_to_the_caller(self, build: Builder, value: Any) -> None:
        entry = {key: v for key, v in build.utterance(startAt=value).items() if v is not ...}
        assert parsed(entry).start_ms is None

    @pytest.mark.parametrize(
        "changed",
        [{"text": None}, {"text": 7}, {"text": "\ud800"}, {"speaker": True}, {"speaker": "x"}, {"speaker": 0.5}],
    )
    def test_other_values_are_a_bad_utterance(self, build: Builder, changed: dict[str, Any]) -> None:
        bad = parsed(build.utterance(**changed))
        assert (bad.reason, bad.id) == (RejectReason.BAD_UTTERANCE, "00000000")

    @pytest.mark.parametrize(("speaker", "number"), [("신고자", 1), ("접수자", 0), (" 수보자 ", 0), ("1", 1), (0.0, 0)])
    def test_a_speaker_in_words_is_a_role(self, build: Builder, speaker: Any, number: int) -> None:
        """Source: `speaker` is 0 for the call taker and 1 for the caller, by the guideline of data set 71768."""
        assert parsed(build.utterance(speaker=speaker)).speaker == number
        assert parsed(build.utterance(speaker=decomposed(str(speaker)))).speaker == number

    @pytest.mark.parametrize(("value", "id_"), [(7, "7"), (0, "0"), (-3, "-3"), ({"$oid": "0a1b"}, "0a1b")])
    def test_an_integer_or_a_wrapped_id_is_its_text(self, build: Builder, value: Any, id_: str) -> None:
        assert parsed(build.utterance(id=value)).id == id_

    def test_an_integer_id_and_the_same_text_are_one_id(self, build: Builder) -> None:
        good, bad = parse_utterances([build.utterance(0, id=7), build.utterance(1, id="7")])
        assert (good, [entry.id for entry in bad]) == ([], ["7", "7"])

    def test_a_text_is_composed(self, build: Builder) -> None:
        """A tokenizer for Korean finds no word in decomposed Hangul."""
        assert parsed(build.utterance(text=decomposed("숨을 못 쉬어요 "))).text == "숨을 못 쉬어요 "

    @pytest.mark.parametrize("value", [None, 7.5, "", "  ", True, "\udcff", ["a"]])
    def test_the_position_stands_in_for_an_id_that_is_none(self, build: Builder, value: Any) -> None:
        _, (bad,) = parse_utterances([build.utterance(0), build.utterance(1, id=value)])
        assert (bad.id, bad.reason) == ("#1", RejectReason.BAD_UTTERANCE)

    @pytest.mark.parametrize("entry", [None, 7, "네", [], [1, 2]])
    def test_an_entry_that_is_no_object_is_bad(self, entry: Any) -> None:
        assert parsed(entry).reason == RejectReason.BAD_UTTERANCE

    def test_a_speaker_may_be_unknown(self, build: Builder) -> None:
        assert parsed(build.utterance(speaker=None)).speaker is None

    def test_an_id_that_occurs_twice_is_bad_in_both_copies(self, build: Builder) -> None:
        entries = [build.utterance(0), build.utterance(1, id="00000000 "), build.utterance(2)]
        good, bad = parse_utterances(entries)
        assert [utterance.id for utterance in good] == ["00000002"]
        assert [(entry.id, entry.detail) for entry in bad] == [("00000000", "id occurs twice in its call")] * 2

    def test_many_copies_take_no_long_time(self, build: Builder) -> None:
        _, bad = parse_utterances([build.utterance(0)] * 20_000)
        assert len(bad) == 20_000

    def test_the_detail_names_fields_and_quotes_nothing(self, build: Builder) -> None:
        bad = parsed(build.utterance(text=["비밀"], speaker="비밀"))
        assert bad.detail == "wrong or missing: speaker (a text of 2 characters), text (a list)"

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"endAt": float("nan")}, "endAt (NaN)"),
            ({"startAt": "00:00:01.000"}, 'startAt ("00:00:01.000")'),
            ({"startAt": "여기요"}, "startAt (a text of 3 characters)"),
            ({"endAt": 10**30}, "endAt (a number)"),
            ({"speaker": 0.5}, "speaker (0.5)"),
            ({"speaker": True}, "speaker (true)"),
            ({"id": None}, "id (null)"),
            ({"text": 7}, "text (a number)"),
            ({"text": {"비밀": "비밀"}}, "text (an object)"),
        ],
    )
    def test_the_detail_shows_numbers_and_times(self, build: Builder, changed: dict[str, Any], said: str) -> None:
        assert parsed(build.utterance(**changed)).detail == f"wrong or missing: {said}"

    @given(entries=st.lists(json_values | st.fixed_dictionaries({"id": json_values, "text": json_values}), max_size=5))
    def test_every_entry_is_either_good_or_bad(self, entries: list[Any]) -> None:
        good, bad = parse_utterances(entries)
        assert len(good) + len(bad) == len(entries)
        assert all(entry.id.encode() for entry in bad)


class TestLabelledEntries:
    def test_a_label_that_is_no_call_still_has_utterances(self, build: Builder) -> None:
        data = build.json(build.label(CALL_ID, _id=7))
        assert [entry["id"] for entry in labelled_entries(data)] == ["00000000", "00000001", "00000002"]

    @pytest.mark.parametrize("data", [b"", b"\xff\xff", b"[1]", b'{"utterances": 3}', b"{}", b"[" * 100_000])
    def test_what_cannot_be_read_has_none(self, data: bytes) -> None:
        assert labelled_entries(data) == []

    @given(value=json_values)
    def test_no_json_fails(self, value: Any) -> None:
        data = json.dumps({"_id": "x", "utterances": value}).encode()
        assert len(labelled_entries(data)) == (len(value) if isinstance(value, list) else 0)


class TestLimits:
    """What no label of the data set comes near, and what would fill the memory."""

    def test_a_label_of_the_largest_size_is_read_and_one_byte_more_is_not(self, tmp_path: Path) -> None:
        file = tmp_path / "label.json"
        file.write_bytes(b" " * MAX_LABEL_BYTES)
        assert len(read_label(file)) == MAX_LABEL_BYTES
        file.write_bytes(b" " * (MAX_LABEL_BYTES + 1))
        with pytest.raises(LabelError, match=f"{MAX_LABEL_BYTES + 1} bytes"):
            read_label(file)

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp949"])
    @pytest.mark.parametrize("separators", [(",", ":"), (", ", " : ")])
    def test_the_utterances_of_a_label_that_is_too_large_are_counted(
        self, tmp_path: Path, build: Builder, encoding: str, separators: tuple[str, str]
    ) -> None:
        """Also where the end of a piece cuts the field, and where a text quotes it."""
        quoted = {"text": 'say "text": 1, "text":2'}
        utterances = [build.utterance(n, **(quoted if n % 7 == 0 else {})) for n in range(20_000)]
        text = json.dumps(build.label(CALL_ID, utterances=utterances), ensure_ascii=False, separators=separators)
        file = tmp_path / "label.json"
        file.write_bytes(text.encode(encoding) + b" " * MAX_LABEL_BYTES)
        with pytest.raises(LabelError, match=r"a label of \d+ bytes and 20000 utterances; expected at most"):
            read_label(file)

    @given(piece=st.integers(1, 300), count=st.integers(0, 9))
    def test_pieces_of_any_length_give_one_count(
        self, tmp_path_factory: pytest.TempPathFactory, build: Builder, piece: int, count: int
    ) -> None:
        file = tmp_path_factory.mktemp("labels") / "label.json"
        file.write_bytes(build.json(build.label(CALL_ID, utterances=[build.utterance(n) for n in range(count)])))
        with pytest.MonkeyPatch.context() as patched, pytest.raises(LabelError, match=f" {count} utterances"):
            patched.setattr("urgency_dagster.calls.table.labels.MAX_LABEL_BYTES", 10)
            patched.setattr("urgency_dagster.calls.table.labels.PIECE_CHARACTERS", piece)
            read_label(file)

    @pytest.mark.parametrize(("count", "fits"), [(MAX_UTTERANCES, True), (MAX_UTTERANCES + 1, False)])
    def test_a_call_has_a_largest_number_of_utterances(self, build: Builder, count: int, fits: bool) -> None:
        data = build.json(build.label(CALL_ID, utterances=[None] * count))
        assert len(labelled_entries(data)) == count
        if fits:
            assert len(parse_label(data).utterances) == count
        else:
            with pytest.raises(LabelError, match=rf"utterances \({count} of at most {MAX_UTTERANCES}\)"):
                parse_label(data)

    def test_every_list_of_utterances_that_a_label_file_can_hold_is_counted(self) -> None:
        smallest = json.dumps({"id": "1", "text": "", "startAt": 0, "endAt": 1}, separators=(",", ":")) + ","
        assert MAX_LABEL_BYTES // len(smallest) < MAX_LISTED
        for count in (MAX_LISTED, MAX_LISTED + 1):
            data = b'{"utterances":[' + b"0," * (count - 1) + b"0]}"
            assert len(data) < MAX_LABEL_BYTES
            assert len(labelled_entries(data)) == (count if count <= MAX_LISTED else 0)

    def test_an_id_that_is_too_long_is_bad_and_is_cut_where_it_is_told(self, build: Builder) -> None:
        entry = parsed(build.utterance(id="x" * (MAX_ID_LENGTH + 1)))
        assert (entry.id, entry.reason) == ("x" * MAX_ID_LENGTH, RejectReason.BAD_UTTERANCE)
        assert parsed(build.utterance(id="x" * MAX_ID_LENGTH)).text

    @pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000, b"NaN", b'"\\ud800"'])
    def test_what_is_hard_to_parse_is_unreadable(self, data: bytes) -> None:
        with pytest.raises(LabelError):
            parse_label(data)

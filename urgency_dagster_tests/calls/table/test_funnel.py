"""The funnel of archives that were really unpacked, and of tables in which each level loses something."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.calls.table.funnel import (
    FUNNEL_LEVELS,
    Funnel,
    add_funnels,
    draw_funnel,
    read_funnel,
    total_funnel,
)
from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import AUDIO_FLAGS, EMBEDDING, embeddings_schema
from urgency_dagster.writing import write_table
from urgency_dagster_tests.conftest import Builder

ARCHIVE, OTHER = "T_광주_구급", "V_광주_구급"
A, B, C, D = (letter * 24 for letter in "abcd")
NO_FLAGS = dict.fromkeys(AUDIO_FLAGS, 0)


@pytest.fixture
def lossy(paths: StoragePaths, build: Builder) -> StoragePaths:
    """A pair that loses something at every level: A is whole, B short, C without audio, D twice."""
    audio, labels = build.calls(
        build.label(A),
        build.label(B, utterances=[build.utterance(0), build.utterance(1, endAt=1001), None]),
        build.label(C),
        build.label(D),
    )
    del audio[f"{C}_20230101.wav"]
    audio |= {f"{D}_20240101.wav": build.wav(), "../x.wav": b"", "notes.txt": b"", "__MACOSX/._x.wav": b""}
    build.extracted(paths, ARCHIVE, audio, labels)
    build_utterance_table(paths, ARCHIVE, workers=1)
    return paths


def embed(paths: StoragePaths, keys: list[tuple[str, str]]) -> None:
    made_from = {"audio_sha256": "0" * 64, "startAt": 0, "endAt": 700}
    rows = [{"_id": call, "utterance_id": id_, **made_from, EMBEDDING: [0.0]} for call, id_ in keys]
    write_table(paths.archive(ARCHIVE).embeddings, pa.Table.from_pylist(rows, schema=embeddings_schema(1)))


KEPT = [(A, "00000000"), (A, "00000001"), (A, "00000002"), (B, "00000000")]

EXPECTED = Funnel(
    archives=1,
    members=10,
    calls=4,
    utterances=12,
    segments=4,
    vectors=0,
    rejected={
        "members": {RejectReason.UNKNOWN_TYPE: 1, RejectReason.UNSAFE_NAME: 1},
        "calls": {RejectReason.DUPLICATE_CALL: 1, RejectReason.MISSING_AUDIO: 1},
        "utterances": {
            RejectReason.BAD_UTTERANCE: 1,
            RejectReason.DUPLICATE_CALL: 3,
            RejectReason.MISSING_AUDIO: 3,
            RejectReason.TOO_SHORT: 1,
        },
    },
    flagged=NO_FLAGS,
)


def test_each_level_counts_what_it_holds_and_what_it_lost(lossy: StoragePaths) -> None:
    assert read_funnel(lossy, ARCHIVE) == EXPECTED


def test_the_vectors_of_this_table_count_and_others_do_not(lossy: StoragePaths) -> None:
    embed(lossy, KEPT)
    assert read_funnel(lossy, ARCHIVE).vectors == 4
    embed(lossy, KEPT[::-1])
    assert read_funnel(lossy, ARCHIVE).vectors == 0
    embed(lossy, KEPT[:3])
    assert read_funnel(lossy, ARCHIVE).vectors == 0


@pytest.mark.parametrize(("level", "share"), [("members", 0.2), ("calls", 0.5), ("utterances", 8 / 12)])
def test_the_share_that_was_left_out(level: str, share: float) -> None:
    assert EXPECTED.share_rejected(level) == pytest.approx(share)
    assert Funnel().share_rejected(level) == 0


@pytest.mark.parametrize("name", ["members", "utterances", "rejects"])
def test_an_archive_without_its_tables_is_refused(lossy: StoragePaths, name: str) -> None:
    getattr(lossy.archive(ARCHIVE), name).unlink()
    with pytest.raises(ArtefactError, match=rf"{ARCHIVE} has no {name}\.parquet"):
        read_funnel(lossy, ARCHIVE)


def test_flagged_audio_is_counted_and_kept(paths: StoragePaths, build: Builder) -> None:
    audio, labels = build.calls(build.label(A), build.label(B))
    name = f"{A}_20230101.wav"
    header = audio[name].index(b"data") + 8
    audio[name] = audio[name][:header] + bytes(len(audio[name]) - header)
    build.extracted(paths, ARCHIVE, audio, labels)
    build_utterance_table(paths, ARCHIVE, workers=1)
    funnel = read_funnel(paths, ARCHIVE)
    assert (funnel.segments, funnel.flagged) == (6, {**NO_FLAGS, "silent": 3})


class TestTogether:
    def test_archives_add_up(self, lossy: StoragePaths, build: Builder) -> None:
        build.extracted(lossy, OTHER, *build.calls(build.label(A)))
        build_utterance_table(lossy, OTHER, workers=1)
        together = total_funnel(lossy, [OTHER, ARCHIVE])
        assert together.counts == {
            "archives": 2, "members": 12, "calls": 5, "utterances": 15, "segments": 7, "vectors": 0,
        }  # fmt: skip
        assert together.rejected == EXPECTED.rejected

    def test_nothing_at_all_can_be_drawn(self, tmp_path: Path) -> None:
        draw_funnel(add_funnels([]), tmp_path / "empty.png")
        assert (tmp_path / "empty.png").stat().st_size > 1000

    def test_a_picture_shows_what_was_left_out(self, tmp_path: Path) -> None:
        whole = Funnel(archives=1, members=10, calls=4, utterances=12, segments=12)
        for name, funnel in (("lossy", EXPECTED), ("whole", whole)):
            draw_funnel(funnel, tmp_path / f"{name}.png")
        assert (tmp_path / "lossy.png").read_bytes() != (tmp_path / "whole.png").read_bytes()


counts = st.integers(0, 9)
funnels = st.builds(
    Funnel,
    archives=counts,
    members=counts,
    calls=counts,
    utterances=counts,
    segments=counts,
    vectors=counts,
    rejected=st.fixed_dictionaries(
        {level: st.dictionaries(st.sampled_from(list(RejectReason)), st.integers(1, 9)) for level in FUNNEL_LEVELS}
    ),
    flagged=st.fixed_dictionaries(dict.fromkeys(AUDIO_FLAGS, counts)),
)


@given(st.lists(funnels, max_size=4))
def test_a_total_loses_nothing(of_archives: list[Funnel]) -> None:
    together = add_funnels(of_archives)
    for level in together.counts:
        assert getattr(together, level) == sum(getattr(funnel, level) for funnel in of_archives)
    for level in FUNNEL_LEVELS:
        assert together.rejects(level) == sum(funnel.rejects(level) for funnel in of_archives)
    assert add_funnels([together]) == together

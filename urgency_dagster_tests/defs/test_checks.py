"""Each check on a correct artefact and on a wrong one."""

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from urgency_dagster.attention.audit.findings import Finding, FindingKind, Level
from urgency_dagster.calls.embedding.verification import Verification
from urgency_dagster.calls.table.funnel import Funnel
from urgency_dagster.defs.checks import (
    calls_in_one_archive,
    counts_add_up,
    few_rejects,
    no_leak,
    no_suspicion,
    plausible_scores,
    same_as_one_by_one,
    split_by_call,
    vectors_fit_rows,
)
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings
from urgency_dagster.tables import EMBEDDING
from urgency_dagster.urgency.data.duplicates import SharedCalls
from urgency_dagster.writing import write_table
from urgency_dagster_tests.defs.materialising import ARCHIVE

COUNTED = {"members": 10, "extracted": 8, "calls": 4, "labelled": 12}
FUNNEL = Funnel(
    archives=1,
    members=10,
    calls=4,
    utterances=12,
    segments=4,
    rejected={"members": {"corrupt": 2}, "calls": {"missing_audio": 1}, "utterances": {"too_short": 8}},
)


def test_counts_that_add_up() -> None:
    assert counts_add_up(FUNNEL, COUNTED).passed


@pytest.mark.parametrize("name", list(COUNTED))
@pytest.mark.parametrize("difference", [-1, 1])
def test_one_more_or_less_at_any_level_does_not_add_up(name: str, difference: int) -> None:
    assert not counts_add_up(FUNNEL, {**COUNTED, name: COUNTED[name] + difference}).passed


@pytest.mark.parametrize(
    ("calls_max", "utterances_max", "passed"), [(0.25, 0.67, True), (0.24, 0.67, False), (0.25, 0.66, False)]
)
def test_rejected_shares_within_and_above_their_limits(calls_max: float, utterances_max: float, passed: bool) -> None:
    check = few_rejects(FUNNEL, calls_max, utterances_max)
    assert check.passed is passed
    assert (check.metadata["rejected_calls_share"].value, check.severity) == (0.25, dg.AssetCheckSeverity.ERROR)


def test_an_archive_without_a_call_does_not_pass() -> None:
    rejected = {"members": {"encrypted": 3}, "calls": {}, "utterances": {}}
    assert not few_rejects(Funnel(archives=1, members=3, rejected=rejected), 1, 1).passed


@pytest.mark.parametrize(
    ("shared", "passed"),
    [
        (SharedCalls(0, 0, 0, ()), True),
        (SharedCalls(1, 0, 0, ("T_x", "V_x")), False),
        (SharedCalls(0, 1, 0, ("T_x", "V_x")), False),
        (SharedCalls(0, 0, 1, ()), True),
    ],
)
def test_a_call_in_two_archives_is_counted(shared: SharedCalls, passed: bool) -> None:
    check = calls_in_one_archive(shared)
    assert check.passed is passed
    counts = ("ids_in_two_archives", "recordings_in_two_archives", "recordings_of_two_calls_in_one_archive")
    assert tuple(check.metadata[name].value for name in counts) == (
        shared.ids,
        shared.recordings,
        shared.recordings_within,
    )


def test_vectors_must_have_the_rows_of_the_table(made: Settings, paths: StoragePaths) -> None:
    files = paths.archive(ARCHIVE)
    assert vectors_fit_rows(paths, ARCHIVE).passed
    table = pq.read_table(files.embeddings)
    write_table(files.embeddings, pa.concat_tables([table.slice(1), table.slice(0, 1)]))
    assert not vectors_fit_rows(paths, ARCHIVE).passed


def test_vectors_must_be_finite(made: Settings, paths: StoragePaths) -> None:
    files = paths.archive(ARCHIVE)
    table = pq.read_table(files.embeddings)
    vectors = table[EMBEDDING].to_pylist()
    vectors[-1][0] = float("nan")
    field = table.schema.field(EMBEDDING)
    broken = pa.array(vectors, type=field.type)
    write_table(files.embeddings, table.set_column(table.schema.get_field_index(EMBEDDING), field, broken))
    assert not vectors_fit_rows(paths, ARCHIVE).passed


def test_no_call_is_on_two_sides(paths: StoragePaths) -> None:
    rows = paths.urgency.rows
    sounds = {"audio_sha256": ["1", "1", "2"]}
    write_table(rows, pa.table({"_id": ["a", "a", "b"], **sounds, "side": ["train", "train", "validation"]}))
    assert split_by_call(rows, "official").passed
    both_sides = {"side": ["train", "validation", "validation"]}
    write_table(rows, pa.table({"_id": ["a", "a", "b"], "audio_sha256": ["1", "2", "3"], **both_sides}))
    assert not split_by_call(rows, "official").passed
    assert split_by_call(rows, "utterance").passed
    chosen_on = {"audio_sha256": ["1", "2", "3"], "side": ["train", "development", "validation"]}
    write_table(rows, pa.table({"_id": ["a", "a", "b"], **chosen_on}))
    assert not split_by_call(rows, "official").passed
    assert not split_by_call(rows, "utterance").passed
    write_table(rows, pa.table({"_id": ["a", "b", "c"], "audio_sha256": ["1", "1", "3"], **both_sides}))
    copied = split_by_call(rows, "call")
    assert not copied.passed
    assert (copied.metadata["calls_on_two_sides"].value, copied.metadata["recordings_on_two_sides"].value) == (0, 1)


@pytest.mark.parametrize(
    ("levels", "leak", "suspicion"),
    [((), True, True), ((Level.NOTE,), True, True), ((Level.SUSPICION,), True, False), ((Level.CERTAIN,), False, True)],
)
def test_a_certain_finding_blocks_and_a_suspicious_one_warns(
    levels: tuple[Level, ...], leak: bool, suspicion: bool
) -> None:
    findings = [Finding.of_names(level, FindingKind.IDENTIFIER, "They name people.", ["HRT#VAL"]) for level in levels]
    certain, suspicious = no_leak(findings), no_suspicion(findings)
    assert (certain.passed, suspicious.passed) == (leak, suspicion)
    assert (certain.severity, suspicious.severity) == (dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN)
    for check in (certain, suspicious):
        metadata = {name: value.value for name, value in check.metadata.items()}
        expected = {"findings": 0} if check.passed else {"findings": 1, "identifier": "They name people. HRT#VAL"}
        assert metadata == expected


def test_models_above_the_limit_are_named() -> None:
    assert plausible_scores({"rf": 0.55, "dummy": 0.33}).passed
    suspicious = plausible_scores({"rf": 0.91, "xgb": 0.71, "dummy": 0.33})
    assert not suspicious.passed
    assert suspicious.metadata["above_limit"].value == "rf, xgb"


def test_the_check_shows_the_verification_of_the_vectors() -> None:
    check = same_as_one_by_one(Verification(32, "bfloat16", 0.02, 0.9997, passed=True))
    assert (check.passed, check.severity) == (True, dg.AssetCheckSeverity.ERROR)
    figures = {name: value.value for name, value in check.metadata.items()}
    assert figures["min_cosine"] == 0.9997
    assert (figures["utterances"], figures["bound"]) == (32, "min_cosine at least 0.995")


def test_vectors_without_a_verification_do_not_pass() -> None:
    check = same_as_one_by_one(Verification(3, "float32", None, None, passed=False))
    assert not check.passed
    assert check.metadata["max_difference"].value == "none"


def test_the_reject_check_names_the_cause_before_its_effect() -> None:
    rejected = {"members": {"corrupt": 7}, "calls": {"missing_audio": 7}, "utterances": {}}
    check = few_rejects(Funnel(archives=1, members=90, calls=45, utterances=90, rejected=rejected), 0.1, 0.2)
    assert not check.passed
    sentence = str(check.description)
    assert sentence.startswith("7 members rejected: corrupt. 7 calls rejected: missing audio.")
    assert "7 of 45 calls (15.6 %) are rejected; the limit is 10 %." in sentence
    assert "download the ZIP again" in str(check.metadata["remedy"].value)


@pytest.mark.parametrize(
    ("rejected", "remedy"),
    [
        ({"members": {"corrupt": 1}, "calls": {"missing_audio": 9}}, "fewer calls than the label ZIP"),
        ({"members": {}, "calls": {"unknown_urgency": 9}}, "correct urgencyLevel"),
        ({"members": {}, "calls": {"no_utterances": 9}}, "rejects.parquet"),
    ],
)
def test_the_remedy_fits_the_main_cause(rejected: dict[str, dict[str, int]], remedy: str) -> None:
    funnel = Funnel(archives=1, members=90, calls=45, utterances=90, rejected={**rejected, "utterances": {}})
    assert remedy in str(few_rejects(funnel, 0.1, 0.2).metadata["remedy"].value)

"""In a planned run, what follows an artefact with the bytes that it had is kept."""

from pathlib import Path

import dagster as dg
import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.keeping import PLANNED_TAG
from urgency_dagster.provenance.keys import name_of
from urgency_dagster.settings import Settings
from urgency_dagster_tests.defs.materialising import ARCHIVE, materialise

AFTER_UTTERANCES = ["utterance_embeddings", "prosody", "processed_data"]


def identities(paths: StoragePaths) -> dict[str, tuple[int, int]]:
    """Inode and time of change of each file that follows the utterance table. A file that is made again has others.

    The inode alone can be that of a file which was deleted before.
    """
    files = paths.archive(ARCHIVE)
    made = {"utterance_embeddings": files.embeddings, "prosody": files.prosody, "processed_data": files.processed_csv}
    stats = {name: Path(file).stat() for name, file in made.items()}
    return {name: (stat.st_ino, stat.st_ctime_ns) for name, stat in stats.items()}


def make_again(made: Settings, planned: bool, **options: dict[str, object]) -> dg.ExecuteInProcessResult:
    return materialise(
        made, "utterances", *AFTER_UTTERANCES, options=options, tags={PLANNED_TAG: "true"} if planned else {}
    )


def shown(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    """What the pages show, by asset: metadata and data version."""
    events = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    return {name_of(event.asset_key): (event.metadata, (event.tags or {})["dagster/data_version"]) for event in events}


def test_equal_bytes_made_again_compute_nothing_downstream(
    made: Settings, paths: StoragePaths, materialised: tuple[Path, dg.ExecuteInProcessResult]
) -> None:
    before = identities(paths)
    paths.archive(ARCHIVE).utterances.unlink()
    result = make_again(made, planned=True)
    assert paths.archive(ARCHIVE).utterances.is_file()
    assert identities(paths) == before
    again, first = shown(result), shown(materialised[1])
    assert {name: again[name] for name in AFTER_UTTERANCES} == {name: first[name] for name in AFTER_UTTERANCES}
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks["vectors_fit_rows"]
    assert len(checks) == 6


def test_other_bytes_are_used(made: Settings, paths: StoragePaths) -> None:
    before = identities(paths)
    for label in list(paths.archive(ARCHIVE).labels.rglob("*.json"))[:2]:
        label.write_text("{")
    paths.archive(ARCHIVE).utterances.unlink()
    make_again(made, planned=True, utterances={"rejected_calls_max": 1.0})
    after = identities(paths)
    assert [name for name in AFTER_UTTERANCES if after[name] == before[name]] == []


def test_a_person_gets_what_was_asked_for(made: Settings, paths: StoragePaths) -> None:
    before = identities(paths)
    make_again(made, planned=False)
    after = identities(paths)
    assert [name for name in AFTER_UTTERANCES if after[name] == before[name]] == []


def test_another_declared_option_is_applied(made: Settings, paths: StoragePaths) -> None:
    before = identities(paths)
    paths.run_config.write_text("prosody: {f0_max_hz: 400.0}\n")
    make_again(made, planned=True, prosody={"f0_max_hz": 400.0})
    after = identities(paths)
    assert [name for name in AFTER_UTTERANCES if after[name] != before[name]] == ["prosody"]


@pytest.mark.parametrize("lost", ["file", "events"])
def test_what_cannot_be_shown_again_is_made_again(made: Settings, paths: StoragePaths, lost: str) -> None:
    before = identities(paths)
    (paths.archive(ARCHIVE).prosody if lost == "file" else paths.events("prosody", ARCHIVE)).unlink()
    make_again(made, planned=True)
    after = identities(paths)
    assert [name for name in AFTER_UTTERANCES if after[name] != before[name]] == ["prosody"]

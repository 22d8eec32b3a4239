"""The reports of a storage root."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.serving.stored_reports import ReportNames, StoredReports


def test_an_empty_root_has_no_reports(paths: StoragePaths) -> None:
    reports = StoredReports(paths)
    assert reports.names() == ReportNames((), ())
    assert reports.scored() == []
    for ask in (reports.urgency, reports.attention):
        with pytest.raises(ArtefactError, match="there is no report"):
            ask()


def test_damaged_metrics_are_named(paths: StoragePaths) -> None:
    paths.urgency.evaluation.mkdir(parents=True)
    (paths.urgency.evaluation / "metrics.json").write_text("{")
    with pytest.raises(ArtefactError, match="damaged"):
        StoredReports(paths).urgency()


@given(name=st.text() | st.sampled_from(["../secret.png", "..", "/etc/passwd", "secret.png/../picture.png"]))
def test_only_pictures_of_the_report_are_found(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    reports = StoredReports(StoragePaths(_root(tmp_path_factory)))
    if name != "picture.png":
        with pytest.raises(ArtefactError, match="no such picture"):
            reports.picture("urgency", name)


def _root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one picture in its report and one outside of it."""
    root = tmp_path_factory.getbasetemp() / "pictures"
    folder = StoragePaths(root).urgency.evaluation
    folder.mkdir(parents=True, exist_ok=True)
    for file in (folder / "picture.png", folder.parent / "secret.png"):
        file.write_bytes(b"")
    return root

"""The reports of the storage root, read only: evaluation, leaderboard, audit, and monitoring of scored archives."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse

from urgency_dagster.paths import StoragePaths
from urgency_dagster.serving.stored_reports import AttentionReport, ReportNames, StoredReports, UrgencyReport
from urgency_dagster.settings import Settings

router = APIRouter(prefix="/v1/reports", tags=["reports"])


def stored_reports(request: Request) -> StoredReports:
    """The reports of the storage root that is served."""
    return StoredReports(StoragePaths(Settings.load(request.app.state.config.storage).storage))


Reports = Annotated[StoredReports, Depends(stored_reports)]


@router.get("", summary="Name the reports and the scored archives")
def report_names(reports: Reports) -> ReportNames:
    """The names of the reports and of the scored archives that are there."""
    return reports.names()


@router.get("/urgency", summary="Read the evaluation of the urgency model")
def urgency_report(reports: Reports) -> UrgencyReport:
    """Metrics, report and names of pictures of the evaluation of the urgency model."""
    return reports.urgency()


@router.get("/attention", summary="Read the leaderboard and the audit of the attention models")
def attention_report(reports: Reports) -> AttentionReport:
    """Leaderboard, report, audit and names of pictures of the attention models."""
    return reports.attention()


@router.get("/{report}/pictures/{name}", summary="Get a picture of a report", response_class=FileResponse)
def picture(reports: Reports, report: str, name: str) -> FileResponse:
    """A picture of a report, as PNG."""
    return FileResponse(reports.picture(report, name), media_type="image/png")


@router.get("/scoring", summary="Count the calls of every scored archive")
def scored_archives(reports: Reports) -> list[dict[str, Any]]:
    """The counts of each scored archive: calls by class, abstained, alarmed, rejected. No row is about one call."""
    return reports.scored()


@router.get("/scoring/{archive}", summary="Compare a scored archive with the training set")
def monitoring(reports: Reports, archive: str) -> dict[str, Any]:
    """Drift and shares of a scored archive, compared with the training set."""
    return reports.monitoring(archive)

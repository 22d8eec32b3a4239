"""`GET /v1/reports`: evaluation, leaderboard, audit, and monitoring of scored archives. All are read only."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.serving.problems import INVALID_REQUEST, NO_REPORT, Problem
from urgency_dagster.serving.routes.answers import described_problems
from urgency_dagster.serving.stored_reports import AttentionReport, ReportNames, StoredReports, UrgencyReport
from urgency_dagster.settings import Settings

router = APIRouter(
    prefix="/v1/reports",
    tags=["reports"],
    responses=described_problems(NO_REPORT, INVALID_REQUEST),
)


def _stored_reports(request: Request) -> Iterator[StoredReports]:
    """The reports of the storage root that is served. What is not there is a problem of the request."""
    try:
        yield StoredReports(StoragePaths(Settings.load(request.app.state.config.storage).storage))
    except ArtefactError as error:
        raise Problem(NO_REPORT, str(error)) from error


Reports = Annotated[StoredReports, Depends(_stored_reports)]


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


@router.get(
    "/{report}/pictures/{name}",
    summary="Get a picture of a report",
    response_class=FileResponse,
    responses={200: {"content": {"image/png": {}}}},
)
def picture(reports: Reports, report: str, name: str) -> FileResponse:
    """A picture of a report, as PNG."""
    return FileResponse(reports.picture(report, name), media_type="image/png")


@router.get("/scoring", summary="Count the calls of every scored archive")
def scored_archives(reports: Reports) -> list[dict[str, Any]]:
    """The counts of each scored archive: calls by class, abstained, alarmed, rejected. None is about a single call."""
    return reports.scored()


@router.get("/scoring/{archive}", summary="Compare a scored archive with the training set")
def monitoring(reports: Reports, archive: str) -> dict[str, Any]:
    """Drift and shares of a scored archive, compared with the training set."""
    return reports.monitoring(archive)

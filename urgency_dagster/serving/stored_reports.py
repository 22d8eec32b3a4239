"""The reports of a storage root, as the dashboard shows them. They hold counts and scores, and no text of a call.

A name that comes from a client is only compared with the names that are there. It is never part of a path.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from urgency_dagster import scoring, urgency
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths

URGENCY, ATTENTION = "urgency", "attention"
"""The names of the reports."""

RUN = "run `urgency-dagster run`"


@dataclass(frozen=True)
class ReportNames:
    """What can be shown.

    Attributes:
        reports: the names of the reports that are there.
        archives: the names of the scored archives.
    """

    reports: tuple[str, ...]
    archives: tuple[str, ...]


@dataclass(frozen=True)
class UrgencyReport:
    """The evaluation of the urgency model.

    Attributes:
        metrics: `metrics.json`.
        report: `report.md`, in Markdown.
        pictures: the names of its pictures.
    """

    metrics: dict[str, Any]
    report: str
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class AttentionReport:
    """The cross-validation of the attention models, and the audit of their data.

    Attributes:
        leaderboard: the rows of `leaderboard.csv`, best first.
        report: `report.md`, in Markdown.
        counts: the number of findings of the audit by level; None without an audit.
        audit: `audit.md`, in Markdown; empty without an audit.
        pictures: the names of its pictures.
    """

    leaderboard: list[dict[str, Any]]
    report: str
    counts: dict[str, int] | None
    audit: str
    pictures: tuple[str, ...]


class StoredReports:
    """Reads the reports of one storage root."""

    def __init__(self, paths: StoragePaths) -> None:
        self._paths = paths
        self._folders = {URGENCY: paths.urgency.evaluation, ATTENTION: paths.attention.results_folder}

    def names(self) -> ReportNames:
        """The names of what can be shown."""
        complete = {URGENCY: self._folders[URGENCY] / "metrics.json", ATTENTION: self._paths.attention.leaderboard}
        return ReportNames(tuple(name for name, file in complete.items() if file.is_file()), tuple(self._archives()))

    def urgency(self) -> UrgencyReport:
        """The evaluation of the urgency model.

        Raises:
            ArtefactError: there is none.
        """
        folder = self._folder(URGENCY)
        metrics = urgency.read_metrics(self._paths)
        if metrics is None:
            raise ArtefactError("metrics.json is damaged", "a complete evaluation", RUN)
        return UrgencyReport(metrics, _text(folder / "report.md"), tuple(self._pictures(URGENCY)))

    def attention(self) -> AttentionReport:
        """The cross-validation of the attention models.

        Raises:
            ArtefactError: there is none.
        """
        import pandas as pd

        self._folder(ATTENTION)
        files = self._paths.attention
        return AttentionReport(
            leaderboard=json.loads(pd.read_csv(files.leaderboard).to_json(orient="records")),
            report=_text(files.report),
            counts=json.loads(_text(files.audit))["counts"] if files.audit.is_file() else None,
            audit=_text(files.audit_report),
            pictures=tuple(self._pictures(ATTENTION)),
        )

    def picture(self, report: str, name: str) -> Path:
        """The file of a picture.

        Raises:
            ArtefactError: there is no such report, or it has no such picture.
        """
        found = self._pictures(report).get(name) if report in self._folders else None
        if found is None:
            raise ArtefactError("no such picture", "one of those that the report names", "read the report again")
        return found

    def scored(self) -> list[dict[str, Any]]:
        """The counts of every scored archive, see `scoring.ScoringCounts`."""
        return [_counts(name, scoring.count_scored(self._paths, name)) for name in self._archives()]

    def monitoring(self, archive: str) -> dict[str, Any]:
        """What monitoring says of a scored archive, see `scoring.Monitoring`.

        Raises:
            ArtefactError: there is no such archive.
        """
        known = next((name for name in self._archives() if name == archive), None)
        if known is None:
            raise ArtefactError("no such archive", f"one of {self._archives()}", "ask for the archives again")
        return _monitoring(scoring.monitor_archive(self._paths, known))

    def _archives(self) -> Sequence[str]:
        tables = (self._paths.root / "scoring").glob("*/scored_calls.parquet")
        return sorted(table.parent.name for table in tables)

    def _folder(self, report: str) -> Path:
        if report not in self.names().reports:
            raise ArtefactError(f"there is no report on {report}", "a finished run", RUN)
        return self._folders[report]

    def _pictures(self, report: str) -> dict[str, Path]:
        return {file.name: file for file in sorted(self._folders[report].glob("*.png"))}


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _counts(archive: str, counts: scoring.ScoringCounts) -> dict[str, Any]:
    return {"archive": archive, **vars(counts), "all_utterances": counts.all_utterances}


def _monitoring(found: scoring.Monitoring) -> dict[str, Any]:
    drift = None if found.drift is None else {**asdict(found.drift), "drifted": found.drift.drifted}
    shares = [{**asdict(share), "apart": share.apart} for share in found.shares]
    return {"drift": drift, "no_drift": found.no_drift, "shares": shares, "no_shares": found.no_shares}

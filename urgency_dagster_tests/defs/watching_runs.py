"""Runs as the UI tells them, for tests that watch a `dev`."""

from typing import Any

RUNS = """{runsOrError{... on Runs{results{runId jobName status creationTime startTime endTime tags{key value}}}}}"""
ENDED = ("SUCCESS", "FAILURE", "CANCELED")


def runs_of(data: Any) -> list[dict[str, Any]]:
    """The runs in an answer, oldest first, each with its tags as a dictionary and its archive."""
    found = []
    for run in reversed(data["runsOrError"]["results"]):
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        found.append({**run, "tags": tags, "archive": tags.get("dagster/partition")})
    return found


def run_of(data: Any, job: str, archive: str | None = None) -> dict[str, Any]:
    """The last run of a job, or one without a status."""
    found = [run for run in runs_of(data) if (run["jobName"], run["archive"]) == (job, archive)]
    return found[-1] if found else {"status": None, "startTime": None}

"""The checks that are yellow while files in a landing folder cannot be used."""

import dagster as dg

from urgency_dagster.defs.resources import StorageResource
from urgency_dagster.operations.landing_events import (
    EVERY_FILE_IS_USED,
    EVERY_RECORDING_IS_USED,
    landing_problems,
    landing_result,
)
from urgency_dagster.provenance.landed import LandedContent

REPORTED = "The sensor and `run` report it; one row for each file that cannot be used, with the reason."


@dg.asset_check(
    asset=EVERY_FILE_IS_USED.asset_key,
    name=EVERY_FILE_IS_USED.name,
    description=f"Every file in landing/calls is used: it belongs to a complete, readable pair. {REPORTED}",
)
def every_file_is_used(storage: StorageResource) -> dg.AssetCheckResult:
    """Looks at the landing folder again. No run of an archive includes this step."""
    return _result(storage, EVERY_FILE_IS_USED)


@dg.asset_check(
    asset=EVERY_RECORDING_IS_USED.asset_key,
    name=EVERY_RECORDING_IS_USED.name,
    description=f"Every entry of landing/scoring is used: it is a readable ZIP, a folder with recordings, a recording, "
    f"or the label of one. {REPORTED}",
)
def every_recording_is_used(storage: StorageResource) -> dg.AssetCheckResult:
    """Looks at the landing folder again. No run of an archive includes this step."""
    return _result(storage, EVERY_RECORDING_IS_USED)


def _result(storage: StorageResource, check: dg.AssetCheckKey) -> dg.AssetCheckResult:
    return landing_result(check, landing_problems(LandedContent(storage.paths))[check])

"""The check of `call_archive` that is yellow while files in the landing folder cannot be used."""

import dagster as dg

from urgency_dagster.defs.resources import StorageResource
from urgency_dagster.operations.landing_events import EVERY_FILE_IS_USED, landing_result
from urgency_dagster.provenance.landed import LandedContent


@dg.asset_check(
    asset=EVERY_FILE_IS_USED.asset_key,
    name=EVERY_FILE_IS_USED.name,
    description="Every file in landing/calls is used: it belongs to a complete, readable pair. The sensor and `run` "
    "report it; one row for each file that cannot be used, with the reason.",
)
def every_file_is_used(storage: StorageResource) -> dg.AssetCheckResult:
    """Looks at the landing folder again. No run of an archive includes this step."""
    return landing_result(LandedContent(storage.paths).calls.problems)

"""What `run_config.yaml` says of landed inputs: files that lie elsewhere."""

from pydantic import Field

from urgency_dagster.calls.landing.landed_tables import LandedTable
from urgency_dagster.configuration import Configuration

LANDING = "landing"
"""The section of `run_config.yaml`. It belongs to no step, because the planning and several steps read it."""


class LandingConfig(Configuration):
    """Inputs outside `landing/` that are used as if they lay there."""

    tables: dict[str, LandedTable] = Field(default_factory=dict)
    """For an archive, the `csv` and the `npy` file that the original's scripts made. A relative path begins at the
    storage root. Without `T_` or `V_` in front, the archive belongs to the Training side."""

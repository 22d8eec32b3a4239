"""The options of `utterances`."""

from typing import ClassVar

from pydantic import Field

from urgency_dagster.configuration import Configuration


class UtteranceConfig(Configuration):
    """The number of worker processes, and how many rejects the check `few_rejects` allows."""

    machine: ClassVar[frozenset[str]] = frozenset({"workers"})

    workers: int = Field(-1, ge=-1)
    """Worker processes that parse labels and decode recordings. -1 is one per core; few calls need none."""

    rejected_calls_max: float = Field(0.20, ge=0, le=1)
    """Maximum share of calls that may be rejected."""

    rejected_utterances_max: float = Field(0.40, ge=0, le=1)
    """Maximum share of utterances that may be rejected."""

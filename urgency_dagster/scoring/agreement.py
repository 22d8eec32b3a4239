"""How closely an answer to a validation call must agree with its stored evaluation."""

from collections.abc import Iterable, Mapping

import pyarrow.parquet as pq

from urgency_dagster.paths import StoragePaths

MAX_DIFFERENCE, MAX_DIFFERENCE_REDUCED = 1e-5, 0.05
"""Maximum difference of a probability from the evaluation: vectors in float32, and in a reduced precision.

The predictor computes vectors in float32. The second value is assumed, not measured.
"""


def max_difference(paths: StoragePaths, archives: Iterable[str]) -> float:
    """The maximum difference of a probability, by the precision of the vectors of some archives."""
    reduced = any(_precision(paths, archive) != "float32" for archive in archives)
    return MAX_DIFFERENCE_REDUCED if reduced else MAX_DIFFERENCE


def _precision(paths: StoragePaths, archive: str) -> str:
    """The precision of an archive's vectors; empty if it is not known."""
    metadata: Mapping[bytes, bytes] = pq.read_schema(paths.archive(archive).embeddings).metadata or {}
    return metadata.get(b"precision", b"").decode()

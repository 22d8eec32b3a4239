"""Whether `prosody.parquet` has the rows of the utterance table, and whether its values are possible."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.calls.prosody.configuration import ProsodyConfig
from urgency_dagster.calls.prosody.schema import PROSODY_KEY, Feature, prosody_features
from urgency_dagster.paths import StoragePaths

BATCH_ROWS = 4096
"""Rows that are read at a time."""

ROUNDING = 1e-6
"""Permitted excess over a bound, for the rounding of means and logarithms."""


@dataclass(frozen=True)
class ProsodyVerification:
    """The result of comparing `prosody.parquet` with the utterance table and with the ranges of its columns.

    Attributes:
        same_utterances: whether both tables hold the same keys in the same order.
        impossible_values: the number of impossible values by column, see `impossible_values`.
    """

    same_utterances: bool
    impossible_values: Mapping[str, int]


def verify_prosody(paths: StoragePaths, archive: str, config: ProsodyConfig) -> ProsodyVerification:
    """Verifies the stored table of one archive.

    Args:
        paths: the storage root.
        archive: the archive, with both tables.
        config: the configuration that the table was written with.
    """
    return ProsodyVerification(same_utterances(paths, archive), impossible_values(paths, archive, config))


def same_utterances(paths: StoragePaths, archive: str) -> bool:
    """Whether `prosody.parquet` and the utterance table hold the same keys in the same order."""
    files = paths.archive(archive)
    expected, stored = (pq.read_table(path, columns=[*PROSODY_KEY]) for path in (files.utterances, files.prosody))
    return bool(stored.equals(expected))


def impossible_values(paths: StoragePaths, archive: str, config: ProsodyConfig) -> dict[str, int]:
    """The number of impossible values of each feature column: not finite, out of range, or null without cause.

    f0 is null exactly where no frame is voiced.
    """
    features = prosody_features(config)
    impossible = Counter({feature.name: 0 for feature in features})
    for batch in pq.ParquetFile(paths.archive(archive).prosody).iter_batches(BATCH_ROWS):
        for feature in features:
            impossible[feature.name] += batch.num_rows - _possible(batch, feature)
    return dict(impossible)


def _possible(batch: pa.RecordBatch, feature: Feature) -> int:
    """The number of possible values of one column in some rows."""
    values = batch[feature.name]
    finite = pc.is_finite(values)
    high_enough = pc.greater_equal(values, feature.low - ROUNDING)
    low_enough = pc.less_equal(values, feature.high + ROUNDING)
    possible = pc.fill_null(pc.and_(finite, pc.and_(high_enough, low_enough)), False)
    if feature.nullable:
        unvoiced = pc.equal(batch["voiced_share"], 0.0)
        possible = pc.if_else(unvoiced, pc.is_null(values), possible)
    return int(pc.sum(possible).as_py() or 0)

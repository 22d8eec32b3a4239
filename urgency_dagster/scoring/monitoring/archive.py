"""The monitoring of one scored archive: its drift, and the shares of its calls."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import ScoringPaths, StoragePaths
from urgency_dagster.scoring.monitoring.drift import MAX_CALLS, MIN_CALLS, SEED, Drift, measure_drift
from urgency_dagster.scoring.monitoring.shares import ShareComparison, compare_shares
from urgency_dagster.tables import URGENCY_LEVELS
from urgency_dagster.urgency import COMPARED_FLAGS, CallCount, count_validation_calls, training_call_vectors

VECTORS_AT_A_TIME = 256

DECISIONS = {"abstained": "abstain", "alarmed": "alarm"}
"""The column of SCORED_CALLS with each decision."""


@dataclass(frozen=True)
class Monitoring:
    """What arrived after training, compared with the training set. Nothing in it is about a single call.

    Attributes:
        drift: what a classifier tells of both; None if it is not measured.
        shares: the shares that both sides have.
        no_drift: why the drift is not measured; empty if it is.
        no_shares: why shares are not compared, by name; `all` for every one.
    """

    drift: Drift | None
    shares: tuple[ShareComparison, ...]
    no_drift: str
    no_shares: dict[str, str]


def monitor_archive(paths: StoragePaths, archive: str) -> Monitoring:
    """Compares a scored archive with the training set of its storage root.

    Args:
        paths: the storage root, with the scored calls of the archive.
        archive: the name of the archive.

    Raises:
        ArtefactError: the archive has no scored calls.
    """
    files = paths.scoring(archive)
    if not (files.calls.is_file() and files.monitored.is_file()):
        raise ArtefactError(f"{archive} has no scored calls", "them", "materialize scored_utterances and scored_calls")
    drift = _drift(paths, files)
    counts = dict(_counts(files))
    try:
        validation = count_validation_calls(paths, SEED)
    except ArtefactError as error:
        validation, missing = {}, {"all": str(error)}
    else:
        missing = _missing(counts, validation)
    compared = compare_shares(counts, validation)
    return Monitoring(
        drift=drift if isinstance(drift, Drift) else None,
        shares=compared,
        no_drift="" if isinstance(drift, Drift) else drift,
        no_shares=missing,
    )


def _drift(paths: StoragePaths, files: ScoringPaths) -> Drift | str:
    """The drift, or why it is not measured."""
    drawn = _drawn_recordings(files)
    if len(drawn) < MIN_CALLS:
        return f"the archive has {len(drawn)} different recordings with scores; at least {MIN_CALLS} are needed"
    try:
        training = training_call_vectors(paths, MAX_CALLS, SEED)
    except ArtefactError as error:
        return str(error)
    if len(training) < MIN_CALLS:
        return f"the training side has {len(training)} calls; at least {MIN_CALLS} are needed"
    later = _vectors(files, drawn)
    if later.shape[1] != training.shape[1]:
        return f"the vectors have {later.shape[1]} values, and those of the present training set {training.shape[1]}"
    return measure_drift(training, later)


def _drawn_recordings(files: ScoringPaths) -> "np.ndarray":
    """The rows of some calls in the table of monitored calls, ascending. A recording that occurs twice counts once."""
    hashes = np.array(pq.read_table(files.monitored, columns=["file_sha256"])["file_sha256"].to_pylist())
    _, different = np.unique(hashes, return_index=True)
    drawn = np.random.default_rng(SEED).choice(different, min(len(different), MAX_CALLS), replace=False)
    return np.sort(drawn)


def _vectors(files: ScoringPaths, drawn: "np.ndarray") -> "np.ndarray":
    """The vectors of some rows, float32, (N, W). The whole table is never in memory."""
    found, start = [], 0
    for batch in pq.ParquetFile(files.monitored).iter_batches(VECTORS_AT_A_TIME, columns=["vector"]):
        here = drawn[(start <= drawn) & (drawn < start + batch.num_rows)] - start
        found += [batch["vector"][int(row)].values.to_numpy() for row in here]
        start += batch.num_rows
    return np.stack(found)


def _counts(files: ScoringPaths) -> Iterator[tuple[str, CallCount]]:
    """Yields the counts of the archive, by the names of `count_validation_calls`."""
    calls = pq.read_table(files.calls, columns=["urgency", *DECISIONS.values()])
    known = pc.drop_null(calls["urgency"])
    for level in URGENCY_LEVELS:
        yield level, _true(pc.equal(known, level))
    for name, column in DECISIONS.items():
        yield name, _true(calls[column])
    measured = pq.read_table(files.monitored, columns=["unknown_tokens", *COMPARED_FLAGS])
    for name in measured.column_names:
        yield name, _true(measured[name])


def _true(column: pa.ChunkedArray) -> CallCount:
    """The calls with the value true, of those with a value."""
    return CallCount(pc.sum(column).as_py() or 0, len(column) - column.null_count)


def _missing(archive: dict[str, CallCount], validation: dict[str, CallCount]) -> dict[str, str]:
    """Why shares are not compared."""
    missing = {name: "no call of the archive has it" for name, count in archive.items() if not count.of}
    return missing | {name: "the validation side does not have it" for name in archive if name not in validation}

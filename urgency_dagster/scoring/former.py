"""The rows of recordings that the same models scored before."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.calls import REJECTS
from urgency_dagster.paths import ScoringPaths
from urgency_dagster.scoring.tables import MONITORED_CALLS, SCORED_UTTERANCES

Hashes = tuple[str, str | None]
"""The SHA-256 of a recording and of the label that is used."""


@dataclass(frozen=True)
class FormerScores:
    """Rows that need not be made again.

    Attributes:
        scored: the table of scored utterances.
        slices: start and length of the rows of each recording.
        rejects: the rejected utterances of each recording.
        measures: the row of each recording for monitoring.
    """

    scored: pa.Table = field(default_factory=SCORED_UTTERANCES.empty_table)
    slices: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    rejects: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    measures: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, files: ScoringPaths, scored_with: str, hashes: Mapping[str, Hashes]) -> "FormerScores":
        """The rows whose recording, label, models and code are the same.

        Args:
            files: the files of the archive.
            scored_with: the identity of models and code.
            hashes: the present content of each recording, by its name.
        """
        if not all(file.is_file() for file in (files.utterances, files.rejects, files.monitored)):
            return cls()
        if not pq.read_schema(files.utterances).equals(SCORED_UTTERANCES):
            return cls()
        if not pq.read_schema(files.monitored).equals(MONITORED_CALLS):
            return cls()
        table = pq.read_table(files.utterances)
        table = table.filter(pc.equal(table["scored_with"], scored_with))
        measures = _measures(files, scored_with, hashes)
        slices = {file: place for file, place in _slices(table, hashes).items() if file in measures}
        return cls(table, slices, _rejected_utterances(files, slices), measures)

    def rows(self, file: str) -> list[dict[str, Any]]:
        """The scored utterances of a recording."""
        rows: list[dict[str, Any]] = self.scored.slice(*self.slices[file]).to_pylist()
        return rows


def _slices(table: pa.Table, hashes: Mapping[str, Hashes]) -> dict[str, tuple[int, int]]:
    """Start and length of the rows of each recording with the same content. The rows of a recording are adjacent."""
    found: dict[str, tuple[int, int]] = {}
    columns = [table[name].to_pylist() for name in ("file", "file_sha256", "label_sha256")]
    for row, (file, *content) in enumerate(zip(*columns, strict=True)):
        if hashes.get(file) == tuple(content):
            start, length = found.get(file, (row, 0))
            found[file] = (start, length + 1)
    return found


def _measures(files: ScoringPaths, scored_with: str, hashes: Mapping[str, Hashes]) -> dict[str, dict[str, Any]]:
    """The rows for monitoring of the recordings with the same content. Their vectors stay arrays."""
    table = pq.read_table(files.monitored)
    table = table.filter(pc.equal(table["scored_with"], scored_with))
    vectors = table["vector"]
    rows = table.drop_columns("vector").to_pylist()
    return {
        row["file"]: {**row, "vector": vectors[number].values.to_numpy()}
        for number, row in enumerate(rows)
        if hashes.get(row["file"]) == (row["file_sha256"], row["label_sha256"])
    }


def _rejected_utterances(files: ScoringPaths, kept: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The rejected utterances of some recordings. Those of a label have the name of the label."""
    rejects: dict[str, list[dict[str, Any]]] = defaultdict(list)
    table = pq.read_table(files.rejects, schema=REJECTS)
    for row in table.filter(pc.is_valid(table["utterance_id"])).to_pylist():
        if row["member"] in kept:
            rejects[row["member"]].append(row)
    return rejects

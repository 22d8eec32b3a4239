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
from urgency_dagster.scoring.tables import SCORED_UTTERANCES

Hashes = tuple[str, str | None]
"""The SHA-256 of a recording and of the label that is used."""


@dataclass(frozen=True)
class FormerScores:
    """Rows that need not be made again.

    Attributes:
        scored: the table of scored utterances.
        slices: start and length of the rows of each recording.
        rejects: the rejected utterances of each recording.
    """

    scored: pa.Table = field(default_factory=SCORED_UTTERANCES.empty_table)
    slices: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    rejects: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)

    @classmethod
    def read(cls, files: ScoringPaths, scored_with: str, hashes: Mapping[str, Hashes]) -> "FormerScores":
        """The rows whose recording, label, models and code are the same.

        Args:
            files: the files of the archive.
            scored_with: the identity of models and code.
            hashes: the present content of each recording, by its name.
        """
        if not (files.utterances.is_file() and files.rejects.is_file()):
            return cls()
        if not pq.read_schema(files.utterances).equals(SCORED_UTTERANCES):
            return cls()
        table = pq.read_table(files.utterances)
        table = table.filter(pc.equal(table["scored_with"], scored_with))
        slices = _slices(table, hashes)
        return cls(table, slices, _rejected_utterances(files, slices))

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


def _rejected_utterances(files: ScoringPaths, kept: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The rejected utterances of some recordings. Those of a label have the name of the label."""
    rejects: dict[str, list[dict[str, Any]]] = defaultdict(list)
    table = pq.read_table(files.rejects, schema=REJECTS)
    for row in table.filter(pc.is_valid(table["utterance_id"])).to_pylist():
        if row["member"] in kept:
            rejects[row["member"]].append(row)
    return rejects

"""Tables of the original's scripts in the landing folder: a CSV and the NPY file of its vectors, in one folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from urgency_dagster.calls.landing.names import composed

CSV, NPY = ".csv", ".npy"
TABLE_SUFFIXES = (CSV, NPY)

DEFAULT_NAME = "processed_data"
"""The name that the original's preprocessing gives its CSV. It says nothing about the data, so the folder does."""

ENDINGS = ("_full_final", "_final", "_full")
"""Ends of the original's file names that are not part of the archive's name, such as `광주_구급_full_final.csv`."""

NO_VECTORS = "a table of the original without its vectors: an NPY file must lie in the same folder"
NO_TABLE = "vectors without their table: a CSV of the original must lie in the same folder"


class LandedTable(NamedTuple):
    """A CSV with the NPY file of its vectors."""

    csv: Path
    npy: Path

    def archive(self, top: Path) -> str:
        """The name of the archive: that of the CSV, or of its folder below `top`. Without a side it is of T_."""
        stem = composed(self.csv.stem)
        for ending in ENDINGS:
            stem = stem.removesuffix(ending)
        if stem == DEFAULT_NAME and self.csv.parent != top:
            stem = composed(self.csv.parent.name)
        return with_side(stem)


def with_side(name: str) -> str:
    """The name of an archive. A table whose name has no side belongs to the Training side."""
    return name if name.startswith(("T_", "V_")) else f"T_{name}"


def tables_in(files: list[Path]) -> Iterator[tuple[LandedTable | Path, str]]:
    """Yields the table of one folder, or each file that is part of none with the reason.

    Args:
        files: the CSV and NPY files of the folder. A CSV alone is somebody's list, unless the original named it so.
    """
    csvs, npys = ([path for path in files if path.suffix.lower() == suffix] for suffix in TABLE_SUFFIXES)
    if len(csvs) == len(npys) == 1:
        yield LandedTable(csvs[0], npys[0]), ""
    elif not npys:
        yield from ((csv, NO_VECTORS) for csv in csvs if csv.stem == DEFAULT_NAME or csv.stem.endswith(ENDINGS[0]))
    elif not csvs:
        yield from ((npy, NO_TABLE) for npy in npys)
    else:
        reason = f"{len(csvs)} CSV and {len(npys)} NPY files lie in one folder; put each pair into a folder of its own"
        yield from ((path, reason) for path in (*csvs, *npys))

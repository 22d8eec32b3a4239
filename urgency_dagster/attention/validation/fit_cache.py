"""The fit cache: finished fits of an unfinished cross-validation, which the next attempt reuses.

Each fit is one `.npz` file of numbers. It is read without unpickling. Nothing is fitted here.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.protocol import (
    LOGREG,
    LOGREG_ON_ALL,
    VOTERS,
    VOTING,
    Fold,
    FoldOutcome,
    Protocol,
)
from urgency_dagster.attention.versions import fit_versions
from urgency_dagster.writing import replacing

IDENTITY_DIGITS = 16
"""Hexadecimal digits of the identity in a file's name."""


@dataclass(frozen=True)
class FitCache:
    """A folder of finished fits. Only fits of the same identity are read.

    Attributes:
        folder: holds `<model>-<fold>-<identity>.npz`.
        identity: hash of everything that decides the numbers of a fit.
    """

    folder: Path
    identity: str

    @classmethod
    def open(cls, folder: Path, data: AttentionData, protocol: Protocol) -> "FitCache":
        """The cache of one data set and protocol, for the current versions of the code and the libraries."""
        digest = hashlib.sha256()
        dtypes = [[str(name), str(dtype)] for name, dtype in data.X.dtypes.items()]
        digest.update(json.dumps(dtypes).encode())
        parts = data.X.select_dtypes("bool"), data.X.select_dtypes(exclude="bool")
        for values in (*(part.to_numpy() for part in parts), data.y, data.groups):
            digest.update(values.tobytes())
        digest.update(json.dumps([protocol.model_dump(), fit_versions()], sort_keys=True).encode())
        return cls(folder, digest.hexdigest()[:IDENTITY_DIGITS])

    def read(self, model: str, fold: Fold) -> FoldOutcome | None:
        """The stored fit, or None if there is none or its file is damaged."""
        try:
            # np.load of a path would leave the file open if it is not an archive.
            with self._file(model, fold.number).open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                values = {name: stored[name] for name in stored.files}
            outcome = FoldOutcome(**{name: v if v.ndim else v.item() for name, v in values.items()})
        except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile):
            return None
        sides = (outcome.probability, fold.test), (outcome.train_probability, fold.train)
        return outcome if all(probability.shape == rows.shape for probability, rows in sides) else None

    def write(self, outcome: FoldOutcome) -> None:
        """Stores a fit; an interruption leaves no partial file."""
        values = {field.name: np.asarray(getattr(outcome, field.name)) for field in fields(FoldOutcome)}
        with replacing(self._file(outcome.model, outcome.fold)) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **values)

    def remove(self, models: Iterable[str]) -> None:
        """Removes the fits of some models, whatever their identity and protocol."""
        of_several = {VOTING: VOTERS, LOGREG: (LOGREG, LOGREG_ON_ALL)}
        for name in {fit for model in models for fit in of_several.get(model, (model,))}:
            for file in self.folder.glob(f"{name}-*.npz"):
                file.unlink(missing_ok=True)

    def _file(self, model: str, fold: int) -> Path:
        return self.folder / f"{model}-{fold}-{self.identity}.npz"

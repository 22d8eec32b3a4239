"""The finished fits of a cross-validation that has not ended yet, so that a failed or killed one goes on with them.

Nothing is fitted here. One file a fit, of numbers only: it is read without unpickling anything.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path

import numpy as np

from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.protocol import Fold, FoldOutcome, Protocol
from urgency_dagster.attention.versions import library_versions
from urgency_dagster.writing import file_hash, replacing

HASH_SHOWN = 16
"""Hexadecimal digits of the hash in a file's name."""


OVERSAMPLER = "imbalanced-learn"
"""The one library that is in no exported model, but decides numbers."""


@dataclass(frozen=True)
class FinishedFits:
    """Where finished fits are kept, and which of them are of the same data, protocol and code.

    Attributes:
        folder: holds `<model>-<fold>-<identity>.npz`.
        identity: a hash of everything that decides the numbers of a fit.
    """

    folder: Path
    identity: str

    @classmethod
    def of(cls, folder: Path, data: AttentionData, protocol: Protocol) -> "FinishedFits":
        """The fits of some data and protocol, by this code and these library versions."""
        digest = hashlib.sha256()
        kinds = [[str(name), str(dtype)] for name, dtype in data.X.dtypes.items()]
        digest.update(json.dumps(kinds).encode())
        parts = data.X.select_dtypes("bool"), data.X.select_dtypes(exclude="bool")
        for values in (*(part.to_numpy() for part in parts), data.y, data.groups):
            digest.update(values.tobytes())
        # An error that stopped a cross-validation is often corrected in the code: its fits must not mix with the old.
        code = {file.name: file_hash(file) for file in sorted(Path(__file__).parent.glob("*.py"))}
        versions = {**library_versions(), OVERSAMPLER: version(OVERSAMPLER)}
        digest.update(json.dumps([asdict(protocol), versions, code], sort_keys=True).encode())
        return cls(folder, digest.hexdigest()[:HASH_SHOWN])

    def read(self, model: str, fold: Fold) -> FoldOutcome | None:
        """What was kept of a fit; None when there is nothing, or nothing whole."""
        try:
            # Given a path, NumPy would leave the file open when it is no archive.
            with self._file(model, fold.number).open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                values = {name: stored[name] for name in stored.files}
            outcome = FoldOutcome(**{name: v if v.ndim else v.item() for name, v in values.items()})
        except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile):
            return None
        sides = (outcome.probability, fold.test), (outcome.train_probability, fold.train)
        return outcome if all(found.shape == rows.shape for found, rows in sides) else None

    def keep(self, outcome: FoldOutcome) -> None:
        """Stores a fit; it is there as a whole or not at all."""
        values = {field.name: np.asarray(getattr(outcome, field.name)) for field in fields(FoldOutcome)}
        with replacing(self._file(outcome.model, outcome.fold)) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **values)

    def forget(self, models: Iterable[str]) -> None:
        """Removes what is kept of some models, of other data and protocols as well."""
        for model in models:
            for file in self.folder.glob(f"{model}-*.npz"):
                file.unlink(missing_ok=True)

    def _file(self, model: str, fold: int) -> Path:
        return self.folder / f"{model}-{fold}-{self.identity}.npz"

"""The audio vectors of archives, and the speech model that made them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.writing import read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

REVISION_UNKNOWN = (
    "{archives}: the revision of the speech model is not known, and assumed to be the same as that of the other "
    "archives."
)
"""The warning about tables of the original beside other archives."""


def open_vectors(paths: StoragePaths, archive: str) -> "NDArray[np.float32]":
    """The audio vectors of an archive as a read-only memory map, float32, shape (N, T, D).

    A file of shape (N, D) has one vector per utterance, T = 1.

    Raises:
        ArtefactError: the file is missing, damaged, or of another type or shape.
    """
    source = paths.archive(archive).vectors
    try:
        vectors: NDArray[np.float32] = np.load(source, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtefactError(
            f"the vectors of {archive} cannot be read ({type(error).__name__})", "an NPY file", "embed it again"
        ) from error
    if vectors.ndim not in (2, 3) or vectors.dtype != np.float32:
        raise ArtefactError(
            f"the vectors of {archive} are {vectors.dtype} of shape {vectors.shape}",
            "float32 of shape (N, D) or (N, T, D)",
            "embed the archive again",
        )
    return vectors if vectors.ndim == 3 else vectors[:, None]


class VectorKind(NamedTuple):
    """Speech model, width D and vectors per utterance T of an archive's vectors. What is not known is empty."""

    model: str
    revision: str
    weights_sha256: str
    width: int
    tokens: int

    @property
    def speech_model(self) -> dict[str, str]:
        """The identity of the speech model."""
        return {"name": self.model, "revision": self.revision, "weights_sha256": self.weights_sha256}


def common_kind(paths: StoragePaths, archives: Sequence[str]) -> tuple[VectorKind, str]:
    """The kind of the vectors of all archives, and a warning if it is partly assumed.

    A table of the original does not name the revision of its speech model, so that fits every revision.

    Raises:
        ArtefactError: the vectors were made by different speech models, or their number per utterance differs.
    """
    of_archives = {archive: _kind(paths, archive) for archive in archives}
    kinds = [*of_archives.values()] or [VectorKind("", "", "", 0, 1)]
    models = {(kind.model, kind.width) for kind in kinds}
    known = {(kind.revision, kind.weights_sha256) for kind in kinds if kind.revision}
    if len(models) > 1 or len(known) > 1:
        named = ", ".join(sorted({f"{name} of width {width}" for name, width in models}))
        raise ArtefactError(
            f"the audio vectors were made by {max(len(models), len(known))} speech models ({named})",
            "one speech model",
            "materialize utterance_embeddings of all archives",
        )
    _check_one_number(kinds)
    unknown = [archive for archive, kind in of_archives.items() if not kind.revision]
    warning = REVISION_UNKNOWN.format(archives=", ".join(unknown)) if unknown and len(kinds) > 1 else ""
    revision, weights_sha256 = next(iter(known), ("", ""))
    return kinds[0]._replace(revision=revision, weights_sha256=weights_sha256), warning


def arithmetic(paths: StoragePaths, archives: Sequence[str]) -> tuple[dict[str, str], ...]:
    """The `engine` and the `precision` that computed the vectors of archives: each pair once, sorted.

    What is not known is empty, as for a table of the original.
    """
    pairs = sorted({_arithmetic(paths, archive) for archive in archives})
    return tuple({"engine": engine, "precision": precision} for engine, precision in pairs)


def _arithmetic(paths: StoragePaths, archive: str) -> tuple[str, str]:
    files = paths.archive(archive)
    precision = _metadata(files.embeddings).get(b"precision", b"").decode()
    try:
        choice = read_json(files.encoder)
    except (FileNotFoundError, ValueError):  # a table of the original, or damaged
        return "", precision
    return choice["engine"] if choice["precision"] == precision else "", precision


def _check_one_number(kinds: Sequence[VectorKind]) -> None:
    if len(tokens := sorted({kind.tokens for kind in kinds})) > 1:
        raise ArtefactError(
            f"the archives have {' and '.join(map(str, tokens))} audio vectors for an utterance",
            "as many in all of them",
            "materialize utterance_embeddings and processed_data of all archives with the same `audio_tokens`",
        )


def _kind(paths: StoragePaths, archive: str) -> VectorKind:
    source = paths.archive(archive).embeddings
    if not source.is_file():
        raise ArtefactError(f"{archive} has no {source.name}", "its embeddings", "materialize utterance_embeddings")
    metadata = _metadata(source)
    _, tokens, width = open_vectors(paths, archive).shape
    model, revision, weights = (metadata.get(key, b"").decode() for key in (b"model", b"revision", b"weights_sha256"))
    return VectorKind(model, revision, weights, width, tokens)


def _metadata(embeddings: Path) -> Mapping[bytes, bytes]:
    return pq.read_schema(embeddings).metadata or {}

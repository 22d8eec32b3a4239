from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from urgency_dagster.defs.metadata import training_set_metadata
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.configuration import SplitConfig
from urgency_dagster.urgency.data.dataset import build_training_set, read_training_set
from urgency_dagster.urgency.data.vectors import open_vectors
from urgency_dagster.writing import write_table
from urgency_dagster_tests.urgency.conftest import ARCHIVES

NAMES = list(ARCHIVES)


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 3), (2, 4, 3), (0, 3), (0, 4, 3)])
def test_vectors_are_read_with_three_axes(paths: StoragePaths, shape: tuple[int, ...]) -> None:
    stored = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.save(paths.archive(NAMES[0]).vectors, stored)
    tokens = shape[1] if len(shape) == 3 else 1
    expected = stored.reshape(shape[0], tokens, 3)
    np.testing.assert_array_equal(open_vectors(paths, NAMES[0]), expected, strict=True)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no matrix",
        np.zeros(3, np.float32),
        np.zeros((2, 2)),
        np.zeros((2, 2, 2, 2), np.float32),
        np.array([None]),
    ],
)
def test_a_file_that_is_no_matrix_is_refused(paths: StoragePaths, content: Any) -> None:
    target = paths.archive(NAMES[0]).vectors
    if isinstance(content, bytes):
        target.write_bytes(content)
    else:
        np.save(target, content)
    with pytest.raises(ArtefactError):
        open_vectors(paths, NAMES[0])


def with_revision(paths: StoragePaths, archive: str, revision: str) -> None:
    source = paths.archive(archive).embeddings
    table = pq.read_table(source)
    write_table(
        source, table.replace_schema_metadata({**(table.schema.metadata or {}), b"revision": revision.encode()})
    )


def test_an_unknown_revision_fits_every_other_with_a_warning(paths: StoragePaths) -> None:
    """A table of the original does not name it."""
    assert build_training_set(paths, NAMES, SplitConfig()).warning == ""
    with_revision(paths, NAMES[0], "")
    summary = build_training_set(paths, NAMES, SplitConfig())
    assert summary.speech_model == {"name": "speech", "revision": "1", "weights_sha256": "0" * 64}
    assert summary.warning == (
        f"{NAMES[0]}: the revision of the speech model is not known, and assumed to be the same as that of the other "
        "archives."
    )
    assert read_training_set(paths).summary.warning == training_set_metadata(summary)["warning"] == summary.warning


def test_one_archive_of_unknown_revision_has_nothing_to_differ_from(paths: StoragePaths) -> None:
    with_revision(paths, NAMES[0], "")
    summary = build_training_set(paths, NAMES[:1], SplitConfig(mode="call"))
    assert (summary.speech_model["revision"], summary.warning) == ("", "")


def test_two_known_revisions_are_refused(paths: StoragePaths) -> None:
    with_revision(paths, NAMES[0], "")
    with_revision(paths, NAMES[1], "2")
    with pytest.raises(ArtefactError, match="made by 2 speech models"):
        build_training_set(paths, NAMES, SplitConfig())

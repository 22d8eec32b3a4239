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
from urgency_dagster.writing import write_json, write_table
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


def with_metadata(paths: StoragePaths, archive: str, key: bytes, value: str) -> None:
    source = paths.archive(archive).embeddings
    table = pq.read_table(source)
    write_table(source, table.replace_schema_metadata({**(table.schema.metadata or {}), key: value.encode()}))


def with_revision(paths: StoragePaths, archive: str, revision: str) -> None:
    with_metadata(paths, archive, b"revision", revision)


def with_arithmetic(paths: StoragePaths, archive: str, engine: str, precision: str) -> None:
    """Stores what an embedding of the archive stores of its library and its precision."""
    with_metadata(paths, archive, b"precision", precision)
    write_json(paths.archive(archive).encoder, {"engine": engine, "precision": precision})


def test_the_arithmetic_of_the_vectors_is_stored(paths: StoragePaths) -> None:
    assert build_training_set(paths, NAMES, SplitConfig()).arithmetic == ({"engine": "", "precision": ""},)
    with_arithmetic(paths, NAMES[0], "torch", "float32")
    for archive in NAMES[1:]:
        with_arithmetic(paths, archive, "openvino", "bfloat16")
    summary = build_training_set(paths, NAMES, SplitConfig())
    assert summary.arithmetic == (
        {"engine": "openvino", "precision": "bfloat16"},
        {"engine": "torch", "precision": "float32"},
    )
    assert read_training_set(paths).summary == summary


@pytest.mark.parametrize("content", ["{", '{"engine": "torch", "precision": "float32"}'])
def test_the_choice_of_another_embedding_does_not_name_the_library(paths: StoragePaths, content: str) -> None:
    for archive in NAMES:
        with_arithmetic(paths, archive, "openvino", "bfloat16")
        paths.archive(archive).encoder.write_text(content, encoding="utf-8")
    assert build_training_set(paths, NAMES, SplitConfig()).arithmetic == ({"engine": "", "precision": "bfloat16"},)


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

"""Every utterance of the demo, against transformers one at a time."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from urgency_dagster.calls.embedding.archive import embed_archive
from urgency_dagster.calls.embedding.configuration import EmbeddingConfig
from urgency_dagster.calls.embedding.shards import vectors_of
from urgency_dagster.calls.embedding.verification import MAX_DIFFERENCE
from urgency_dagster.calls.landing.pairs import scan_landing
from urgency_dagster.calls.segments import decoded_segments
from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
from urgency_dagster.calls.unpacking.extraction import extract_pair
from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.calls.conftest import GROUP, LAYER, SpeechModels
from urgency_dagster_tests.calls.one_by_one import OneByOne

EXACT = EmbeddingConfig(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def demo(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[StoragePaths, list[str]]:
    """The demo with the utterance tables of its archives."""
    paths = StoragePaths(tmp_path_factory.mktemp("demo") / "root")
    shutil.copytree(demo_root, paths.root)
    pairs = scan_landing(paths.landing_calls).pairs
    for archive, pair in pairs.items():
        extract_pair(pair, paths.archive(archive), ExtractionConfig())
        build_utterance_table(paths, archive)
    return paths, list(pairs)


def expected(paths: StoragePaths, archive: str, one_by_one: OneByOne) -> np.ndarray:
    rows = pq.read_table(paths.archive(archive).utterances)
    (segments,) = decoded_segments([rows], Path(paths.root), workers=1)
    return one_by_one.vectors(segments)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", [LAYER, GROUP])
def test_every_utterance_has_the_vector_that_it_has_alone(
    demo: tuple[StoragePaths, list[str]], speech_model: SpeechModels, kind: str
) -> None:
    paths, archives = demo
    model = speech_model(kind)
    for archive in archives:
        wanted = expected(paths, archive, OneByOne(model))
        for engine in ("torch", "openvino"):
            summary = embed_archive(paths, archive, model, EXACT.changed(engine=engine, batch_audio_s=20))
            assert (summary.counts.computed, summary.engine) == (len(wanted), engine)
            found = vectors_of(pq.read_table(paths.archive(archive).embeddings))
            assert np.abs(found - wanted).max() <= MAX_DIFFERENCE
            paths.archive(archive).embeddings.unlink()
    assert len(archives) > 1

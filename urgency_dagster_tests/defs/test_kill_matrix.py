"""`kill -9` of every process of `dev`, one at a time, in the middle of embedding, training and cross-validation."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil
import pytest
import yaml
from dagster._core.storage.tags import PARENT_RUN_ID_TAG

from urgency_dagster.defs.attention_assets import CROSS_VALIDATED
from urgency_dagster.operations.placement import GPU_POOL
from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.defs.kill_matrix import Held, Matrix, Stage, of_root

ARCHIVE = "V_광주_구급"
Asset = tuple[str, str | None]
VALIDATED = [f"attention_cv/{model}" for model in CROSS_VALIDATED]


def shards(paths: StoragePaths) -> float:
    return len(list(paths.archive(ARCHIVE).shards.glob("*.npy")))


def fits(paths: StoragePaths) -> float:
    return sum(file.is_file() for file in paths.attention.fit_cache.rglob("[!.]*"))


def epochs(paths: StoragePaths) -> float:
    with suppress(FileNotFoundError):
        return (paths.urgency.unfinished_training / "last.pt").stat().st_mtime
    return 0.0


EMBEDDING = Stage("embedding", "utterance_embeddings", shards)
TRAINING = Stage("training", "urgency_model", epochs)
VALIDATION = Stage("cross-validation", "attention_cv", fits)


def prepare(paths: StoragePaths) -> None:
    """Deletes what embedding, training and cross-validation made, and lets all three work at once."""
    shutil.rmtree(paths.archive(ARCHIVE).shards, ignore_errors=True)
    paths.archive(ARCHIVE).embeddings.unlink()
    paths.urgency.checkpoint.unlink()
    for model in CROSS_VALIDATED:
        shutil.rmtree(paths.attention.results(model))
    config = yaml.safe_load(paths.run_config.read_text())
    paths.run_config.write_text(yaml.safe_dump({**config, EMBEDDING.step: {"shard_utterances": 1, "workers": 1}}))
    file = paths.dagster_home / "dagster.yaml"
    home = yaml.safe_load(file.read_text())
    home["concurrency"]["runs"]["max_concurrent_runs"] = 3
    file.write_text(yaml.safe_dump(home))


def contents(paths: StoragePaths) -> dict[str, bytes]:
    """Every artefact."""
    folders = (paths.archive(ARCHIVE).folder.parent, paths.urgency.folder, paths.attention.results_folder)
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(paths.root).as_posix(): file.read_bytes() for file in files}


def manifests(paths: StoragePaths) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every manifest."""
    files = [file for file in (paths.root / "manifests").rglob("*.json") if file.is_file()]
    return {file.relative_to(paths.root).as_posix(): (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


@dataclass(frozen=True)
class Before:
    """The storage root before its artefacts were deleted."""

    contents: dict[str, bytes]
    manifests: dict[str, tuple[int, int]]


@pytest.fixture
def before(finished_root: Path) -> Before:
    paths = StoragePaths(finished_root)
    before = Before(contents(paths), manifests(paths))
    prepare(paths)
    return before


@pytest.fixture
def matrix(before: Before, finished_root: Path) -> Iterator[Matrix]:
    """A `dev` on a storage root whose vectors, model and scores are missing."""
    matrix = Matrix(finished_root, URGENCY_GPUS="2")
    try:
        yield matrix
    finally:
        for process in of_root(finished_root):
            with suppress(psutil.Error):
                process.kill()
        matrix.server.process.wait()


def kill_step_and_worker(matrix: Matrix, held: Held) -> None:
    matrix.kill_worker(matrix.kill_step(held)).resume()


def kill_in_validation(matrix: Matrix, held: Held) -> None:
    kill_step_and_worker(matrix, matrix.kill_ray(held, "ray::", "Ray worker"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_process_may_be_killed_in_the_middle_of_every_long_step(
    matrix: Matrix, before: Before, record_property: Callable[[str, object], None]
) -> None:
    launched: dict[str, list[Asset]] = {
        matrix.launch(EMBEDDING.step, partition=ARCHIVE): [(EMBEDDING.step, ARCHIVE)],
        matrix.launch(TRAINING.step): [(TRAINING.step, None)],
        matrix.launch(*VALIDATED): [(name, None) for name in VALIDATED],
    }
    with ThreadPoolExecutor() as threads:
        embedding, training, validation = threads.map(matrix.hold, (EMBEDDING, TRAINING, VALIDATION))
        matrix.kill_services(embedding, training, validation)
        kills = [threads.submit(kill_step_and_worker, matrix, held) for held in (embedding, training)]
        kills.append(threads.submit(kill_in_validation, matrix, validation))
        for kill in kills:
            kill.result()
    matrix.wait_for_end(launched)
    record_property("kill matrix", "\n".join(map(str, matrix.rows)))
    assert matrix.server.stop() == 0
    assert [process.cmdline() for process in of_root(matrix.paths.root)] == []
    for run_id, assets in launched.items():
        check_run(matrix, run_id, assets)
    info = matrix.instance.event_log_storage.get_concurrency_info(GPU_POOL)
    assert (info.active_slot_count, info.pending_step_count) == (0, 0)


def check_run(matrix: Matrix, run_id: str, assets: list[Asset]) -> None:
    """A run whose process was killed has failed; its repetition made its assets, and nobody made them after that."""
    first = matrix.instance.get_run_by_id(run_id)
    repetitions = matrix.instance.get_run_records(dg.RunsFilter(tags={PARENT_RUN_ID_TAG: run_id}))
    assert first is not None
    assert first.status == dg.DagsterRunStatus.FAILURE
    assert [record.dagster_run.status for record in repetitions] == [dg.DagsterRunStatus.SUCCESS]
    for name, partition in assets:
        written = matrix.paths.manifest(name, partition).stat().st_mtime
        assert (repetitions[0].start_time or 0) < written <= (repetitions[0].end_time or 0), name

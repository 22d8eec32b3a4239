"""`kill -9` of every process of `dev`, one at a time, in the middle of embedding, training and cross-validation."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import dagster as dg
import psutil
import pyarrow.parquet as pq
import pytest
import yaml
from dagster._core.storage.tags import PARENT_RUN_ID_TAG

from urgency_dagster.defs.attention_assets import CROSS_VALIDATED
from urgency_dagster.operations.placement import GPU_POOL
from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.package.checkpoints import read_checkpoint
from urgency_dagster.urgency.training.resume import LAST
from urgency_dagster.writing import file_hash
from urgency_dagster_tests.attention.validation.test_parallel_killed import FIT, PREPARATION
from urgency_dagster_tests.defs.conftest import run_command
from urgency_dagster_tests.defs.kill_matrix import Held, Matrix, Parts, Stage, of_root

ARCHIVE = "V_광주_구급"
EPOCHS = 40
Asset = tuple[str, str | None]
VALIDATED = [f"attention_cv/{model}" for model in CROSS_VALIDATED]


def changed(files: Iterable[Path]) -> Parts:
    """The files that are there, with their times of change."""
    found = {}
    for file in files:
        with suppress(FileNotFoundError):
            found[file] = file.stat().st_mtime_ns
    return found


def shards(paths: StoragePaths) -> Parts:
    return changed(paths.archive(ARCHIVE).shards.glob("*.npy"))


def fits(paths: StoragePaths) -> Parts:
    return changed(file for file in paths.attention.fit_cache.rglob("[!.]*") if file.is_file())


def last_epoch(paths: StoragePaths) -> Parts:
    return changed([paths.urgency.unfinished_training / LAST])


def epochs(paths: StoragePaths) -> int:
    return len(read_checkpoint(paths.urgency.unfinished_training / LAST)["history"])


def embedded(paths: StoragePaths) -> int:
    """The finished shards. A step that ends with its run may make the last ones, and the table, before it ends."""
    table = paths.archive(ARCHIVE).embeddings
    return len(shards(paths)) + (pq.ParquetFile(table).num_row_groups if table.is_file() else 0)


EMBEDDING = Stage("embedding", "utterance_embeddings", shards, embedded)
TRAINING = Stage("training", "urgency_model", last_epoch, epochs)
VALIDATION = Stage("cross-validation", "attention_cv", fits, lambda paths: len(fits(paths)))


def make_in_small_parts(paths: StoragePaths) -> None:
    """Makes the vectors again, one utterance a shard, and what comes after them. Their last bits change with it.

    The training gets so many epochs that it cannot end between the kill of its run and its own end.
    """
    config = yaml.safe_load(paths.run_config.read_text())
    config[EMBEDDING.step] = {"shard_utterances": 1, "workers": 1}
    config[TRAINING.step] = {**config[TRAINING.step], "epochs": EPOCHS}
    paths.run_config.write_text(yaml.safe_dump(config))
    paths.archive(ARCHIVE).embeddings.unlink()
    done = run_command(paths.root)
    assert done.returncode == 0, done.stdout + done.stderr


def delete(paths: StoragePaths) -> None:
    """Deletes what embedding, training and cross-validation made, and lets all three work at once."""
    shutil.rmtree(paths.archive(ARCHIVE).shards, ignore_errors=True)
    paths.archive(ARCHIVE).embeddings.unlink()
    paths.urgency.checkpoint.unlink()
    for model in CROSS_VALIDATED:
        shutil.rmtree(paths.attention.results(model))
    file = paths.dagster_home / "dagster.yaml"
    home = yaml.safe_load(file.read_text())
    home["concurrency"]["runs"]["max_concurrent_runs"] = 3
    file.write_text(yaml.safe_dump(home))


def hashes(paths: StoragePaths) -> dict[str, str]:
    """The sha256 of every file of the archive, the model and the scores."""
    results = map(paths.attention.results, CROSS_VALIDATED)
    folders = (paths.archive(ARCHIVE).folder, paths.urgency.folder, *results)
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(paths.root).as_posix(): file_hash(file) for file in files}


@pytest.fixture
def before(finished_root: Path) -> dict[str, str]:
    """The hashes of what was on disk before it was deleted."""
    paths = StoragePaths(finished_root)
    make_in_small_parts(paths)
    before = hashes(paths)
    delete(paths)
    return before


@pytest.fixture
def matrix(before: dict[str, str], finished_root: Path) -> Iterator[Matrix]:
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
    held = matrix.kill_ray(held, "Ray worker", FIT, PREPARATION, "ray::IDLE")
    held = matrix.kill_ray(held, "Ray head", "gcs_server")
    held = matrix.kill_ray(held, "Ray node", "raylet")
    kill_step_and_worker(matrix, held)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_process_may_be_killed_in_the_middle_of_every_long_step(
    matrix: Matrix, before: dict[str, str], record_property: Callable[[str, object], None]
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
    matrix.wait_for_silence()
    for run_id, assets in launched.items():
        check_run(matrix, run_id, assets)
    assert hashes(matrix.paths) == before
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

"""What a step repeats, what it does not, and the sentence of its failure."""

import errno
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import dagster as dg
import pytest

from urgency_dagster.calls import EmbeddingConfig
from urgency_dagster.definitions import build_definitions
from urgency_dagster.defs import steps
from urgency_dagster.defs.configuration import dagster_config
from urgency_dagster.errors import ArchiveError
from urgency_dagster.settings import Settings

PASSING = [
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ESTALE, "Stale file handle"),
    ConnectionResetError("the other side ended"),
    TimeoutError("no answer"),
]
LASTING = [
    FileNotFoundError(errno.ENOENT, "No such file", "x"),
    PermissionError(errno.EACCES, "denied"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError("a model that cannot be loaded"),
    ValueError("a bug"),
    MemoryError(),
    ArchiveError("a ZIP of one byte", "a whole ZIP", "copy it again"),
]


class Options(dg.Config):
    """The options of the test's assets."""

    size: int = 3


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats without a pause."""
    monkeypatch.setattr(steps, "RETRIES", dg.RetryPolicy(max_retries=steps.RETRIES.max_retries))


def attempts(result: dg.ExecuteInProcessResult) -> int:
    """How often the step was started."""
    return sum(event.event_type_value in ("STEP_START", "STEP_RESTARTED") for event in result.all_events)


def failing(*errors: Exception) -> tuple[dg.AssetsDefinition, list[Exception]]:
    """An asset whose attempts raise these errors, one after another, and those that are left."""
    left = list(errors)

    @steps.asset()
    def table() -> dg.MaterializeResult[Any]:
        if left:
            raise left.pop(0)
        return dg.MaterializeResult(metadata={"rows": 1})

    return table, left


def description(result: dg.ExecuteInProcessResult) -> str:
    """The sentence of the failed step."""
    (failed,) = result.get_step_failure_events()
    failure = failed.step_failure_data.user_failure_data
    assert failure is not None
    return str(failure.description)


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_pass_is_repeated(error: Exception) -> None:
    table, _ = failing(error, error)
    result = dg.materialize([table])
    assert result.success
    assert attempts(result) == 3


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_will_not_pass_fails_at_once(error: Exception) -> None:
    table, _ = failing(error)
    result = dg.materialize([table], raise_on_error=False)
    assert not result.success
    assert attempts(result) == 1
    assert str(error) in description(result)


def test_repetitions_have_an_end() -> None:
    table, left = failing(*[ConnectionResetError("again")] * 5)
    assert not dg.materialize([table], raise_on_error=False).success
    assert len(left) == 2


def test_the_sentence_of_our_error_comes_first_and_the_error_is_its_cause() -> None:
    error = ArchiveError("a ZIP of one byte", "a whole ZIP", "copy it again")
    table, _ = failing(error)
    with pytest.raises(dg.Failure) as raised:
        dg.materialize([table])
    assert raised.value.description == "a ZIP of one byte; expected a whole ZIP; to fix it, copy it again"
    assert raised.value.__cause__ is error


def test_too_little_memory_says_so_with_a_remedy() -> None:
    table, _ = failing(MemoryError("Unable to allocate 9 GB"))
    said = description(dg.materialize([table], raise_on_error=False))
    assert said.startswith("The step has not enough memory (MemoryError: Unable to allocate 9 GB); to fix it, ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "sentence"), [(0, None), (1, "A process was killed because the machine had no memory")]
)
def test_a_killed_worker_process_is_repeated(kills: int, sentence: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = iter(range(0, 100, kills or 100))
    monkeypatch.setattr(steps, "memory_kills", lambda: next(counter) if kills else 0)

    @steps.asset()
    def table() -> None:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as pool:
            pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result()

    result = dg.materialize([table], raise_on_error=False)
    assert attempts(result) == 3
    (failed,) = result.get_step_failure_events()
    failure = failed.step_failure_data.user_failure_data
    assert (failure is None) == (sentence is None)
    assert sentence is None or description(result).startswith(sentence)


def test_what_ray_lost_is_repeated() -> None:
    from ray import exceptions

    assert steps.is_passing(exceptions.WorkerCrashedError())
    assert steps.is_passing(exceptions.NodeDiedError("the node is gone"))
    assert steps.is_passing(exceptions.ObjectLostError("x", None, ""))
    assert steps.is_passing(exceptions.ActorDiedError())
    assert not steps.is_passing(exceptions.TaskCancelledError())


@pytest.mark.parametrize("stop", [KeyboardInterrupt, dg.DagsterExecutionInterruptedError])
def test_a_stopped_step_is_not_repeated(stop: type[BaseException]) -> None:
    table, _ = failing(stop())  # type: ignore[arg-type]
    result = dg.materialize([table], raise_on_error=False)
    assert attempts(result) == 1
    assert description(result) == "The step was stopped with its run."


def test_bodies_keep_partitions_options_resources_and_both_ways_to_return() -> None:
    parts = dg.StaticPartitionsDefinition(["a", "b"])

    @steps.asset(partitions_def=parts, check_specs=[dg.AssetCheckSpec("sound", asset="yielding")])
    def yielding(context: dg.AssetExecutionContext, config: Options, root: dg.ResourceParam[str]) -> Iterator[Any]:
        """What the page says."""
        metadata = {"partition": context.partition_key, "size": config.size, "root": root}
        yield dg.MaterializeResult(
            metadata=metadata, check_results=[dg.AssetCheckResult(check_name="sound", passed=True)]
        )

    @steps.asset(partitions_def=parts, deps=[yielding])
    def returning(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(metadata={"partition": context.partition_key})

    @steps.multi_asset(specs=[dg.AssetSpec(name, skippable=True) for name in "xyz"], can_subset=True)
    def several(context: dg.AssetExecutionContext) -> Iterator[Any]:
        for key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key)

    assert yielding.descriptions_by_key[yielding.key] == "What the page says."
    result = dg.materialize(
        [yielding, returning],
        partition_key="b",
        resources={"root": "folder"},
        run_config={"ops": {"yielding": {"config": {"size": 5}}}},
    )
    made = {event.step_key: event.materialization.metadata for event in result.get_asset_materialization_events()}
    values = {key: {name: value.value for name, value in metadata.items()} for key, metadata in made.items()}
    assert values == {"yielding": {"partition": "b", "size": 5, "root": "folder"}, "returning": {"partition": "b"}}
    assert dg.materialize([several], selection=["x", "z"]).success


def test_a_yielding_body_passes_on_its_blocked_check() -> None:
    @steps.asset()
    def table() -> Iterator[Any]:
        yield dg.MaterializeResult()
        raise dg.Failure("blocked", allow_retries=False)

    result = dg.materialize([table], raise_on_error=False)
    assert len(result.get_asset_materialization_events()) == 1
    assert description(result) == "blocked"


def test_options_out_of_bounds_are_not_repeated() -> None:
    class Bounded(dagster_config(EmbeddingConfig)):  # type: ignore[misc]
        """Options with bounds."""

    @steps.asset()
    def table(config: Bounded) -> None:
        """Never reached."""

    run_config = {"ops": {"table": {"config": {"audio_tokens": 0}}}}
    result = dg.materialize([table], run_config=run_config, raise_on_error=False)
    assert attempts(result) == 1
    assert "greater than or equal to 1" in description(result)


def test_every_step_of_the_code_location_is_repeated(settings: Settings) -> None:
    assets = [item for item in build_definitions(settings).assets or () if isinstance(item, dg.AssetsDefinition)]
    unpolicied = [item.op.name for item in assets if item.is_executable and item.op.retry_policy is None]
    assert unpolicied == []

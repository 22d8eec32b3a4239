"""Models come, change and go in storage while requests ask them."""

import asyncio
import gc
import shutil
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from urgency_dagster.attention import MODEL_NAMES
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.serving import ServingConfig, served_models
from urgency_dagster.serving.probing import blank_vectors
from urgency_dagster.serving.served_models import ModelState, ServedModels
from urgency_dagster.serving.served_urgency import ServedUrgency
from urgency_dagster.urgency.package.model_folder import WEIGHTS
from urgency_dagster.writing import file_hash, replacing_folder
from urgency_dagster_tests.serving.conftest import ServedRoot
from urgency_dagster_tests.serving.own_root import config, own_root

__all__ = ["config", "own_root"]

OVERLAPPING = 40


@pytest.fixture(autouse=True)
def no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests look themselves."""
    monkeypatch.setattr(served_models, "LOOK_INTERVAL_S", 3600.0)


def retrain(folder: Path, *, shift: float) -> str:
    """Replaces a model folder, as the training does, by one with other weights; returns their hash."""
    with replacing_folder(folder) as temporary:
        shutil.copytree(folder, temporary, dirs_exist_ok=True)
        weights = {name: values + np.float32(shift) for name, values in load_file(folder / WEIGHTS).items()}
        save_file(weights, temporary / WEIGHTS, metadata={"format": "pt"})
    return file_hash(folder / WEIGHTS)


def answering(models: ServedModels) -> str:
    with models.urgency() as served:
        return served.predictor.provenance.weights_sha256


async def look_twice(models: ServedModels) -> None:
    await models.look()
    await models.look()


def state_of(models: ServedModels, name: str) -> ModelState:
    return next(state for state in models.states() if state.name == name)


async def urgency_of(served: ServedUrgency) -> list[float]:
    """The logits of an empty text."""
    logits = await served.logits([""], blank_vectors(served.predictor))
    values: list[float] = logits.urgency[0].tolist()
    return values


def test_a_new_model_is_taken_up_between_requests(config: ServingConfig, own_root: StoragePaths) -> None:
    async def scenario() -> None:
        async with ServedModels(config) as models:
            with models.urgency() as former:
                before = await urgency_of(former)
                sha256 = retrain(own_root.urgency.model, shift=0.05)
                await look_twice(models)
                assert answering(models) == sha256
                assert await urgency_of(former) == before
                with models.urgency() as served:
                    assert await urgency_of(served) != before

    asyncio.run(scenario())


def test_no_request_is_dropped_and_none_is_answered_by_two_models(
    config: ServingConfig, own_root: StoragePaths
) -> None:
    """Requests run through three changes of the model. Each answer is that of the model that it names."""

    async def ask(models: ServedModels) -> tuple[str, tuple[float, ...]]:
        with models.urgency() as served:
            await asyncio.sleep(0)
            values = await urgency_of(served)
            return served.predictor.provenance.weights_sha256, tuple(values)

    async def scenario() -> dict[str, set[tuple[float, ...]]]:
        answers: dict[str, set[tuple[float, ...]]] = {}
        async with ServedModels(config) as models:
            for shift in (0.02, 0.03, 0.04):
                retrain(own_root.urgency.model, shift=shift)
                looking = asyncio.create_task(look_twice(models))
                while not looking.done():
                    for sha256, values in await asyncio.gather(*(ask(models) for _ in range(OVERLAPPING))):
                        answers.setdefault(sha256, set()).add(values)
                await looking
            sha256, values = await ask(models)
            answers.setdefault(sha256, set()).add(values)
        return answers

    answers = asyncio.run(scenario())
    assert len(answers) == 4
    for values in answers.values():
        np.testing.assert_allclose(np.array(sorted(values)), np.array([min(values)] * len(values)), atol=1e-5)


def test_the_memory_of_a_former_model_returns_when_its_last_request_ends(
    config: ServingConfig, own_root: StoragePaths
) -> None:
    async def scenario() -> None:
        async with ServedModels(config) as models:
            with models.urgency() as served:
                network = weakref.ref(served.predictor.model.network)
                del served
                retrain(own_root.urgency.model, shift=0.05)
                await look_twice(models)
                gc.collect()
                assert network() is not None
            gc.collect()
            assert network() is None

    asyncio.run(scenario())


def delete(folder: Path) -> None:
    shutil.rmtree(folder)


def truncate(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


def write_half(folder: Path) -> None:
    shutil.rmtree(folder / "text_encoder")


def spoil(folder: Path) -> None:
    """Weights that give numbers which are not finite."""
    retrain(folder, shift=float("nan"))


@pytest.mark.parametrize("damage", [delete, truncate, write_half, spoil])
def test_a_damaged_folder_leaves_the_former_model_answering(
    config: ServingConfig, own_root: StoragePaths, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = own_root.urgency.model
    shutil.copytree(folder, tmp_path / "copy")

    async def scenario() -> None:
        async with ServedModels(config) as models:
            before = answering(models)
            with models.urgency() as served:
                expected = await urgency_of(served)
                damage(folder)
                await look_twice(models)
                assert await urgency_of(served) == expected
            assert answering(models) == before
            (state,) = models.states()
            assert (state.sha256, state.loads) == (before, 1)
            assert state.error
            assert await models.probe() == {"urgency": None}
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(tmp_path / "copy", folder)
            await look_twice(models)
            assert models.states()[0].error is None

    asyncio.run(scenario())


def test_a_server_without_models_is_not_ready_and_takes_them_up_when_they_come(
    config: ServingConfig, own_root: StoragePaths, tmp_path: Path, served_root: ServedRoot
) -> None:
    own_root.urgency.model.rename(tmp_path / "model")

    async def scenario() -> None:
        async with ServedModels(config) as models:
            assert await models.probe() == {}
            with pytest.raises(ArtefactError), models.urgency():
                pass
            with models.attention() as by_name:
                assert by_name == {}
            shutil.copytree(served_root.paths.attention.models_folder, own_root.attention.models_folder)
            await look_twice(models)
            attention = {f"attention/{name}": None for name in MODEL_NAMES}
            assert await models.probe() == attention
            shutil.copytree(tmp_path / "model", own_root.urgency.model)
            await look_twice(models)
            assert await models.probe() == {"urgency": None} | attention

    asyncio.run(scenario())


def test_an_attention_model_that_does_not_match_its_card_leaves_the_others_alone(
    config: ServingConfig, own_root: StoragePaths, served_root: ServedRoot
) -> None:
    shutil.copytree(served_root.paths.attention.models_folder, own_root.attention.models_folder)
    file = own_root.attention.models_folder / "logreg.pkl"

    async def scenario() -> None:
        async with ServedModels(config) as models:
            before = state_of(models, "attention/logreg")
            file.write_bytes(file.read_bytes() + b"more")
            await look_twice(models)
            state = state_of(models, "attention/logreg")
            assert state.sha256 == before.sha256
            assert [other.name for other in models.states() if other.error] == ["attention/logreg"]
            assert state.error is not None
            assert "does not match the hash" in state.error
            with models.attention() as by_name:
                assert sorted(by_name) == sorted(MODEL_NAMES)

    asyncio.run(scenario())


def test_the_watch_finds_a_new_model(
    config: ServingConfig, own_root: StoragePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_models, "LOOK_INTERVAL_S", 0.01)

    async def scenario() -> None:
        async with ServedModels(config) as models:
            sha256 = retrain(own_root.urgency.model, shift=0.05)
            while answering(models) != sha256:  # noqa: ASYNC110 - the watch has no event for the tests
                await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_a_probe_tells_which_model_fails(config: ServingConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with ServedModels(config) as models:
            with models.urgency() as served:
                monkeypatch.setattr(served._batcher, "_compute", lambda texts, vectors: 1 / 0)
            assert await models.probe() == {"urgency": "ZeroDivisionError"}

    asyncio.run(scenario())


def test_probes_that_come_together_are_one_question(config: ServingConfig) -> None:
    async def scenario() -> None:
        async with ServedModels(config) as models:
            answers = await asyncio.gather(*(models.probe() for _ in range(50)))
            assert answers == [{"urgency": None}] * 50
            assert models.tally.forward_passes == {1: 1}

    asyncio.run(scenario())


def test_the_speech_model_is_computed_by_the_engine_of_the_configuration(config: ServingConfig) -> None:
    async def scenario() -> str:
        async with ServedModels(replace(config, speech_engine="auto")) as models:
            with models.urgency() as served:
                return served.predictor.listener.encoder.encoder.engine

    assert asyncio.run(scenario()) == "openvino"

"""The models of a storage root that answer now."""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from urgency_dagster import attention
from urgency_dagster.errors import ArtefactError, UrgencyError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import load_predictor
from urgency_dagster.serving.configuration import ServingConfig
from urgency_dagster.serving.model_slot import ModelSlot, files_below
from urgency_dagster.serving.probing import ask_zeros, hear_noise
from urgency_dagster.serving.recent_answer import RecentAnswer
from urgency_dagster.serving.served_urgency import ServedUrgency, UrgencyWorkers
from urgency_dagster.serving.tally import Tally
from urgency_dagster.settings import Settings

LOOK_INTERVAL_S = 1.0
"""Seconds between two looks at the storage."""

PROBE_KEPT_S = 1.0
"""Seconds for which a probe holds. Nobody needs a token to ask for one, and it takes work."""

URGENCY = "urgency"
"""The name of the urgency model among the models that are served."""


@dataclass(frozen=True)
class ModelState:
    """One model of the storage root.

    Attributes:
        name: `urgency`, or `attention/<model>`.
        sha256: SHA-256 of the weights or of the file of the model that answers; None if none does.
        data_sha256: SHA-256 of the data that it was trained on; None if none answers.
        loads: number of models that were taken up here since the start.
        error: why what lies in storage now does not answer; None if it does. A former model may go on answering.
    """

    name: str
    sha256: str | None
    data_sha256: str | None
    loads: int
    error: str | None = None


class ServedModels:
    """Lends the models of a storage root to requests, and takes up new ones that come into it.

    A lent model stays as it is until it is given back, whatever happens in storage. Memory of a former model returns
    when the last request gives it back. Use it as an asynchronous context manager.

    Attributes:
        paths: the storage root.
        workers: the threads of the urgency models.
        tally: counts what is scored.

    Args:
        config: the storage root and the limits.
    """

    def __init__(self, config: ServingConfig) -> None:
        self._config = config
        self.paths = StoragePaths(Settings.load(config.storage).storage)
        self.workers, self.tally = UrgencyWorkers(config.limits), Tally()
        self._urgency = ModelSlot(URGENCY, self._urgency_files, self._load_urgency)
        self._attention: dict[str, ModelSlot[attention.Predictor]] = {}
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._watch: asyncio.Task[None] | None = None
        self._probes = RecentAnswer(self._probe, PROBE_KEPT_S)

    async def __aenter__(self) -> Self:
        """Loads what lies in storage, and begins to watch it."""
        await self.look()
        self._watch = asyncio.create_task(self._look_for_ever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the watch and the threads."""
        if self._watch:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        self._loader.shutdown(wait=False, cancel_futures=True)
        self.workers.close()

    async def look(self) -> None:
        """Looks at the storage once, and takes up what is new. Requests go on meanwhile.

        A change is taken up at the second look that finds it, see `ModelSlot`.
        """
        if await asyncio.get_running_loop().run_in_executor(self._loader, self._look):
            self._probes.forget()

    @contextmanager
    def urgency(self) -> Iterator[ServedUrgency]:
        """Lends the urgency model of now.

        Raises:
            ArtefactError: there is none.
        """
        model = self._urgency.model
        if model is None:
            raise ArtefactError("no urgency model answers", "a model in `urgency/model`", "run the pipeline")
        yield model

    @contextmanager
    def attention(self) -> Iterator[Mapping[str, attention.Predictor]]:
        """Lends the attention models of now, by name."""
        yield {name: slot.model for name, slot in sorted(self._attention.items()) if slot.model}

    def states(self) -> Sequence[ModelState]:
        """The models of the storage root, the urgency model first."""
        return [_urgency_state(self._urgency), *(_attention_state(slot) for _, slot in sorted(self._attention.items()))]

    async def probe(self) -> Mapping[str, str | None]:
        """Asks every model that answers a synthetic question. The answer of the last second is given again.

        Returns:
            By name of the model, why it does not answer; None if it does. Empty if there is no model.
        """
        return await self._probes.get()

    async def _probe(self) -> Mapping[str, str | None]:
        answers: dict[str, str | None] = {}
        with suppress(ArtefactError), self.urgency() as served:
            answers[URGENCY] = await _reason(served.probe())
        with self.attention() as by_name:
            for name, predictor in by_name.items():
                answers[f"attention/{name}"] = await _reason(asyncio.to_thread(ask_zeros, predictor))
        return answers

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            await self.look()

    def _look(self) -> bool:
        """Whether another model answers than before."""
        changed = [self._urgency.look()]
        for file in files_below(self.paths.attention.models_folder):
            if file.suffix == ".pkl":
                self._attention.setdefault(file.stem, _attention_slot(file))
        changed += [slot.look() for slot in list(self._attention.values())]
        return any(changed)

    def _urgency_files(self) -> list[Path]:
        """The files of the model folder, and what was measured of the model without labels."""
        urgency = self.paths.urgency
        return [*files_below(urgency.model), *files_below(urgency.label_free_gap)]

    def _load_urgency(self) -> ServedUrgency:
        predictor = replace(load_predictor(self.paths.root), speech_engine=self._config.speech_engine)
        hear_noise(predictor)
        return ServedUrgency(predictor, self.workers, self.tally)


def _attention_slot(file: Path) -> ModelSlot[attention.Predictor]:
    files = [file, file.with_suffix(".json")]
    return ModelSlot(f"attention/{file.stem}", lambda: files, partial(_load_attention, file))


def _load_attention(file: Path) -> attention.Predictor:
    predictor = attention.load_model(file)
    ask_zeros(predictor)
    return predictor


def _urgency_state(slot: ModelSlot[ServedUrgency]) -> ModelState:
    if slot.model is None:
        return ModelState(slot.name, None, None, slot.loads, slot.error)
    provenance = slot.model.predictor.provenance
    return ModelState(slot.name, provenance.weights_sha256, provenance.data_sha256, slot.loads, slot.error)


def _attention_state(slot: ModelSlot[attention.Predictor]) -> ModelState:
    if slot.model is None:
        return ModelState(slot.name, None, None, slot.loads, slot.error)
    provenance = slot.model.provenance
    return ModelState(slot.name, provenance.model_sha256, provenance.data_sha256, slot.loads, slot.error)


async def _reason(answer: Awaitable[None]) -> str | None:
    """Why a model does not answer; None if it does."""
    try:
        await answer
    except UrgencyError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a model that fails in any way does not answer
        return type(error).__name__
    return None

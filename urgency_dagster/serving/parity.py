"""Whether the server answers what the evaluation says: validation calls are sent through its routes.

The application runs in this process, without a socket. Its routes, limits, workers and batches are those of `serve`.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from urgency_dagster.errors import ArtefactError, MissingExtraError
from urgency_dagster.extras import require_extra
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import LabelledCall, labelled_calls, max_difference
from urgency_dagster.serving.configuration import ServingConfig
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster.urgency import TASKS, Predictor, TaskLogits, mean_by_call, read_held_out_calls

if TYPE_CHECKING:
    from httpx2 import AsyncClient
    from numpy.typing import NDArray

SAMPLE_CALLS = 16
"""Default number of calls that are sent."""

ADDRESS = "http://127.0.0.1"
"""The address that the requests name. The server answers only those that name this machine."""

WHOLLY_DIFFERENT = 1.0
"""The difference of an answer without the probabilities of a call. Probabilities differ by at most 1."""


@dataclass(frozen=True)
class Parity:
    """What the server answered to validation calls, beside their evaluation.

    Attributes:
        asked: number of calls that were chosen.
        calls: number of calls with an answer.
        refused: number of calls that the server refused.
        absent: number of calls whose recording is not on disk.
        max_difference: largest difference of a probability, by utterance and by call; None without an answer.
        limit: maximum difference.
        not_measured: why nothing was sent; empty if something was.
    """

    asked: int = 0
    calls: int = 0
    refused: int = 0
    absent: int = 0
    max_difference: float | None = None
    limit: float | None = None
    not_measured: str = ""

    @property
    def passed(self) -> bool:
        """Whether no answer differs, and no call was refused. True if nothing could be sent."""
        close = self.max_difference is None or self.limit is None or self.max_difference <= self.limit
        return close and not self.refused


def measure_parity(storage: Path, calls: int = SAMPLE_CALLS) -> Parity:
    """Sends validation calls with the turns of their labels to the server, and compares with `predictions.parquet`.

    The calls are spread evenly over the validation side. One recording is in memory at a time.

    Args:
        storage: the storage root, with its model, its evaluation and the recordings.
        calls: number of calls to send, at most.
    """
    paths = StoragePaths(storage)
    try:
        require_extra("serve")
        rows = _spread(read_held_out_calls(paths).validation, calls)
        return asyncio.run(_compared(paths, rows))
    except (ArtefactError, MissingExtraError) as error:
        return Parity(not_measured=str(error))


def _spread(rows: pa.Table, calls: int) -> pa.Table:
    """The rows of some calls, evenly spread over the table."""
    names = pc.unique(rows["_id"]).to_pylist()
    places = np.unique(np.linspace(0, len(names) - 1, min(calls, len(names))).astype(int))
    return rows.filter(pc.is_in(rows["_id"], pa.array([names[place] for place in places])))


async def _compared(paths: StoragePaths, rows: pa.Table) -> Parity:
    from httpx2 import ASGITransport, AsyncClient

    from urgency_dagster.serving.application import create_app

    app = create_app(ServingConfig(paths.root))
    chosen = list(labelled_calls(paths, rows))
    present = [call for call in chosen if call.recording.is_file()]
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app=app), base_url=ADDRESS, timeout=None) as client,
    ):
        (state, *_) = app.state.models.states()
        if state.sha256 is None:
            return Parity(asked=len(chosen), not_measured=f"the server has no urgency model: {state.error}")
        with app.state.models.urgency() as served:
            found = [await _difference(client, served.predictor, call) for call in present]
    differences = [difference for difference in found if difference is not None]
    return Parity(
        asked=len(chosen),
        calls=len(differences),
        refused=len(found) - len(differences),
        absent=len(chosen) - len(present),
        max_difference=max(differences, default=None),
        limit=max_difference(paths, pc.unique(rows["archive"]).to_pylist()),
        not_measured="" if present else "no recording of these calls is on disk",
    )


async def _difference(client: "AsyncClient", predictor: Predictor, call: LabelledCall) -> float | None:
    """The largest difference of a probability of a call and its utterances; None if the server refuses the call."""
    turns = [{"start_ms": turn.start_ms, "end_ms": turn.end_ms, "text": turn.text} for turn in call.utterances]
    with call.recording.open("rb") as recording:
        files: dict[str, tuple[str | None, BinaryIO | str]] = {
            "audio": ("recording.wav", recording),
            "turns": (None, json.dumps(turns)),
        }
        answer = await client.post("/v1/calls", files=files)
    if answer.status_code != 200:
        return None
    answered = answer.json()
    if len(answered["utterances"]) != len(turns):
        return WHOLLY_DIFFERENT
    differences = [
        np.abs(np.subtract(ours, theirs)).max()
        for ours, theirs in zip(_answered(predictor, answered), _stored(predictor, call), strict=True)
    ]
    return float(max(differences))


def _answered(predictor: Predictor, answer: dict[str, Any]) -> "Iterator[NDArray[np.float64]]":
    """By task, the probabilities (N, K) of the utterances and (1, K) of the call, in the order of the class ids."""
    for task in predictor.model.labels.tasks:
        names = getattr(predictor.model.labels, task)
        for entries in (answer["utterances"], [answer]):
            yield np.array([[entry[task]["probabilities"][name] for name in names] for entry in entries])


def _stored(predictor: Predictor, call: LabelledCall) -> "Iterator[NDArray[np.float64]]":
    """The same of the evaluation."""
    model = predictor.model
    logits = TaskLogits(*(np.array(call.stored[task], np.float32) for task in TASKS))
    of_call = mean_by_call(logits, np.zeros(len(call.utterances), np.int64))
    for task in model.labels.tasks:
        for level, of_level in (("utterance", logits), ("call", of_call)):
            yield probabilities(getattr(of_level, task), model.temperatures[level][task])

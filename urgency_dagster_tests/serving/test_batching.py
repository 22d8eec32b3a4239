"""The micro-batcher: what it joins, what it leaves apart, and who suffers from whom."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from urgency_dagster.serving.batching import MicroBatcher
from urgency_dagster.urgency import TaskLogits

SIZE = 8


class Network:
    """Computes logits that tell whose they are, one batch at a time, as soon as its gate is open."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.started = threading.Event()

    def compute(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> TaskLogits:
        self.batches.append(list(texts))
        self.started.set()
        self.gate.wait()
        if "bad" in texts:
            raise RuntimeError("no memory")
        of_texts = np.array([[len(text), vector.sum()] for text, vector in zip(texts, vectors, strict=True)], "f4")
        return TaskLogits(of_texts, of_texts[:, :1])


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def uncounted(utterances: int) -> None:
    """Ignores a forward pass."""


def vectors(count: int) -> NDArray[np.float32]:
    return np.arange(count, dtype=np.float32).reshape(count, 1, 1)


async def ask(batcher: MicroBatcher, *texts: str) -> TaskLogits:
    return await batcher.logits(texts, vectors(len(texts)))


async def begun(network: Network) -> None:
    """Returns when the network has begun to compute."""
    await asyncio.to_thread(network.started.wait)


async def queued(batcher: MicroBatcher, utterances: int) -> None:
    """Returns when so many utterances wait."""
    while batcher.waiting < utterances:  # noqa: ASYNC110 - the batcher has no event for the tests
        await asyncio.sleep(0)


def test_a_lone_request_does_not_wait(network: Network, thread: ThreadPoolExecutor) -> None:
    network.gate.set()
    batcher = MicroBatcher(network.compute, thread, SIZE, uncounted)
    asyncio.run(ask(batcher, "alone"))
    assert network.batches == [["alone"]]


def test_requests_that_come_during_a_batch_share_the_next(network: Network, thread: ThreadPoolExecutor) -> None:
    async def scenario() -> list[TaskLogits]:
        batcher = MicroBatcher(network.compute, thread, SIZE, uncounted)
        first = asyncio.create_task(ask(batcher, "first"))
        await begun(network)
        others = [asyncio.create_task(ask(batcher, "a" * number, "b")) for number in range(1, 4)]
        await queued(batcher, 6)
        network.gate.set()
        return await asyncio.gather(first, *others)

    answers = asyncio.run(scenario())
    assert network.batches == [["first"], ["a", "b", "aa", "b", "aaa", "b"]]
    assert [answer.urgency[0, 0] for answer in answers] == [5, 1, 2, 3]
    assert [answer.urgency[:, 1].tolist() for answer in answers[1:]] == [[0, 1]] * 3
    assert [answer.sentiment.shape for answer in answers] == [(1, 1), (2, 1), (2, 1), (2, 1)]


def test_a_short_request_comes_between_the_pieces_of_a_long_one(network: Network, thread: ThreadPoolExecutor) -> None:
    async def scenario() -> None:
        batcher = MicroBatcher(network.compute, thread, SIZE, uncounted)
        long = asyncio.create_task(ask(batcher, *["long"] * (3 * SIZE)))
        await begun(network)
        short = asyncio.create_task(ask(batcher, "short"))
        await queued(batcher, 1)
        network.gate.set()
        await asyncio.gather(long, short)

    asyncio.run(scenario())
    assert [batch.count("short") for batch in network.batches] == [0, 1, 0, 0]
    assert max(len(batch) for batch in network.batches) <= SIZE


def test_a_cancelled_request_does_not_harm_its_batch(network: Network, thread: ThreadPoolExecutor) -> None:
    async def scenario() -> TaskLogits:
        batcher = MicroBatcher(network.compute, thread, SIZE, uncounted)
        computed = asyncio.create_task(ask(batcher, "computed"))
        await begun(network)
        dropped, kept = (asyncio.create_task(ask(batcher, text)) for text in ("dropped", "kept"))
        await queued(batcher, 2)
        computed.cancel()
        dropped.cancel()
        await asyncio.wait([computed, dropped])
        network.gate.set()
        return await kept

    assert asyncio.run(scenario()).urgency.tolist() == [[4, 0]]
    assert network.batches == [["computed"], ["kept"]]


def test_an_error_reaches_its_batch_and_no_other(network: Network, thread: ThreadPoolExecutor) -> None:
    async def scenario() -> TaskLogits:
        batcher = MicroBatcher(network.compute, thread, SIZE, uncounted)
        bad = asyncio.create_task(ask(batcher, "bad"))
        await begun(network)
        good = asyncio.create_task(ask(batcher, "good"))
        await queued(batcher, 1)
        network.gate.set()
        with pytest.raises(RuntimeError, match="no memory"):
            await bad
        return await good

    assert asyncio.run(scenario()).urgency.tolist() == [[4, 0]]


@given(lengths=st.lists(st.integers(1, 3 * SIZE), min_size=1, max_size=12))
def test_every_request_gets_its_own_rows(lengths: list[int]) -> None:
    network = Network()
    network.gate.set()

    async def scenario(thread: ThreadPoolExecutor) -> list[TaskLogits]:
        batcher = MicroBatcher(network.compute, thread, SIZE, uncounted)
        return await asyncio.gather(*(ask(batcher, *["x" * length] * length) for length in lengths))

    with ThreadPoolExecutor(1) as thread:
        answers = asyncio.run(scenario(thread))
    for length, answer in zip(lengths, answers, strict=True):
        assert answer.urgency.tolist() == [[length, row] for row in range(length)]
    assert sum(map(len, network.batches)) == sum(lengths)

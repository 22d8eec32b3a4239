"""A queue of audio and messages: in order, joined, bounded, and never stuck with a remainder."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.serving.problems import Problem
from urgency_dagster.serving.stream.inbox import MAX_ITEMS, MAX_STEP_S, Inbox, Order
from urgency_dagster.serving.stream.messages import Commit, Finish, TurnMessage

RATE = 8000
COMMIT = Commit(type="commit")
FINISH = Finish(type="finish")

Item = bytes | Order


def taken(items: list[Item]) -> list[Item]:
    async def take() -> list[Item]:
        inbox = Inbox(RATE, 600)
        for item in (*items, FINISH):
            inbox.put(item)
        found = [await inbox.get()]
        while found[-1] is not FINISH:
            found.append(await inbox.get())
        assert inbox.queued_ms == 0
        return found[:-1]

    return asyncio.run(take())


@given(st.lists(st.binary(min_size=1, max_size=3000) | st.just(COMMIT), max_size=40))
def test_everything_comes_out_in_order_and_neighbouring_audio_is_joined(items: list[Item]) -> None:
    found = taken(items)
    assert b"".join(item for item in found if isinstance(item, bytes)) == b"".join(
        item for item in items if isinstance(item, bytes)
    )
    assert found.count(COMMIT) == items.count(COMMIT)
    if COMMIT in items:
        before = items[: items.index(COMMIT)]
        assert b"".join(found[: found.index(COMMIT)]) == b"".join(before)  # type: ignore[arg-type]


def test_audio_that_is_worked_on_together_is_bounded() -> None:
    pieces = [item for item in taken([bytes(RATE)] * 40) if isinstance(item, bytes)]
    assert max(map(len, pieces)) <= MAX_STEP_S * RATE * 2
    assert len(pieces) == 5


def test_a_little_audio_is_worked_on_although_nothing_follows() -> None:
    async def take() -> Item:
        inbox = Inbox(RATE, 600)
        inbox.put(b"ab")
        return await inbox.get()

    assert asyncio.run(take()) == b"ab"


def test_it_is_bounded_by_audio_and_text() -> None:
    async def fill() -> None:
        inbox = Inbox(RATE, 1)
        inbox.put(bytes(12_000))
        assert (inbox.queued_ms, inbox.audio_bytes) == (750, 12_000)
        with pytest.raises(Problem) as refused:
            inbox.put(bytes(4002))
        assert "1 s of audio wait" in refused.value.detail
        with pytest.raises(Problem):
            inbox.put(TurnMessage(type="turn", start_ms=0, end_ms=900, text="가" * 1400))
        inbox.put(bytes(4000))
        assert inbox.audio_bytes == 16_000

    asyncio.run(fill())


@pytest.mark.parametrize("item", [COMMIT, b"ab"])
def test_it_is_bounded_by_the_number_of_messages(item: Item) -> None:
    async def fill() -> None:
        inbox = Inbox(RATE, 600)
        for _ in range(MAX_ITEMS):
            inbox.put(item)
        with pytest.raises(Problem) as refused:
            inbox.put(item)
        assert refused.value.status == 429
        assert "messages wait" in refused.value.detail
        await inbox.get()
        inbox.put(item)

    asyncio.run(fill())

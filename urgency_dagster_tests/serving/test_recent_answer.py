"""A question that many ask at once is asked once, and again after a while."""

import asyncio

import pytest

from urgency_dagster.serving.recent_answer import RecentAnswer


class Question:
    """Counts how often it is asked. It is answered when `go_on` is set."""

    def __init__(self) -> None:
        self.asked, self.go_on, self.now_s = 0, asyncio.Event(), 0.0

    async def ask(self) -> int:
        self.asked += 1
        await self.go_on.wait()
        if self.asked == 3:
            raise ZeroDivisionError
        return self.asked

    def recent(self) -> RecentAnswer[int]:
        return RecentAnswer(self.ask, 1.0, lambda: self.now_s)


def test_many_share_one_answer_and_whoever_gives_up_leaves_it_to_the_others() -> None:
    async def scenario() -> None:
        question = Question()
        recent = question.recent()
        first, *others = [asyncio.create_task(recent.get()) for _ in range(5)]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        question.go_on.set()
        assert [await other for other in others] == [1] * 4
        assert first.cancelled()

    asyncio.run(scenario())


def test_it_is_asked_again_when_the_answer_is_old_or_forgotten() -> None:
    async def scenario() -> None:
        question = Question()
        question.go_on.set()
        recent = question.recent()
        assert [await recent.get(), await recent.get()] == [1, 1]
        question.now_s = 0.9
        assert await recent.get() == 1
        question.now_s = 1.0
        assert await recent.get() == 2
        recent.forget()
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):  # an error is kept too
                await recent.get()
        assert question.asked == 3

    asyncio.run(scenario())

"""A connection that is lost anywhere costs nothing: the same events as without the loss."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.websockets import WebSocketDisconnect

from urgency_dagster.listening import Turn
from urgency_dagster.serving import StreamLimits, stream_call
from urgency_dagster_tests.serving.conftest import ServedRoot
from urgency_dagster_tests.serving.stream.conftest import (
    Event,
    connected,
    of_kind,
    pieces,
    received,
    sent_call,
    small_client,
    until,
)
from urgency_dagster_tests.serving.stream.cutting_proxy import cutting_proxy

if TYPE_CHECKING:
    from numpy.typing import NDArray

TURNS = [Turn(700, 2700, "여기", "0"), Turn(3600, 6000, "집", "1"), Turn(12_000, 13_500, "앞", "0")]


def scores(events: list[Event]) -> list[Event]:
    """The scores of the utterances, and the last one of the call."""
    kept = [*of_kind(events, "utterance.scored"), of_kind(events, "call.scored")[-1], events[-1]]
    return [{name: value for name, value in event.items() if name != "sequence"} for event in kept]


def streamed(url: str, audio: Any, turns: list[Turn] | None, cuts: list[int]) -> tuple[list[Event], int]:
    """The events of a call whose connections are cut, and how often they were."""

    async def stream() -> tuple[list[Event], int]:
        async with cutting_proxy(url, cuts) as (address, happened):
            events = [event async for event in stream_call(address, audio, turns)]
            return events, len(happened)

    return asyncio.run(stream())


@pytest.mark.parametrize("turns", [None, TURNS])
def test_the_client_goes_on_wherever_the_connection_is_cut(
    stream_url: str, speech: "NDArray[np.int16]", turns: list[Turn] | None
) -> None:
    whole, _ = streamed(stream_url, (speech, 16_000), turns, [])
    rng = np.random.default_rng(0)
    # The first connection is not cut before its session has an id. Each of the others may be cut at any byte.
    cuts = [int(rng.integers(60_000, 150_000)), *map(int, rng.integers(250, 120_000, 4))]
    events, happened = streamed(stream_url, (speech, 16_000), turns, cuts)
    assert happened >= 4
    assert len(of_kind(events, "session.resumed")) >= 3
    for ours, theirs in zip(scores(events), scores(whole), strict=True):
        tasks = [task for task in ("urgency", "sentiment") if task in theirs]
        for task in tasks:  # utterances can be computed in other batches
            assert ours.pop(task)["probabilities"] == pytest.approx(theirs.pop(task)["probabilities"], abs=1e-5)
        assert ours == theirs
    numbers = [event["sequence"] for event in events if event["type"] != "session.resumed"]
    assert numbers == list(range(1, len(numbers) + 1))


@given(cut=st.integers(0, 140), seen=st.integers(1, 30))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_server_says_from_which_byte_to_go_on_and_repeats_events(
    client: TestClient, speech: "NDArray[np.int16]", cut: int, seen: int
) -> None:
    sent = list(pieces(speech, 1600))
    with connected(client) as socket:
        first = [received(socket)]
        for piece in sent[:cut]:
            socket.send_bytes(piece)
    resume = {"session": first[0]["session"], "sequence": 1}
    with connected(client, resume=resume) as socket:
        resumed = received(socket)
        assert (resumed["audio_bytes"], resumed["messages"]) == (sum(map(len, sent[:cut])), 0)
        for piece in sent[cut:]:
            socket.send_bytes(piece)
        socket.send_json({"type": "finish"})
        events = first + until(socket, "session.finished")
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    seen = min(seen, len(events))
    with connected(client, resume=resume | {"sequence": seen}) as socket:  # the session has ended
        assert received(socket)["sequence"] == seen
        again = until(socket, "session.finished") if seen < len(events) else []
    assert again == events[seen:]
    assert scores(events)[-1] == scores(sent_call(client, speech, 1600))[-1]


def test_another_connection_takes_the_session_over(client: TestClient, speech: "NDArray[np.int16]") -> None:
    with connected(client) as former:
        created = received(former)
        with connected(client, resume={"session": created["session"], "sequence": 1}) as socket:
            assert received(socket)["type"] == "session.resumed"
            assert received(former)["problem"]["type"].endswith("taken-over")
            with pytest.raises(WebSocketDisconnect):
                former.receive_text()
            for piece in pieces(speech, 16_000):
                socket.send_bytes(piece)
            assert until(socket, "call.scored")[-1]["utterances"] >= 1


@pytest.mark.parametrize("changed", [{"sample_rate": 8000}, {"listening": "turns"}, {"text": True}])
def test_a_session_goes_on_with_its_options_only(client: TestClient, changed: Any) -> None:
    with connected(client) as socket:
        created = received(socket)
    resume = {"session": created["session"], "sequence": 1}
    with connected(client, resume=resume, **changed) as socket:
        assert received(socket)["problem"]["type"].endswith("invalid-request")
    with connected(client, resume=resume) as socket:
        assert received(socket)["type"] == "session.resumed"


def test_events_that_are_no_longer_kept_cannot_be_repeated(
    served_root: ServedRoot, speech: "NDArray[np.int16]"
) -> None:
    with small_client(served_root, stream=StreamLimits(event_bytes=600)) as client:
        with connected(client) as socket:
            created = received(socket)
            for _ in range(20):
                socket.send_text("?")
            last = [received(socket) for _ in range(20)][-1]
        for sequence, is_kept in ((1, False), (last["sequence"], True), (10**6, False)):
            with connected(client, resume={"session": created["session"], "sequence": sequence}) as socket:
                assert received(socket)["type"] == "session.resumed"
                if not is_kept:
                    assert received(socket)["problem"]["type"].endswith("events-lost")


def test_a_session_is_kept_for_a_while_only(served_root: ServedRoot) -> None:
    with small_client(served_root, stream=StreamLimits(resume_s=0)) as client:
        with connected(client) as socket:
            resume = {"session": received(socket)["session"], "sequence": 1}
        while client.app.state.sessions._kept:  # type: ignore[attr-defined]
            time.sleep(0.01)
        with connected(client, resume=resume) as socket:
            assert received(socket)["problem"]["type"].endswith("unknown-session")


def test_the_sessions_without_a_connection_are_bounded(served_root: ServedRoot) -> None:
    with small_client(served_root, stream=StreamLimits(kept_sessions=2)) as client:
        ids = []
        for _ in range(4):
            with connected(client) as socket:
                ids.append(received(socket)["session"])
        found = []
        for session in ids:
            with connected(client, resume={"session": session, "sequence": 1}) as socket:
                found.append(received(socket)["type"])
    assert found == ["error", "error", "session.resumed", "session.resumed"]


def test_the_id_of_a_session_is_no_guess(client: TestClient) -> None:
    with connected(client) as one, connected(client) as other:
        ids = {received(one)["session"], received(other)["session"]}
    assert len(ids) == 2
    assert min(map(len, ids)) >= 22

"""One urgency model that many ask: the answers are those of the predictor alone, and nobody suffers from others."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from urgency_dagster.errors import InputError, NoSpeechError, OverloadError
from urgency_dagster.listening import Turn, TurnAudio
from urgency_dagster.scoring import load_predictor
from urgency_dagster.serving.configuration import Limits
from urgency_dagster.serving.served_urgency import ServedUrgency, UrgencyWorkers
from urgency_dagster.serving.tally import Tally
from urgency_dagster.urgency import Prediction, Predictor, TaskLogits
from urgency_dagster_tests.urgency.spoken import SpokenRoot

TEXTS = ["네 호흡", "여기 지금 우리 집 앞 사람 아파", "", "문의 " * 40, "의식", "네 예 여기"]


@pytest.fixture(scope="module")
def predictor(spoken: SpokenRoot) -> Predictor:
    return load_predictor(spoken.paths.root)


@pytest.fixture
def served(predictor: Predictor) -> Iterator[ServedUrgency]:
    workers = UrgencyWorkers(Limits(decoders=1, waiting=1))
    yield ServedUrgency(predictor, workers, Tally())
    workers.close()


def drawn_vectors(predictor: Predictor, count: int) -> NDArray[np.float32]:
    shape = (count, predictor.provenance.audio_tokens, predictor.provenance.audio_width)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def difference(one: TaskLogits, other: TaskLogits) -> float:
    return max(float(np.abs(getattr(one, task) - getattr(other, task)).max()) for task in ("urgency", "sentiment"))


def urgencies(answer: Prediction) -> list[dict[str, float]]:
    """The probabilities of each utterance, then of each call."""
    found = [utterance.urgency for utterance in answer.utterances] + [call.urgency for call in answer.calls]
    return [urgency.probabilities for urgency in found if urgency]


def test_logits_of_joined_requests_are_those_of_each_alone(served: ServedUrgency) -> None:
    vectors = drawn_vectors(served.predictor, len(TEXTS))

    async def all_at_once() -> list[TaskLogits]:
        asked = [served.logits([text], vectors[row : row + 1]) for row, text in enumerate(TEXTS)]
        return await asyncio.gather(*asked)

    together = asyncio.run(all_at_once())
    assert served.tally.forward_passes.total() < len(TEXTS)
    for row, (text, joined) in enumerate(zip(TEXTS, together, strict=True)):
        assert difference(joined, served.predictor.logits([text], vectors[row : row + 1])) <= 1e-6


def test_utterances_of_many_requests_are_answered_as_by_the_predictor_alone(served: ServedUrgency) -> None:
    vectors, calls = drawn_vectors(served.predictor, len(TEXTS)), ["a", "a", "b", "b", "b", "a"]

    async def all_at_once() -> list[Prediction]:
        return await asyncio.gather(*(served.predict_utterances(TEXTS, vectors, calls) for _ in range(8)))

    expected = served.predictor.predict_utterances(TEXTS, vectors, calls)
    alone = urgencies(expected)
    for answer in asyncio.run(all_at_once()):
        assert [call.call for call in answer.calls] == ["a", "b"]
        for found, one in zip(urgencies(answer), alone, strict=True):
            assert found == pytest.approx(one, abs=1e-6)


@pytest.mark.parametrize("text", [None, "\ud800"])
def test_an_input_that_cannot_be_used_fails_alone(served: ServedUrgency, text: Any) -> None:
    vectors = drawn_vectors(served.predictor, 1)

    async def with_a_bad_one() -> list[Any]:
        asked = [served.logits([each], vectors) for each in ("네", text, "예")]
        return await asyncio.gather(*asked, return_exceptions=True)

    good, bad, other = asyncio.run(with_a_bad_one())
    assert isinstance(bad, InputError)
    assert difference(good, served.predictor.logits(["네"], vectors)) <= 1e-6
    assert difference(other, served.predictor.logits(["예"], vectors)) <= 1e-6


def test_recordings_are_answered_as_by_the_predictor_alone(served: ServedUrgency, spoken: SpokenRoot) -> None:
    recording = min(spoken.paths.archive("V_광주_구급").audio.iterdir())
    turns = [Turn(0, 1500, "호흡"), Turn(1500, 3000, "네"), Turn(3000, 5000)]
    answer = asyncio.run(served.predict(recording, turns))
    expected = served.predictor.predict(recording, turns)
    assert [utterance.turn for utterance in answer.utterances] == [turn.turn for turn in expected.utterances]
    assert answer.urgency is not None
    assert expected.urgency is not None
    assert answer.urgency.probabilities == pytest.approx(expected.urgency.probabilities, abs=1e-6)


def test_a_recording_without_speech_is_said_to_have_none(served: ServedUrgency) -> None:
    with pytest.raises(NoSpeechError):
        asyncio.run(served.predict((np.zeros(16_000, np.float32), 16_000)))


def test_recordings_beyond_the_queue_are_refused_and_utterances_are_not(
    served: ServedUrgency, spoken: SpokenRoot
) -> None:
    recording = min(spoken.paths.archive("V_광주_구급").audio.iterdir())
    utterance = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)

    async def scenario() -> list[Any]:
        recordings = [served.listen(recording, [Turn(0, 1500, "네")]) for _ in range(4)]
        utterances = [served.hear([TurnAudio(Turn(0, 1000, "네"), utterance)]) for _ in range(4)]
        return await asyncio.gather(*recordings, *utterances, return_exceptions=True)

    answers = asyncio.run(scenario())
    assert [isinstance(answer, OverloadError) for answer in answers] == [False] * 2 + [True] * 2 + [False] * 4


@pytest.mark.parametrize(("cores", "of_recording", "of_utterance"), [(1, 1, 1), (2, 1, 2), (8, 4, 8), (64, 8, 8)])
def test_recordings_share_the_cores_and_an_utterance_may_use_all(
    cores: int, of_recording: int, of_utterance: int
) -> None:
    workers, before = UrgencyWorkers(Limits(decoders=2), cores), torch.get_num_threads()

    async def used() -> tuple[int, int]:
        return await workers.recordings.run(torch.get_num_threads), await workers.utterances.run(torch.get_num_threads)

    assert asyncio.run(used()) == (of_recording, of_utterance)
    assert torch.get_num_threads() == before
    workers.close()


def test_the_probe_asks_the_network(served: ServedUrgency) -> None:
    asyncio.run(served.probe())
    assert served.tally.forward_passes == {1: 1}

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.calls.embedding.batching import (
    Budget,
    batches,
    embed_segments,
    equal_spans,
    pieces_of,
    span_weights,
)
from urgency_dagster.calls.embedding.encoder import Observer, Piece, padded_weights, unobserved
from urgency_dagster.calls.embedding.speech_model import load_speech_model
from urgency_dagster.calls.embedding.torch_encoder import TorchEncoder
from urgency_dagster.errors import DeviceMemoryError
from urgency_dagster_tests.calls.conftest import GROUP, LAYER, SpeechModels
from urgency_dagster_tests.calls.one_by_one import OneByOne, segments, span_means

lengths_strategy = st.lists(st.integers(8000, 8010) | st.integers(8000, 200_000), max_size=30)


class TestBatches:
    @given(lengths=lengths_strategy, max_samples=st.integers(1, 400_000), can_pad=st.booleans())
    def test_every_position_is_in_one_batch(self, lengths: list[int], max_samples: int, can_pad: bool) -> None:
        grouped = list(batches(lengths, max_samples, can_pad))
        assert sorted(position for batch in grouped for position in batch) == list(range(len(lengths)))
        assert all(grouped)

    @given(lengths=lengths_strategy, max_samples=st.integers(1, 400_000), can_pad=st.booleans())
    def test_a_padded_batch_keeps_the_budget_unless_it_is_one_segment(
        self, lengths: list[int], max_samples: int, can_pad: bool
    ) -> None:
        for batch in batches(lengths, max_samples, can_pad):
            assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= max_samples

    @given(lengths=lengths_strategy, max_samples=st.integers(1, 400_000))
    def test_without_padding_all_lengths_of_a_batch_are_equal(self, lengths: list[int], max_samples: int) -> None:
        assert all(len({lengths[i] for i in batch}) == 1 for batch in batches(lengths, max_samples, can_pad=False))

    def test_segments_that_fit_share_a_batch(self) -> None:
        assert len(list(batches([100] * 10, 1000, can_pad=True))) == 1
        assert len(list(batches([100] * 11, 1000, can_pad=True))) == 2


class TestPieces:
    @given(lengths=st.lists(st.integers(1, 500), max_size=8), max_samples=st.integers(1, 200))
    def test_the_pieces_of_a_segment_are_the_segment_in_nearly_equal_parts(
        self, lengths: list[int], max_samples: int
    ) -> None:
        whole = [np.arange(n, dtype=np.float32) for n in lengths]
        pieces = list(pieces_of(whole, max_samples, lambda samples: samples))
        for position, segment in enumerate(whole):
            own = [piece for piece in pieces if piece.segment == position]
            np.testing.assert_array_equal(np.concatenate([piece.waveform for piece in own]), segment)
            sizes = [len(piece.waveform) for piece in own]
            assert max(sizes) <= max_samples
            assert max(sizes) - min(sizes) <= 1
            assert len(own) == -(-len(segment) // max_samples)
            assert [piece.share for piece in own] == pytest.approx([size / len(segment) for size in sizes])

    def test_the_share_is_that_of_the_frames(self) -> None:
        pieces = list(pieces_of([np.zeros(5, np.float32)], 3, {2: 1, 3: 4}.__getitem__))
        assert [piece.share for piece in pieces] == [0.2, 0.8]

    @given(lengths=st.lists(st.integers(9, 500), max_size=8), max_samples=st.integers(9, 200), tokens=st.integers(1, 9))
    def test_the_spans_are_those_of_the_whole_segment(self, lengths: list[int], max_samples: int, tokens: int) -> None:
        pieces = list(pieces_of([np.zeros(n, np.float32) for n in lengths], max_samples, lambda n: n, tokens))
        for position, length in enumerate(lengths):
            weights = np.concatenate([piece.weights for piece in pieces if piece.segment == position], axis=1)
            np.testing.assert_array_equal(weights, span_weights(length, tokens))


class TestSpans:
    @given(length=st.integers(1, 3000), count=st.integers(1, 64))
    def test_they_cover_everything_once_in_order_and_are_equal_within_one(self, length: int, count: int) -> None:
        bounds = equal_spans(length, count)
        assert (bounds[0], bounds[-1], len(bounds)) == (0, length, count + 1)
        sizes = np.diff(bounds)
        assert sizes.min() >= 0
        assert np.ptp(sizes) <= 1

    @given(frames=st.integers(1, 3000), tokens=st.integers(1, 64))
    def test_each_frame_counts_in_one_span_and_all_of_a_span_count_the_same(self, frames: int, tokens: int) -> None:
        weights = span_weights(max(frames, tokens), tokens)
        assert weights.dtype == np.float32
        assert ((weights > 0).sum(axis=0) == 1).all()
        assert (np.diff(weights.argmax(axis=0)) >= 0).all(), "the spans follow each other"
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
        for row in weights:
            assert len(set(row[row > 0].tolist())) == 1

    def test_padding_counts_nothing(self) -> None:
        pieces = list(pieces_of([np.zeros(5, np.float32), np.zeros(3, np.float32)], 9, lambda n: n, 2))
        weights = padded_weights(pieces)
        assert weights.shape == (2, 2, 5)
        np.testing.assert_array_equal(weights[0], span_weights(5, 2))
        np.testing.assert_array_equal(weights[1, :, :3], span_weights(3, 2))
        assert not weights[1, :, 3:].any()


class TestLongSegments:
    @pytest.mark.parametrize("tokens", [1, 2, 5])
    def test_the_frames_of_the_parts_are_pooled_as_if_they_were_of_one(
        self, speech_model: SpeechModels, tokens: int
    ) -> None:
        speech = load_speech_model(speech_model(LAYER))
        segment = speech.normalised(*segments(40_001))
        found = embed_segments(TorchEncoder(speech), [segment], 1.0, Budget(8), audio_tokens=tokens)
        one_by_one = OneByOne(speech_model(LAYER))
        parts = [segment[:13_333], segment[13_333:26_667], segment[26_667:]]
        frames = np.concatenate([one_by_one.hidden(torch.from_numpy(part)[None]) for part in parts])
        vectors = found.reshape(tokens, 16)
        np.testing.assert_allclose(vectors, span_means(frames, tokens), rtol=0, atol=1e-5)
        assert np.abs(vectors - one_by_one.spans(segment, tokens)).max() > 1e-3, "the limit matters here"


class FullDevice:
    """An encoder on a device that has memory for a batch of so many samples only, and remembers what it was given."""

    engine, precision, device, batch_audio_s = "torch", "float32", "cpu", 100.0

    def __init__(self, encoder: TorchEncoder, max_samples: int) -> None:
        self.speech, self._encoder, self._samples_max = encoder.speech, encoder, max_samples
        self.given: list[int] = []

    def vectors(self, batches: Iterable[Sequence[Piece]], observe: Observer = unobserved) -> Iterator[np.ndarray]:
        for batch in batches:
            samples = len(batch) * max(len(piece.waveform) for piece in batch)
            self.given.append(samples)
            if samples > self._samples_max:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            yield from self._encoder.vectors([batch], observe)


class TestOutOfMemory:
    @pytest.fixture
    def spoken(self) -> list[np.ndarray]:
        return segments(*range(8000, 24_000, 1000))

    @pytest.mark.parametrize("kind", [LAYER, GROUP])
    def test_it_goes_on_with_half_the_budget(
        self, speech_model: SpeechModels, spoken: list[np.ndarray], kind: str
    ) -> None:
        encoder = TorchEncoder(load_speech_model(speech_model(kind)))
        expected = embed_segments(encoder, spoken, 30, Budget(0))
        device, budget = FullDevice(encoder, 3 * SAMPLE_RATE), Budget(10)
        np.testing.assert_allclose(embed_segments(device, spoken, 30, budget), expected, rtol=0, atol=1e-5)
        if kind == LAYER:
            assert budget.audio_s == 2.5
            assert embed_segments(device, spoken, 30, budget).shape == expected.shape
            assert sum(samples > 3 * SAMPLE_RATE for samples in device.given) == 2, "the smaller budget stays"

    def test_what_is_done_is_not_done_again_and_counted_once(
        self, speech_model: SpeechModels, spoken: list[np.ndarray]
    ) -> None:
        encoder = TorchEncoder(load_speech_model(speech_model(LAYER)))
        device, told = FullDevice(encoder, 30_000), []
        embed_segments(device, spoken, 30, Budget(4), lambda n, audio_s: told.append((n, audio_s)))
        assert sum(n for n, _ in told) == len(spoken)
        assert sum(audio_s for _, audio_s in told) == pytest.approx(sum(map(len, spoken)) / SAMPLE_RATE)

    def test_no_memory_for_one_segment_is_an_error_that_says_so(
        self, speech_model: SpeechModels, spoken: list[np.ndarray]
    ) -> None:
        device = FullDevice(TorchEncoder(load_speech_model(speech_model(LAYER))), 20_000)
        with pytest.raises(DeviceMemoryError, match=r"no memory for 1\.4 s of audio.*lower `segment_max_s`"):
            embed_segments(device, spoken, 30, Budget(10))

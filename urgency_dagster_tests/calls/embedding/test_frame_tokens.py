"""What the CTC head says of each frame, read while segments are embedded."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2ForCTC

from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.calls.embedding.batching import Budget, embed_segments
from urgency_dagster.calls.embedding.encoder import Observer, Piece, unobserved
from urgency_dagster.calls.embedding.frame_tokens import TokenReader
from urgency_dagster.calls.embedding.speech_model import SpeechModel, load_speech_model
from urgency_dagster.calls.embedding.torch_encoder import TorchEncoder
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster_tests.calls.one_by_one import segments
from urgency_dagster_tests.listening.conftest import save_ctc_model

SPOKEN = segments(8000, 20_000, 11_111, 20_000, 40_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PretrainedModel:
    return save_ctc_model(tmp_path_factory.mktemp("ctc"))


@pytest.fixture(scope="module")
def speech(model: PretrainedModel) -> SpeechModel:
    return load_speech_model(model, ctc_head=True)


class ForgetfulDevice(TorchEncoder):
    """Runs out of memory once, after it has computed a batch."""

    remembers = False

    def vectors(self, batches: Iterable[Sequence[Piece]], observe: Observer = unobserved) -> Iterator[np.ndarray]:
        for vectors in super().vectors(batches, observe):
            if not self.remembers:
                self.remembers = True
                raise torch.OutOfMemoryError("CUDA out of memory.")
            yield vectors


def tokens(speech: SpeechModel, encoder: TorchEncoder, max_s: float = 30, batch_s: float = 8) -> list[np.ndarray]:
    reader = TokenReader(speech)
    normalised = [speech.normalised(segment) for segment in SPOKEN]
    embed_segments(encoder, normalised, max_s, Budget(batch_s), observe=reader.read)
    return [reader.tokens(number).ids for number in range(len(SPOKEN))]


@pytest.mark.parametrize("batch_s", [0, 8])
def test_each_frame_has_the_token_that_transformers_gives_it(
    model: PretrainedModel, speech: SpeechModel, batch_s: float
) -> None:
    network = Wav2Vec2ForCTC.from_pretrained(model.folder).eval()
    for segment, ids in zip(SPOKEN, tokens(speech, TorchEncoder(speech), batch_s=batch_s), strict=True):
        with torch.inference_mode():
            logits = network(torch.from_numpy(speech.normalised(segment))[None]).logits
        np.testing.assert_array_equal(ids, logits[0].argmax(-1))


def test_a_segment_in_pieces_has_the_frames_and_times_of_all(speech: SpeechModel) -> None:
    reader = TokenReader(speech)
    segment = speech.normalised(SPOKEN[-1])
    embed_segments(TorchEncoder(speech), [segment], 1.0, Budget(0), observe=reader.read)
    found = reader.tokens(0)
    parts = [reader_of(speech, part) for part in np.split(segment, [len(segment) // 3, len(segment) * 2 // 3])]
    np.testing.assert_array_equal(found.ids, np.concatenate(parts))
    starts = [offset / SAMPLE_RATE * 1000 for offset in (0, len(segment) // 3, len(segment) * 2 // 3)]
    expected = [start + 20 * np.arange(len(ids)) for start, ids in zip(starts, parts, strict=True)]
    np.testing.assert_allclose(found.start_ms, np.concatenate(expected))
    assert found.frame_ms == 20


def reader_of(speech: SpeechModel, part: np.ndarray) -> np.ndarray:
    reader = TokenReader(speech)
    embed_segments(TorchEncoder(speech), [part], 30, Budget(0), observe=reader.read)
    return reader.tokens(0).ids


def test_a_batch_that_is_tried_again_is_read_once(speech: SpeechModel) -> None:
    expected = tokens(speech, TorchEncoder(speech), max_s=1.0)
    found = tokens(speech, ForgetfulDevice(speech), max_s=1.0)
    for ids, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ids, wanted)

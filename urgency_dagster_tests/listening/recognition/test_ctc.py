"""Text from the forward pass of the vectors, by the CTC head of the speech model."""

import json
import logging
import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import AutoFeatureExtractor, AutoTokenizer, Wav2Vec2ForCTC

from urgency_dagster import calls
from urgency_dagster.errors import ModelError, NoRecogniserError
from urgency_dagster.listening import HeardCall, Segment, Turn, load_listener
from urgency_dagster.listening.recognition.ctc import CtcRecogniser, load_ctc_recogniser
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster_tests.calls.conftest import GROUP, LAYER
from urgency_dagster_tests.listening.conftest import BLANK, SPACE, TOKENS, UNKNOWN, Noise, save_ctc_model
from urgency_dagster_tests.listening.syllables import syllables

ENGINES: tuple[Literal["torch"], Literal["openvino"]] = ("torch", "openvino")

TURNS = [Turn(0, 900), Turn(1000, 2503), Turn(2000, 2600), Turn(2900, 33_000)]
"""The last one is longer than one forward pass."""

GIVEN = [Turn(0, 900, "네")]


@pytest.fixture(scope="module")
def recogniser(ctc_model: PretrainedModel) -> CtcRecogniser:
    return load_ctc_recogniser(calls.load_speech_model(ctc_model, ctc_head=True))


def frames(*tokens: str) -> calls.FrameTokens:
    """One token per frame of 20 ms."""
    return calls.FrameTokens(np.array([TOKENS.index(token) for token in tokens]), 20.0 * np.arange(len(tokens)), 20.0)


def text_of(recogniser: CtcRecogniser, *tokens: str) -> str:
    (transcript,) = recogniser.transcripts([Segment(np.zeros(0, np.float32), frames(*tokens))])
    return transcript.text


@pytest.mark.parametrize(
    ("engine", "precision"),
    [("torch", "float32"), ("torch", "bfloat16"), ("openvino", "float32"), ("openvino", "bfloat16")],
)
def test_vectors_are_to_the_bit_those_without_recognition(
    ctc_model: PretrainedModel,
    noise: Noise,
    engine: Literal["torch", "openvino"],
    precision: Literal["float32", "bfloat16"],
) -> None:
    waveform = noise(34_000)

    def heard(recogniser: str) -> HeardCall:
        listener = load_listener(ctc_model, device="cpu", engine=engine, precision=precision, recogniser=recogniser)
        return listener.listen(waveform, TURNS)

    with_text, plain = heard("ctc"), heard("none")
    assert with_text.vectors.tobytes() == plain.vectors.tobytes()
    assert (plain.listening, with_text.listening) == ("none", "ctc")
    assert [turn.text for turn in plain.turns] == [None] * len(TURNS)
    assert all(turn.text for turn in with_text.turns)


def test_openvino_hears_the_same_text(ctc_model: PretrainedModel, noise: Noise) -> None:
    torch_turns, openvino_turns = (
        load_listener(ctc_model, device="cpu", engine=engine, recogniser="ctc").listen(noise(34_000), TURNS).turns
        for engine in ENGINES
    )
    assert torch_turns == openvino_turns


def test_the_text_is_what_transformers_recognises_in_the_segment_alone(
    ctc_model: PretrainedModel, noise: Noise
) -> None:
    waveform = noise(4000)
    heard = load_listener(ctc_model, device="cpu", recogniser="ctc").listen(waveform, TURNS[:3])
    extractor = AutoFeatureExtractor.from_pretrained(ctc_model.folder)
    tokenizer = AutoTokenizer.from_pretrained(ctc_model.folder)
    network = Wav2Vec2ForCTC.from_pretrained(ctc_model.folder).eval()
    for turn in heard.turns:
        segment = calls.cut(waveform, turn.start_ms, turn.end_ms)
        inputs = extractor(segment, sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            ids = network(inputs.input_values).logits.argmax(-1)[0]
        expected = tokenizer.decode(ids).replace(UNKNOWN, "")
        assert turn.text == " ".join(expected.split())
    assert len({turn.text for turn in heard.turns}) == 3


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (("불", "불", BLANK, "이"), "불이"),
        (("가", BLANK, "가"), "가가"),
        (("가", UNKNOWN, "가"), "가가"),
        (("가", SPACE, SPACE, "나", SPACE), "가 나"),
        (("가", SPACE, BLANK, SPACE, "나"), "가 나"),
        ((SPACE, SPACE), ""),
        ((BLANK,), ""),
    ],
)
def test_repetitions_and_blanks_are_removed(recogniser: CtcRecogniser, tokens: tuple[str, ...], text: str) -> None:
    assert text_of(recogniser, *tokens) == text


@given(tokens=st.lists(st.sampled_from(TOKENS), min_size=1, max_size=30))
@example(tokens=[BLANK, "가", "가", BLANK, "가"])
def test_greedy_decoding_by_its_definition(tokens: list[str], recogniser: CtcRecogniser) -> None:
    kept = [token for token, before in zip(tokens, [None, *tokens], strict=False) if token != before]
    expected = "".join(" " if token == SPACE else token for token in kept if token not in (BLANK, UNKNOWN))
    (transcript,) = recogniser.transcripts([Segment(np.zeros(0, np.float32), frames(*tokens))])
    assert transcript.text == " ".join(expected.split())
    assert "".join(character.text for character in transcript.characters) == expected.replace(" ", "")
    for character in transcript.characters:
        first, last = character.start_ms // 20, character.end_ms // 20
        assert set(tokens[first:last]) == {character.text}


def test_characters_have_times_from_the_start_of_the_recording(ctc_model: PretrainedModel, noise: Noise) -> None:
    heard = load_listener(ctc_model, device="cpu", recogniser="ctc").listen(noise(34_000), TURNS)
    for turn, characters in zip(heard.turns, heard.characters, strict=True):
        assert "".join(character.text for character in characters) == (turn.text or "").replace(" ", "")
        assert turn.start_ms <= characters[0].start_ms
        assert characters[-1].end_ms <= turn.end_ms
        times = [time for character in characters for time in (character.start_ms, character.end_ms)]
        assert times == sorted(times)
        assert characters[-1].end_ms > turn.end_ms - 1000


def test_text_that_is_given_is_kept(ctc_model: PretrainedModel, noise: Noise) -> None:
    listener = load_listener(ctc_model, device="cpu", recogniser="ctc")
    mixed = listener.listen(noise(3000), [Turn(0, 900, "주어진 글"), Turn(1000, 2000), Turn(2000, 2900, "")])
    assert mixed.turns[0].text == "주어진 글"
    assert mixed.turns[1].text
    assert mixed.turns[2].text == ""
    assert (mixed.characters[0], mixed.listening) == ((), "ctc")
    given_text = listener.listen(noise(3000), [Turn(0, 900, "주어진 글")])
    assert given_text.listening == "label"


def test_a_second_hearing_gives_the_same(ctc_model: PretrainedModel, noise: Noise) -> None:
    listener = load_listener(ctc_model, device="cpu", recogniser="ctc")
    first, second = (listener.listen(noise(34_000), TURNS) for _ in range(2))
    assert (first.turns, first.characters) == (second.turns, second.characters)


@pytest.mark.parametrize("recogniser", ["none", "ctc"])
def test_a_head_is_no_matter_for_a_log(
    ctc_model: PretrainedModel, caplog: pytest.LogCaptureFixture, recogniser: str
) -> None:
    """transformers prints a table of the weights that it does not place."""
    logging.getLogger("transformers").addHandler(caplog.handler)
    load_listener(ctc_model, device="cpu", recogniser=recogniser)
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert caplog.text == ""


def test_decomposed_hangul_is_composed() -> None:
    tokenizer = type("Jamo", (), {"all_special_tokens": [], "decode": lambda self, ids, **_: self})()
    tokenizer.char_offsets = [{"char": part, "start_offset": n, "end_offset": n + 1} for n, part in enumerate("불")]
    assert text_of(CtcRecogniser(tokenizer), "가", "가", "가") == "불"


class TestRefusals:
    """They come with the first turn without text, and no turn with text is refused."""

    @pytest.mark.parametrize("kind", [LAYER, GROUP])
    def test_a_model_without_a_head(self, models: dict[str, PretrainedModel], noise: Noise, kind: str) -> None:
        listener = load_listener(models[kind], device="cpu", recogniser="ctc")
        plain = load_listener(models[kind], device="cpu").listen(noise(3000), GIVEN)
        heard = listener.listen(noise(3000), GIVEN)
        assert (heard.turns, heard.listening) == (plain.turns, "label")
        np.testing.assert_array_equal(heard.vectors, plain.vectors)
        for turns in (None, [*GIVEN, Turn(1000, 2000)]):
            with pytest.raises(NoRecogniserError, match=r"has no CTC head.*URGENCY_RECOGNISER"):
                listener.listen(syllables(3000), turns)
        assert listener.listen(np.zeros(48_000, np.float32)).turns == (), "silence needs no recogniser"

    def test_a_model_without_a_head_for_tokens(self, models: dict[str, PretrainedModel]) -> None:
        encoder = calls.load_segment_encoder(models[LAYER], ctc_head=True)
        with pytest.raises(ModelError, match="has no CTC head"):
            encoder.embed_with_tokens([syllables(1000)])

    def test_a_model_without_its_tokenizer(self, ctc_model: PretrainedModel, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        shutil.copytree(ctc_model.folder, folder)
        for name in ("vocab.json", "tokenizer_config.json"):
            (folder / name).unlink()
        listener = load_listener(PretrainedModel("model", folder, "local"), device="cpu", recogniser="ctc")
        with pytest.raises(NoRecogniserError, match="no tokenizer for its CTC head"):
            listener.load_recogniser()

    def test_a_head_with_more_tokens_than_its_tokenizer(self, tmp_path: Path) -> None:
        model = save_ctc_model(tmp_path, vocab_size=40)
        with pytest.raises(NoRecogniserError, match="40 tokens"):
            load_listener(model, device="cpu", recogniser="ctc").load_recogniser()

    def test_a_damaged_tokenizer(self, ctc_model: PretrainedModel, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        shutil.copytree(ctc_model.folder, folder)
        (folder / "vocab.json").write_text(json.dumps(["no", "vocabulary"]))
        listener = load_listener(PretrainedModel("model", folder, "local"), device="cpu", recogniser="ctc")
        with pytest.raises(NoRecogniserError, match="no tokenizer for its CTC head"):
            listener.load_recogniser()

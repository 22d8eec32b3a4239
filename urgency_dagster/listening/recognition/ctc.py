"""Recognition by the CTC head of the speech model: the text comes from the forward pass of the vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from urgency_dagster import calls
from urgency_dagster.errors import ModelError
from urgency_dagster.listening.recognition.recogniser import Segment, Transcript, composed
from urgency_dagster.listening.turns import Character, Listening
from urgency_dagster.pretrained import loading_errors


@dataclass(frozen=True)
class CtcRecogniser:
    """Greedy decoding: the most likely token of each frame, repetitions and blanks removed.

    Attributes:
        tokenizer: the tokenizer of the speech model.
    """

    tokenizer: Any
    listening: Listening = "ctc"
    needs_tokens: bool = True

    def transcripts(self, segments: Sequence[Segment]) -> list[Transcript]:
        """See `Recogniser.transcripts`."""
        return [self._transcript(segment.tokens) for segment in segments if segment.tokens is not None]

    def _transcript(self, tokens: calls.FrameTokens) -> Transcript:
        # The tokenizer removes special tokens before it removes repetitions, and the blank is one of them: "ab" with a
        # blank between two equal letters would lose one. So special tokens are removed here.
        offsets = self.tokenizer.decode(tokens.ids, output_char_offsets=True).char_offsets
        special = set(self.tokenizer.all_special_tokens)
        spoken = [offset for offset in offsets if offset["char"] not in special]
        text = composed("".join(offset["char"] for offset in spoken))
        return Transcript(text, tuple(_character(offset, tokens) for offset in spoken if not offset["char"].isspace()))


def _character(offset: dict[str, Any], tokens: calls.FrameTokens) -> Character:
    first, last = tokens.start_ms[offset["start_offset"]], tokens.start_ms[offset["end_offset"] - 1]
    return Character(offset["char"], round(first), round(last + tokens.frame_ms))


def load_ctc_recogniser(speech: calls.SpeechModel) -> CtcRecogniser:
    """The recogniser of a speech model with its CTC head.

    Raises:
        ModelError: there is no such head, or the folder of the model has no tokenizer for it.
    """
    speech.check_head()
    from transformers import AutoTokenizer

    no_vocabulary: tuple[type[Exception], ...] = (*loading_errors(), AttributeError)  # vocab.json holds something else
    try:
        tokenizer = AutoTokenizer.from_pretrained(speech.source.folder, local_files_only=True)
    except no_vocabulary as error:
        raise _no_tokenizer(speech, type(error).__name__) from error
    if not hasattr(tokenizer, "word_delimiter_token") or tokenizer.pad_token is None:
        raise _no_tokenizer(speech, type(tokenizer).__name__)
    if speech.head_tokens > len(tokenizer):
        raise _no_tokenizer(speech, f"{speech.head_tokens} tokens in the head and {len(tokenizer)} in the tokenizer")
    return CtcRecogniser(tokenizer)


def _no_tokenizer(speech: calls.SpeechModel, found: str) -> ModelError:
    return ModelError(
        f"{speech.source.name} has no tokenizer for its CTC head ({found})",
        "a model folder with vocab.json and tokenizer_config.json",
        "set URGENCY_RECOGNISER to `none` or to another recogniser",
    )

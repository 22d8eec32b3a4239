"""The pretrained text encoder and its tokenizer, checked before they are used.

Each check is about a fault that raises no error by itself: the training would learn from the audio alone.
"""

from typing import TYPE_CHECKING, Any

from urgency_dagster.errors import ModelError
from urgency_dagster.pretrained import PretrainedModel, check_weights, loading_errors, without_notices

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NOT_USED = ("pooler", "pooler_activation")
"""Parts of an encoder behind the last hidden state. Some checkpoints lack them."""

SAME_VECTOR = 1e-6
"""Maximum difference of two vectors that count as equal."""

REMEDY = "set URGENCY_TEXT_MODEL to another model"


def load_text_model(text_model: PretrainedModel) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """The pretrained encoder, float32, and its tokenizer. Only the local folder is read.

    Raises:
        ModelError: transformers cannot load an encoder and a tokenizer from the folder; the folder has no tokenizer
            files or weights under other names; the tokenizer has more tokens than the encoder; or it is no encoder
            whose first token sees the whole text.
    """
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(text_model.folder, local_files_only=True)
        with without_notices():
            encoder, report = AutoModel.from_pretrained(
                text_model.folder, local_files_only=True, dtype="float32", weights_only=True, output_loading_info=True
            )
    except loading_errors() as error:
        raise ModelError(
            f"the text model {text_model.name!r} cannot be loaded ({type(error).__name__})",
            "an encoder of the BERT family with its tokenizer",
            REMEDY,
        ) from error
    name = f"the text model {text_model.name!r}"
    _check_family(name, encoder)
    check_weights(name, encoder, report, unused=NOT_USED, remedy=REMEDY)
    _check_tokenizer(name, tokenizer, encoder)
    _check_vectors(name, tokenizer, encoder.eval())
    return encoder, tokenizer


def usable_length(encoder: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", max_length: int) -> int:
    """The maximum number of tokens that the encoder takes, up to `max_length`.

    It can be lower than the number of positions: RoBERTa's positions start behind the id of its padding token.

    Raises:
        ModelError: the encoder does not take a text of one token.
    """
    positions = getattr(encoder.config, "max_position_embeddings", None) or max_length
    low, high = 0, min(max_length, positions)
    token = _ordinary_tokens(tokenizer, encoder)[0]
    if _takes(encoder, [token] * high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _takes(encoder, [token] * middle) else (low, middle)
    if low == 0:
        raise ModelError("the text model takes no text of one token", "an encoder of the BERT family", REMEDY)
    return low


def _takes(encoder: "PreTrainedModel", ids: list[int]) -> bool:
    try:
        _hidden(encoder, ids)
    except (IndexError, RuntimeError):
        return False
    return True


def _check_family(name: str, encoder: "PreTrainedModel") -> None:
    parts = {part for part, _ in encoder.named_children()}
    if getattr(encoder.config, "is_encoder_decoder", False) or "decoder" in parts:
        raise ModelError(f"{name} is an encoder-decoder", "an encoder of the BERT family", REMEDY)


def _check_tokenizer(name: str, tokenizer: "PreTrainedTokenizerBase", encoder: "PreTrainedModel") -> None:
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    if set(vocabulary) <= set(tokenizer.all_special_tokens):
        raise ModelError(
            f"{name} has no tokenizer files, so every word would be unknown",
            "tokenizer.json, vocab.txt or a SentencePiece model beside config.json",
            f"copy the tokenizer's files into the folder, or {REMEDY}",
        )
    vectors, largest = _token_vectors(encoder), max(vocabulary.values())
    if vectors is not None and largest >= vectors:
        raise ModelError(
            f"the tokenizer of {name} has token ids up to {largest}, and its encoder has {vectors} token vectors",
            "a tokenizer and an encoder that belong together",
            f"copy the tokenizer of this encoder into the folder, or {REMEDY}",
        )


def _token_vectors(encoder: "PreTrainedModel") -> int | None:
    """The number of token vectors; None for an encoder without a table of them."""
    try:
        table: Any = encoder.get_input_embeddings()
    except NotImplementedError:
        return None
    return getattr(table, "num_embeddings", None)


def _check_vectors(name: str, tokenizer: "PreTrainedTokenizerBase", encoder: "PreTrainedModel") -> None:
    """Compares the vectors of the first token of two texts that differ after it."""
    import torch

    specials: list[int] = tokenizer("")["input_ids"]
    words = _ordinary_tokens(tokenizer, encoder)
    start, end = (specials[:1], specials[1:]) if specials else (words[:1], [])
    texts = [[*start, words[place], words[place], *end] for place in (0, -1)]
    try:
        one, other = (_hidden(encoder, ids) for ids in texts)
    except Exception as error:  # any model that transformers knows may be in the folder
        raise ModelError(
            f"{name} cannot encode a text ({type(error).__name__})", "an encoder of the BERT family", REMEDY
        ) from error
    if not torch.isfinite(one).all():
        raise ModelError(f"{name} gives vectors that are not finite", "finite weights", REMEDY)
    if (one[0] - other[0]).abs().max() <= SAME_VECTOR:
        causal = (one[-1] - other[-1]).abs().max() > SAME_VECTOR
        kind = "is a causal model: its first token sees no other" if causal else "gives two texts the same vector"
        raise ModelError(f"{name} {kind}", "an encoder whose first token sees the whole text", REMEDY)


def _hidden(encoder: "PreTrainedModel", ids: list[int]) -> Any:
    """The last hidden state of one text, (L, W)."""
    import torch

    with torch.inference_mode():
        batch = torch.tensor([ids])
        return encoder(input_ids=batch, attention_mask=torch.ones_like(batch)).last_hidden_state[0]


def _ordinary_tokens(tokenizer: "PreTrainedTokenizerBase", encoder: "PreTrainedModel") -> list[int]:
    """The ids of the tokens that are not special, in order."""
    special = {*tokenizer.all_special_ids, encoder.config.pad_token_id}
    return sorted(set(tokenizer.get_vocab().values()) - special)

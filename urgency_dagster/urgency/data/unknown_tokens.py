"""The share of unknown tokens of texts: a text of unknown tokens tells a model nothing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from urgency_dagster.errors import ModelError
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.urgency.data.batches import UtteranceDataset, tokenise

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase


def unknown_share(utterances: UtteranceDataset, tokenizer: "PreTrainedTokenizerBase") -> float:
    """The share of the unknown token among the tokens of texts; special tokens such as [CLS] do not count.

    It is 0 for a tokenizer without an unknown token, and for empty texts.
    """
    unknown = tokenizer.unk_token_id
    if unknown is None:
        return 0.0
    special = set(tokenizer.all_special_ids) - {unknown}
    return utterances.token_share(unknown, without=special)


def any_unknown(texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase", max_length: int) -> "NDArray[np.bool_]":
    """Whether each text has an unknown token, bool, (N,). Without an unknown token in the tokenizer, none has."""
    if not len(texts):
        return np.zeros(0, np.bool_)
    tokens = tokenise(pa.chunked_array([pa.array(list(texts), pa.string())]), tokenizer, max_length)
    owners = np.repeat(np.arange(len(texts)), tokens.lengths)
    unknown = tokens.ids == tokenizer.unk_token_id
    return np.bincount(owners[unknown], minlength=len(texts)) > 0


def check_unknown_share(share: float, maximum: float, text_model: PretrainedModel) -> None:
    """Compares the share with the option `unknown_tokens_max`.

    Raises:
        ModelError: it is above the maximum.
    """
    if share > maximum:
        raise ModelError(
            f"{share:.1%} of the tokens of the training texts are unknown to the text model {text_model.name!r}",
            f"at most {maximum:.1%}",
            "set URGENCY_TEXT_MODEL to a model of Korean texts, or raise `unknown_tokens_max` of urgency_model",
        )

"""The pretrained text encoder and its tokenizer."""

from typing import TYPE_CHECKING

from urgency_dagster.errors import ModelError
from urgency_dagster.pretrained import PretrainedModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_text_model(text_model: PretrainedModel) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """The pretrained encoder, float32, and its tokenizer. Only the local folder is read.

    Raises:
        ModelError: transformers cannot load an encoder and a tokenizer from the folder.
    """
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(text_model.folder, local_files_only=True)
        encoder = AutoModel.from_pretrained(text_model.folder, local_files_only=True, dtype="float32")
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"the text model {text_model.name!r} cannot be loaded ({type(error).__name__})",
            "an encoder of the BERT family with its tokenizer",
            "set URGENCY_TEXT_MODEL to another model",
        ) from error
    return encoder, tokenizer

"""Tiny models with random weights, as `save_pretrained` writes them: they load like the real ones and know nothing.

Each function returns the files of one model folder by name; nothing stays on disk here.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import ElectraTokenizer, Wav2Vec2Config

SPEECH_SAMPLE_RATE_HZ = 16_000
SPEECH_WIDTH = 48
SPEECH_CHANNELS = 16
TEXT_WIDTH = 64
TEXT_MAX_TOKENS = 512
"""The longest text of the real model, so that its settings fit this one too."""

BLANK_BIAS = 3.0
"""Bias of the blank in the CTC head. With it, about one frame in five is a syllable, as in real recognition."""

VOCABULARY_SIZE = 800
PAD, UNKNOWN, WORD_END = "[PAD]", "[UNK]", "|"
SPECIAL_TOKENS = (PAD, UNKNOWN, "[CLS]", "[SEP]", "[MASK]")


def speech_model(texts: Sequence[str], seed: int) -> dict[str, bytes]:
    """The files of a Wav2Vec2 model with a CTC head, its feature extractor and its tokenizer.

    Kernels, strides and normalisation are those of the XLSR family, so one frame is 20 ms and padded batches need the
    attention mask; only width and depth are tiny. The CTC head is random, so what it recognises means nothing: fitted
    to the demo's own speech, a linear head on these random frames understood no word of other calls.

    Args:
        texts: their syllables are the tokens of the CTC head.
        seed: the same seed and texts give the same bytes.
    """
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC, Wav2Vec2Model

    tokens = [
        PAD,
        UNKNOWN,
        WORD_END,
        *sorted({character for text in texts for character in text if character.isalnum()}),
    ]
    extractor = Wav2Vec2FeatureExtractor(
        feature_size=1,
        sampling_rate=SPEECH_SAMPLE_RATE_HZ,
        padding_value=0.0,
        do_normalize=True,
        return_attention_mask=True,
    )
    config = _speech_configuration(len(tokens))
    with _seeded(seed), tempfile.TemporaryDirectory() as folder:
        network = Wav2Vec2Model(config)  # before the head, which must not change its weights
        model = Wav2Vec2ForCTC(config)
        model.wav2vec2.load_state_dict(network.state_dict())
        _draw_head(model.lm_head)
        model.save_pretrained(folder)
        extractor.save_pretrained(folder)
        vocabulary = Path(folder) / "vocab.json"
        vocabulary.write_text(json.dumps({token: number for number, token in enumerate(tokens)}), encoding="utf-8")
        Wav2Vec2CTCTokenizer(vocabulary, unk_token=UNKNOWN, pad_token=PAD).save_pretrained(folder)
        return _files(Path(folder))


def _speech_configuration(tokens: int) -> "Wav2Vec2Config":
    from transformers import Wav2Vec2Config

    return Wav2Vec2Config(
        vocab_size=tokens,
        pad_token_id=0,
        hidden_size=SPEECH_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * SPEECH_WIDTH,
        conv_dim=(SPEECH_CHANNELS,) * 7,
        conv_kernel=(10, 3, 3, 3, 3, 2, 2),
        conv_stride=(5, 2, 2, 2, 2, 2, 2),
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )


def _draw_head(head: "torch.nn.Linear") -> None:
    from torch import nn

    nn.init.normal_(head.weight, std=head.in_features**-0.5)
    nn.init.zeros_(head.bias)
    head.bias.data[0] = BLANK_BIAS


def text_model(texts: Sequence[str], seed: int) -> dict[str, bytes]:
    """The files of an ELECTRA encoder and its tokenizer, loadable by `AutoModel` and `AutoTokenizer`.

    Args:
        texts: what the vocabulary is trained on.
        seed: the same seed and texts give the same bytes.
    """
    from transformers import ElectraConfig, ElectraModel

    tokenizer = _tokenizer(texts)
    config = ElectraConfig(
        vocab_size=len(tokenizer),
        embedding_size=TEXT_WIDTH,
        hidden_size=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * TEXT_WIDTH,
        max_position_embeddings=TEXT_MAX_TOKENS,
        pad_token_id=tokenizer.pad_token_id,
    )
    with _seeded(seed), tempfile.TemporaryDirectory() as folder:
        ElectraModel(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return _files(Path(folder))


def _tokenizer(texts: Sequence[str]) -> "ElectraTokenizer":
    from transformers import ElectraTokenizer

    return ElectraTokenizer(
        vocab=_vocabulary(texts),
        # KoELECTRA keeps case and accents; stripping accents would take Hangul syllables apart.
        do_lower_case=False,
        strip_accents=False,
        model_max_length=TEXT_MAX_TOKENS,
    )


def _vocabulary(texts: Sequence[str]) -> dict[str, int]:
    """Token -> id of a WordPiece vocabulary; the same texts give the same ids."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    characters = sorted({character for text in texts for character in text if not character.isspace()})
    # The trainer meets continuing characters in no fixed order, and breaks ties by it; naming them first fixes both.
    continuing = [f"##{character}" for character in characters]
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY_SIZE,
        min_frequency=2,
        special_tokens=[*SPECIAL_TOKENS, *continuing],
        show_progress=False,
    )
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(texts, trainer)
    return dict(sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds torch inside the block and puts back what was before."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

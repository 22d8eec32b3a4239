"""Batches of utterances: texts are tokenised once, vectors are read from memory maps.

Only the order of the training batches is random. It depends on the seed and the epoch alone.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.data.dataset import call_codes
from urgency_dagster.urgency.data.vectors import open_vectors

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

TOKENISER_CHUNK = 10_000
"""Texts per call of the tokenizer: enough for its threads, few enough to bound the memory of Python lists."""

BUCKET = 50
"""Batches of a bucket, within which texts are sorted by length. Source: Hugging Face's `LengthGroupedSampler`."""


class Inputs(NamedTuple):
    """What the network reads of B utterances padded to L tokens.

    Attributes:
        input_ids: token ids, int64, (B, L).
        attention_mask: 1 for tokens and 0 for padding, int64, (B, L).
        audio: audio vectors, float32, (B, T, D).
    """

    input_ids: "Tensor"
    attention_mask: "Tensor"
    audio: "Tensor"

    @classmethod
    def of(cls, tokens: "Tokens", indices: "NDArray[np.int64]", audio: "NDArray[np.float32]") -> "Inputs":
        """The inputs of the texts at `indices`, (B,), with their audio vectors, float32, (B, T, D)."""
        import torch

        return cls(*(torch.from_numpy(array) for array in (*tokens.padded(indices), audio)))

    def to(self, device: str) -> "Inputs":
        """The same inputs on another device."""
        return Inputs(*(tensor.to(device) for tensor in self))


class Batch(NamedTuple):
    """B utterances padded to L tokens.

    Attributes:
        input_ids: token ids, int64, (B, L).
        attention_mask: 1 for tokens and 0 for padding, int64, (B, L).
        audio: audio vectors, float32, (B, T, D).
        urgency: class ids, int64, (B,).
        sentiment: class ids, int64, (B,).
    """

    input_ids: "Tensor"
    attention_mask: "Tensor"
    audio: "Tensor"
    urgency: "Tensor"
    sentiment: "Tensor"

    def to(self, device: str) -> "Batch":
        """The same batch on another device."""
        return Batch(*(tensor.to(device) for tensor in self))

    def padded(self, multiple: int, max_length: int) -> "Batch":
        """The same utterances with L rounded up to a multiple; if that exceeds `max_length`, then up to that.

        Args:
            multiple: number of tokens.
            max_length: maximum number of tokens, at least L.
        """
        from torch.nn.functional import pad

        length = self.input_ids.shape[1]
        padding = min(length + -length % multiple, max_length) - length
        # Any token id will do, because the attention mask hides it.
        return self._replace(
            input_ids=pad(self.input_ids, (0, padding)), attention_mask=pad(self.attention_mask, (0, padding))
        )


@dataclass(frozen=True)
class Tokens:
    """The token ids of N texts in one flat array, int32; text i is `ids[starts[i]:starts[i + 1]]`."""

    ids: "NDArray[np.int32]"
    starts: "NDArray[np.int64]"
    pad_id: int

    @property
    def lengths(self) -> "NDArray[np.int64]":
        """Tokens of each text, (N,)."""
        return np.diff(self.starts)

    def share_of(self, token: int, without: Collection[int]) -> float:
        """The share of one token among all others but some; 0 without any token."""
        counted = self.ids[~np.isin(self.ids, list(without))]
        return float((counted == token).mean()) if len(counted) else 0.0

    def padded(self, indices: "NDArray[np.int64]") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
        """Token ids and attention mask of some texts, int64, (B, L), where L is the longest text's length."""
        lengths = self.starts[indices + 1] - self.starts[indices]
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self.pad_id, np.int64)
        ids[mask] = np.concatenate([self.ids[self.starts[i] : self.starts[i + 1]] for i in indices])
        return ids, mask.astype(np.int64)


def read_vectors(paths: StoragePaths, rows: "pa.Table") -> "NDArray[np.float32]":
    """The audio vectors of some utterances in memory, float32, (N, T, D).

    Args:
        paths: the storage root, for the archives' vectors.
        rows: at least one utterance; the columns `archive` and `row` of `tables.TRAINING_ROWS`.

    Raises:
        ArtefactError: the vectors of an archive cannot be read.
    """
    archives, indices = np.array(rows["archive"].to_pylist()), rows["row"].to_numpy()
    names = np.unique(archives)
    _, *shape = open_vectors(paths, str(names[0])).shape
    vectors = np.empty((rows.num_rows, *shape), np.float32)
    for name in names:
        of_archive = archives == name
        vectors[of_archive] = open_vectors(paths, str(name))[indices[of_archive]]
    return vectors


def tokenise(texts: "pa.ChunkedArray", tokenizer: "PreTrainedTokenizerBase", max_length: int) -> Tokens:
    """The token ids of every text, with the tokenizer's special tokens, truncated to `max_length`."""
    pieces: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    for start in range(0, len(texts), TOKENISER_CHUNK):
        chunk = texts.slice(start, TOKENISER_CHUNK).to_pylist()
        encoded = tokenizer(chunk, truncation=True, max_length=max_length, return_attention_mask=False)["input_ids"]
        lengths.extend(len(ids) for ids in encoded)
        pieces.append(np.fromiter((token for ids in encoded for token in ids), np.int32))
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return Tokens(np.concatenate(pieces), starts, int(tokenizer.pad_token_id or 0))


class UtteranceDataset:
    """The utterances of a table, read by batch. The table itself is not kept in memory.

    Attributes:
        urgency: class ids, int64, (N,).
        sentiment: class ids, int64, (N,).
        calls: the call of each utterance as ids 0 to C - 1, int64, (N,).

    Args:
        paths: the storage root, for the archives' vectors.
        rows: the utterances; the columns `archive, row, _id, urgency_id, sentiment_id` of `tables.TRAINING_ROWS`.
        tokens: their token ids, in the same order.

    Raises:
        ArtefactError: the vectors of an archive are missing, fewer than its rows, or of another shape than those of
            other archives.
    """

    def __init__(self, paths: StoragePaths, rows: "pa.Table", tokens: Tokens) -> None:
        archives = rows["archive"].combine_chunks().dictionary_encode()
        self._archive = archives.indices.to_numpy()
        self._row = rows["row"].to_numpy()
        self._vectors = [open_vectors(paths, archive) for archive in archives.dictionary.to_pylist()]
        self._check_vectors()
        self._tokens = tokens
        self.urgency: NDArray[np.int64] = rows["urgency_id"].to_numpy()
        self.sentiment: NDArray[np.int64] = rows["sentiment_id"].to_numpy()
        self.calls: NDArray[np.int64] = call_codes(rows)

    @property
    def lengths(self) -> "NDArray[np.int64]":
        """Tokens of each utterance, (N,)."""
        return self._tokens.lengths

    def token_share(self, token: int, without: Collection[int]) -> float:
        """The share of one token among the tokens of all texts but some."""
        return self._tokens.share_of(token, without)

    def __len__(self) -> int:
        """The number of utterances."""
        return len(self._row)

    def __getitem__(self, indices: "NDArray[np.int64]") -> Batch:
        """The batch of the utterances at `indices`, int64, (B,)."""
        import torch

        labels = (torch.from_numpy(ids[indices]) for ids in (self.urgency, self.sentiment))
        return Batch(*self.inputs(indices), *labels)

    def inputs(self, indices: "NDArray[np.int64]") -> Inputs:
        """The inputs of the network for the utterances at `indices`, int64, (B,)."""
        audio = np.stack([self._vectors[self._archive[i]][self._row[i]] for i in indices])
        return Inputs.of(self._tokens, indices, audio)

    def _check_vectors(self) -> None:
        remedy = ("the vectors the training set was made with", "make the training set again")
        for code, vectors in enumerate(self._vectors):
            if self._row[self._archive == code].max() >= len(vectors):
                raise ArtefactError("an archive has fewer vectors than the training set has rows of it", *remedy)
        if len({vectors.shape[1:] for vectors in self._vectors}) > 1:
            raise ArtefactError("the vectors of some archives have another shape", *remedy)


def batches_in_order(count: int, batch_size: int) -> "list[NDArray[np.int64]]":
    """The indices 0 to `count` - 1 in order, `batch_size` at a time."""
    return _cut(np.arange(count), batch_size)


def shuffled_batches(count: int, batch_size: int, *, seed: int, epoch: int) -> "list[NDArray[np.int64]]":
    """The indices of one epoch in random batches, as the original drew them; each epoch has another order."""
    return _cut(np.random.default_rng((seed, epoch)).permutation(count), batch_size)


def bucketed_batches(
    lengths: "NDArray[np.int64]", batch_size: int, *, seed: int, epoch: int
) -> "list[NDArray[np.int64]]":
    """The indices of one epoch in random batches of texts of similar length.

    Shuffled indices are cut into buckets and sorted by length within a bucket, so that a batch needs little padding.
    Then the batches are shuffled.

    Args:
        lengths: tokens of each text, (N,).
        batch_size: texts of a batch; one batch has the remainder.
        seed: seed of the order.
        epoch: number of the epoch; each epoch has another order.
    """
    rng = np.random.default_rng((seed, epoch))
    buckets = _cut(rng.permutation(len(lengths)), BUCKET * batch_size)
    batches = [
        batch for bucket in buckets for batch in _cut(bucket[np.argsort(lengths[bucket], kind="stable")], batch_size)
    ]
    return [batches[i] for i in rng.permutation(len(batches))]


def _cut(indices: "NDArray[np.int64]", batch_size: int) -> "list[NDArray[np.int64]]":
    return [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]

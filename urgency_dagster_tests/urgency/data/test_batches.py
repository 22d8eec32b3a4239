from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.urgency.configuration import SplitConfig
from urgency_dagster.urgency.data import batches
from urgency_dagster.urgency.data.batches import (
    BUCKET,
    Batch,
    UtteranceDataset,
    batches_in_order,
    bucketed_batches,
    tokenise,
)
from urgency_dagster.urgency.data.dataset import build_training_set, read_training_set
from urgency_dagster.urgency.data.tables import VALIDATION
from urgency_dagster_tests.urgency.conftest import ARCHIVES, FILLERS, write_root, write_spans


@pytest.fixture
def tokenizer(text_model: PretrainedModel) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(text_model.folder, local_files_only=True)


@pytest.fixture
def dataset(paths: StoragePaths, tokenizer: PreTrainedTokenizerBase) -> UtteranceDataset:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    rows = read_training_set(paths).side(VALIDATION)
    return UtteranceDataset(paths, rows, tokenise(rows["text"], tokenizer, 64))


TEXTS = ["네", "", "여기 지금 우리 집 앞", "예 사람", "모르는 말"]


def test_padding_equals_the_tokenizers(tokenizer: PreTrainedTokenizerBase) -> None:
    ids, mask = tokenise(pa.chunked_array([TEXTS]), tokenizer, 64).padded(np.arange(len(TEXTS)))
    expected = tokenizer(TEXTS, padding=True, return_tensors="np")
    np.testing.assert_array_equal(ids, expected["input_ids"])
    np.testing.assert_array_equal(mask, expected["attention_mask"])


def test_a_batch_is_padded_to_its_own_longest(tokenizer: PreTrainedTokenizerBase) -> None:
    tokens = tokenise(pa.chunked_array([TEXTS]), tokenizer, 64)
    assert tokens.padded(np.array([1, 0]))[0].tolist() == [[2, 3, 0], [2, 5, 3]]


def test_long_texts_are_cut_at_the_limit(tokenizer: PreTrainedTokenizerBase) -> None:
    tokens = tokenise(pa.chunked_array([[" ".join(FILLERS * 4)]]), tokenizer, 10)
    ids, mask = tokens.padded(np.array([0]))
    assert ids.shape == (1, 10)
    assert ids[0, -1] == tokenizer.sep_token_id
    assert mask.all()


def test_the_chunk_size_does_not_change_the_tokens(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tokenise(pa.chunked_array([TEXTS]), tokenizer, 64)
    monkeypatch.setattr(batches, "TOKENISER_CHUNK", 2)
    pieces = tokenise(pa.chunked_array([TEXTS[:3], TEXTS[3:]]), tokenizer, 64)
    np.testing.assert_array_equal(whole.ids, pieces.ids)
    np.testing.assert_array_equal(whole.starts, pieces.starts)


def test_a_batch_holds_the_rows_of_its_indices(paths: StoragePaths, dataset: UtteranceDataset) -> None:
    rows = read_training_set(paths).side(VALIDATION).to_pylist()
    batch = dataset[np.array([5, 0, 17])]
    for place, index in enumerate((5, 0, 17)):
        row = rows[index]
        vector = np.load(paths.archive(row["archive"]).vectors)[row["row"]]
        np.testing.assert_array_equal(batch.audio[place, 0], vector)
        assert batch.urgency[place] == row["urgency_id"]
        assert batch.sentiment[place] == row["sentiment_id"]
    assert batch.audio.dtype == torch.float32
    assert batch.input_ids.dtype == torch.int64


@pytest.mark.parametrize("tokens", [1, 4])
def test_a_batch_holds_every_vector_of_its_utterances_in_order(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, tokens: int
) -> None:
    paths = write_root(tmp_path, tokens=tokens)
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    rows = read_training_set(paths).side(VALIDATION)
    dataset = UtteranceDataset(paths, rows, tokenise(rows["text"], tokenizer, 64))
    audio = dataset[np.array([5, 0, 17])].audio
    stored = np.load(paths.archive("V_광주_구급").vectors)[rows["row"].to_numpy()[[5, 0, 17]]]
    assert audio.shape == (3, tokens, 12)
    np.testing.assert_array_equal(audio, stored.reshape(audio.shape))
    assert all(isinstance(vectors, np.memmap) for vectors in dataset._vectors), "vectors stay on disk"


def test_vectors_of_several_shapes_are_refused(paths: StoragePaths, tokenizer: PreTrainedTokenizerBase) -> None:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    rows = pq.read_table(paths.urgency.rows)
    write_spans(paths, "V_광주_구급", 2)
    with pytest.raises(ArtefactError, match="another shape"):
        UtteranceDataset(paths, rows, tokenise(rows["text"], tokenizer, 64))


def test_fewer_vectors_than_rows_are_refused(paths: StoragePaths, tokenizer: PreTrainedTokenizerBase) -> None:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    rows = read_training_set(paths).side(VALIDATION)
    target = paths.archive("V_광주_구급").vectors
    np.save(target, np.load(target)[:-1])
    with pytest.raises(ArtefactError, match="fewer vectors"):
        UtteranceDataset(paths, rows, tokenise(rows["text"], tokenizer, 64))


lengths_strategy = st.lists(st.integers(2, 60), min_size=1, max_size=300).map(np.array)


@given(lengths=lengths_strategy, size=st.integers(1, 50), seed=st.integers(0, 99), epoch=st.integers(1, 9))
def test_every_order_visits_each_row_once(lengths: NDArray[np.int64], size: int, seed: int, epoch: int) -> None:
    bucketed = bucketed_batches(lengths, size, seed=seed, epoch=epoch)
    ordered = batches_in_order(len(lengths), size)
    assert sorted(np.concatenate(bucketed)) == np.concatenate(ordered).tolist() == list(range(len(lengths)))
    assert max(map(len, bucketed)) <= size
    assert len(bucketed) == len(ordered) == -(-len(lengths) // size)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        indices: list[int] = np.concatenate(bucketed_batches(np.full(100, 7), 16, seed=seed, epoch=epoch)).tolist()
        return indices

    np.random.default_rng(0).random()
    assert order(1, 1) == order(1, 1)
    assert order(1, 1) != order(1, 2)
    assert order(1, 1) != order(2, 1)


def test_texts_of_similar_length_share_a_batch_and_batches_are_shuffled() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 16 * BUCKET * 2)
    batches = bucketed_batches(lengths, 16, seed=1, epoch=1)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.05 * lengths.sum()
    longest = [int(lengths[batch].max()) for batch in batches]
    assert longest != sorted(longest)
    assert abs(np.corrcoef(longest, range(len(longest)))[0, 1]) < 0.5


def test_a_batch_is_drawn_from_the_whole_epoch() -> None:
    batches = bucketed_batches(np.full(16 * BUCKET * 4, 7), 16, seed=1, epoch=1)
    spans = [int(np.ptp(batch)) for batch in batches]
    assert min(spans) > len(batches) * 16 / 4


@given(length=st.integers(1, 40), multiple=st.integers(1, 16), more=st.integers(0, 20))
def test_a_batch_may_be_padded_further(length: int, multiple: int, more: int) -> None:
    max_length = length + more
    mask = torch.ones(2, length, dtype=torch.int64)
    batch = Batch(mask * 5, mask, *(torch.arange(2) for _ in range(3)))
    padded = batch.padded(multiple, max_length)
    assert padded.input_ids.shape == padded.attention_mask.shape
    assert padded.input_ids.shape[1] == min(-(-length // multiple) * multiple, max_length)
    assert (padded.input_ids[:, :length] == 5).all()
    assert padded.attention_mask.sum() == mask.sum()
    assert padded[2:] == batch[2:]

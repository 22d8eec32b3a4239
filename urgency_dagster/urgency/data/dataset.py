"""The training set: the utterance tables of all archives joined and split.

Rows are Arrow tables. Vectors stay in the NPY files of the archives.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.errors import ArtefactError, TrainingDataError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import URGENCY_LEVELS, UTTERANCES
from urgency_dagster.urgency.configuration import Protocol, Selection, SplitConfig
from urgency_dagster.urgency.data.labels import Labels, labels_of, left_out_sentence
from urgency_dagster.urgency.data.splits import Split, split_rows
from urgency_dagster.urgency.data.tables import SIDES, TRAIN, TRAINING_ROWS, VALIDATION
from urgency_dagster.urgency.data.vectors import VectorKind, arithmetic, common_kind, open_vectors
from urgency_dagster.writing import file_hash, read_json, replacing_folder, text_hash, write_json, write_table

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

JOINED = pa.schema([field for field in UTTERANCES if field.name in {*TRAINING_ROWS.names, "sentiment", "urgencyLevel"}])
"""The columns that are read of an archive's utterance table; the others would only take memory."""


@dataclass(frozen=True)
class TrainingSetSummary:
    """The contents of a training set. `split.json` stores it together with the call ids.

    Attributes:
        mode_asked: the configured split mode.
        mode_used: the split mode in effect.
        note: why both modes differ; empty if they are equal.
        sha256: SHA-256 over every row and its side.
        data_sha256: SHA-256 over the rows, their sides and the vectors.
        archives: the archives joined, sorted.
        audio_width: width of one audio vector.
        audio_tokens: audio vectors of an utterance.
        speech_model: `name`, `revision` and `weights_sha256` of the model that made the vectors; empty if unknown.
        labels: the class names of both tasks, in the order of their ids.
        calls: number of calls on each side.
        utterances: number of utterances on each side.
        class_counts: utterances per class name, by side and task.
        protocol: `honest` or `original`, for the split and the training.
        selection: the side on which the best epoch is chosen. With `validation` there is no development side.
        development_share: the configured share of calls for development.
        left_out: why a task is not trained and what is absent without it; empty if both are trained.
        warning: which archives do not name the revision of their speech model; empty if all do.
        arithmetic: `engine` and `precision` that computed the vectors, see `vectors.arithmetic`; empty in training sets
            of former versions.
    """

    mode_asked: str
    mode_used: str
    note: str
    sha256: str
    data_sha256: str
    archives: tuple[str, ...]
    audio_width: int
    audio_tokens: int
    speech_model: dict[str, str]
    labels: Labels
    calls: dict[str, int]
    utterances: dict[str, int]
    class_counts: dict[str, dict[str, dict[str, int]]]
    protocol: Protocol = "honest"
    selection: Selection = "validation"
    development_share: float = 0.15
    left_out: str = ""
    warning: str = ""
    arithmetic: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class TrainingSet:
    """A stored training set.

    Attributes:
        path: the file of its rows, schema `tables.TRAINING_ROWS`.
        summary: its contents.
    """

    path: "Path"
    summary: TrainingSetSummary

    @property
    def labels(self) -> Labels:
        """The class names of both tasks."""
        return self.summary.labels

    def side(self, side: str, columns: Sequence[str] = TRAINING_ROWS.names) -> pa.Table:
        """The rows of one side, in the stored order, with some columns."""
        return pq.read_table(self.path, schema=TRAINING_ROWS, columns=list(columns), filters=[("side", "=", side)])


def build_training_set(paths: StoragePaths, archives: Sequence[str], config: SplitConfig) -> TrainingSetSummary:
    """Joins and splits the rows of some archives, writes `rows.parquet` and `split.json`, and returns a summary.

    Args:
        paths: the storage root; `utterances.parquet` and `wav2vec2_embeddings.npy` of each archive are read.
        archives: names of the archives, in any order.
        config: how the rows are split.

    Raises:
        ArtefactError: an archive has no utterances or vectors, their numbers or columns do not agree, or the vectors
            of the archives differ in speech model, known revision, width or number per utterance.
        TrainingDataError: there are no rows, a side is empty, a call has two different labels or an unknown urgency,
            or the training side has one urgency and one sentiment only.
    """
    names = sorted(set(archives))
    tables = [_archive_rows(paths, archive) for archive in names]
    vectors, warning = common_kind(paths, names)
    if not any(table.num_rows for table in tables):
        raise TrainingDataError(
            f"{len(names)} archives hold no utterances", "at least one", "see the rejects.parquet of each archive"
        )
    utterances = pa.concat_tables(tables)
    rows, sentiments = _with_ids(utterances)
    _check_one_label_per_call(rows)
    split = split_rows(rows, config)
    rows = rows.append_column("side", pa.array(split.sides))
    rows = rows.select(TRAINING_ROWS.names).cast(TRAINING_ROWS)
    _check_sides(rows, config)
    return _write(paths, rows, names, config, split, labels_of(rows, sentiments), vectors, warning)


def read_training_set(paths: StoragePaths) -> TrainingSet:
    """The stored training set.

    Raises:
        ArtefactError: there is none.
    """
    urgency = paths.urgency
    if not (urgency.rows.is_file() and urgency.split.is_file()):
        raise ArtefactError(f"no training set in {urgency.training_set}", "rows and split", "make the training set")
    stored: dict[str, Any] = read_json(urgency.split)
    del stored["call_ids"]
    stored["archives"] = tuple(stored["archives"])
    stored["labels"] = Labels.from_json(stored["labels"])
    stored["arithmetic"] = tuple(stored.get("arithmetic", ()))
    # Training sets from before the option `audio_tokens` have one vector per utterance.
    return TrainingSet(urgency.rows, TrainingSetSummary(**{"audio_tokens": 1, **stored}))


def call_codes(rows: pa.Table) -> "NDArray[np.int64]":
    """The call of each row as an id 0 to C - 1, in the order of first appearance, int64, (N,)."""
    codes = rows["_id"].combine_chunks().dictionary_encode().indices
    ids: NDArray[np.int64] = codes.to_numpy().astype(np.int64)
    return ids


def first_rows(calls: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """The index of the first row of each call, int64, (C,), from the ids of `call_codes`."""
    _, first = np.unique(calls, return_index=True)
    return first


def _archive_rows(paths: StoragePaths, archive: str) -> pa.Table:
    """The utterance table of one archive with its columns `archive` and `row`; there is one vector for each row."""
    utterances = _read_utterances(paths.archive(archive).utterances, archive)
    vectors = open_vectors(paths, archive)
    if len(vectors) != utterances.num_rows:
        raise ArtefactError(
            f"{archive} has {utterances.num_rows} utterances and {len(vectors)} vectors",
            "one vector per utterance",
            "embed the archive again",
        )
    row = pa.array(np.arange(utterances.num_rows), pa.int64())
    return utterances.set_column(
        utterances.schema.get_field_index("archive"), "archive", pa.array([archive] * utterances.num_rows, pa.string())
    ).append_column("row", row)


def _read_utterances(source: "Path", archive: str) -> pa.Table:
    try:
        return pq.read_table(source, columns=JOINED.names).cast(JOINED)
    except (OSError, pa.ArrowException) as error:
        raise ArtefactError(
            f"the utterances of {archive} cannot be read ({type(error).__name__})",
            "the utterance table",
            "make the archive's utterances again",
        ) from error


def _with_ids(utterances: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """The rows with `urgency_id` and `sentiment_id`, and the sentiment names in the order of their ids."""
    urgency = pc.index_in(utterances["urgencyLevel"], pa.array(URGENCY_LEVELS))
    if urgency.null_count:
        raise TrainingDataError(
            f"{urgency.null_count} utterances have an unknown urgency",
            f"one of {', '.join(URGENCY_LEVELS)}",
            "make the utterances again",
        )
    sentiments = sorted(pc.unique(utterances["sentiment"]).to_pylist())
    sentiment = pc.index_in(utterances["sentiment"], pa.array(sentiments))
    rows = utterances.append_column("urgency_id", urgency.cast(pa.int64()))
    return rows.append_column("sentiment_id", sentiment.cast(pa.int64())), tuple(sentiments)


def _check_one_label_per_call(rows: pa.Table) -> None:
    ranges = rows.group_by(["archive", "_id"]).aggregate(
        [(c, f) for c in ("urgency_id", "sentiment_id") for f in ("min", "max")]
    )
    different = pc.or_(
        pc.not_equal(ranges["urgency_id_min"], ranges["urgency_id_max"]),
        pc.not_equal(ranges["sentiment_id_min"], ranges["sentiment_id_max"]),
    )
    if count := pc.sum(different).as_py():
        raise TrainingDataError(
            f"{count} calls carry two different labels", "one label per call", "make the utterances again"
        )


def _check_sides(rows: pa.Table, config: SplitConfig) -> None:
    present = set(pc.unique(rows["side"]).to_pylist())
    for side in (TRAIN, VALIDATION):
        if side not in present:
            raise TrainingDataError(
                f"no row is on the {side} side", "rows on each side", "add calls, or change the split"
            )
    if config.selection_side not in present:
        raise TrainingDataError(
            "no call is left for the development side",
            "an urgency with two calls that are not on the validation side",
            "add calls, or choose the best epoch on the validation side with `selection: validation`",
        )


def _write(
    paths: StoragePaths,
    rows: pa.Table,
    archives: Sequence[str],
    config: SplitConfig,
    split: Split,
    labels: Labels,
    vectors: VectorKind,
    warning: str,
) -> TrainingSetSummary:
    urgency = paths.urgency
    call_ids = {side: _call_ids(rows, side) for side in SIDES}
    with replacing_folder(urgency.training_set) as folder:
        write_table(folder / urgency.rows.name, rows)
        summary = TrainingSetSummary(
            mode_asked=config.mode,
            mode_used=split.mode,
            note=split.note,
            sha256=split.sha256,
            data_sha256=_data_hash(paths, archives, folder / urgency.rows.name),
            archives=tuple(archives),
            audio_width=vectors.width,
            audio_tokens=vectors.tokens,
            speech_model=vectors.speech_model,
            labels=labels,
            calls={side: len(ids) for side, ids in call_ids.items()},
            utterances={side: pc.sum(pc.equal(rows["side"], side)).as_py() for side in call_ids},
            class_counts={side: _class_counts(rows, side, labels) for side in call_ids},
            protocol=config.protocol,
            selection=config.selection_side,
            development_share=config.development_share,
            left_out=left_out_sentence(rows, labels),
            warning=warning,
            arithmetic=arithmetic(paths, archives),
        )
        write_json(folder / urgency.split.name, asdict(summary) | {"call_ids": call_ids})
    return summary


def _data_hash(paths: StoragePaths, archives: Sequence[str], rows: "Path") -> str:
    return text_hash(file_hash(rows), *(file_hash(paths.archive(archive).vectors) for archive in archives))


def _call_ids(rows: pa.Table, side: str) -> list[str]:
    return sorted(pc.unique(rows.filter(pc.equal(rows["side"], side))["_id"]).to_pylist())


def _class_counts(rows: pa.Table, side: str, labels: Labels) -> dict[str, dict[str, int]]:
    of_side = rows.filter(pc.equal(rows["side"], side))
    counts = {}
    for task, names in (("urgency", labels.urgency), ("sentiment", labels.sentiment)):
        tally = np.bincount(of_side[f"{task}_id"].to_numpy(), minlength=len(names))
        counts[task] = {name: int(count) for name, count in zip(names, tally, strict=True)}
    return counts

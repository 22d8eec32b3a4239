"""The training set as the reference for later calls: vectors of training calls, counts of validation calls."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.paths import StoragePaths
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster.tables import HIGH
from urgency_dagster.urgency.data.batches import read_vectors
from urgency_dagster.urgency.data.dataset import call_codes, read_training_set
from urgency_dagster.urgency.data.tables import TRAIN, VALIDATION
from urgency_dagster.urgency.data.unknown_tokens import any_unknown
from urgency_dagster.urgency.evaluation.evaluation import PREDICTIONS
from urgency_dagster.urgency.network.inference import TaskLogits, mean_by_call
from urgency_dagster.urgency.package.model_folder import AnswerRules, load_answer_rules
from urgency_dagster.urgency.package.thresholds import ALARM_THRESHOLD, CONFIDENCE_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MAX_TOKENISED_CALLS = 1000
"""Validation calls whose texts are looked through for unknown tokens, drawn at random if there are more."""

COMPARED_FLAGS = ("clipped", "tone_660hz")
"""The flags of the audio that are compared with those of later calls."""

KEY = ["archive", "_id", "utterance_id"]


@dataclass(frozen=True)
class CallCount:
    """Some calls of a whole, for a share of independent units."""

    calls: int
    of: int


def call_vector(vectors: "NDArray[np.float32]", durations: "NDArray[np.float64]") -> "NDArray[np.float32]":
    """The mean vector of a call, float32, (T * D,).

    Weights of duration make it depend little on where a recording is cut into utterances.

    Args:
        vectors: the vectors of its utterances, float32, (N, T, D).
        durations: the length of each utterance in any unit, positive, (N,).
    """
    return np.average(vectors, axis=0, weights=durations).ravel().astype(np.float32)


def training_call_vectors(paths: StoragePaths, count: int, seed: int) -> "NDArray[np.float32]":
    """The vectors of training calls, float32, (C, T * D), each as `call_vector` gives it.

    Args:
        paths: the storage root.
        count: maximum number C of calls. They are drawn at random if there are more.
        seed: seed of the draw.

    Raises:
        ArtefactError: there is no training set, or the vectors of an archive cannot be read.
    """
    rows = read_training_set(paths).side(TRAIN, ["archive", "row", "_id", "duration_s"])
    rows = rows.filter(pa.array(_of_drawn_calls(call_codes(rows), count, seed)))
    vectors, durations, codes = read_vectors(paths, rows), rows["duration_s"].to_numpy(), call_codes(rows)
    return np.stack([call_vector(vectors[codes == call], durations[codes == call]) for call in range(codes.max() + 1)])


def count_validation_calls(paths: StoragePaths, seed: int) -> dict[str, CallCount]:
    """How many validation calls have each property.

    Args:
        paths: the storage root.
        seed: seed of the draw of calls whose texts are looked through.

    Returns:
        By class of urgency, `abstained` and `alarmed`: the answers of the last evaluation; absent without one of this
        training set, and without a threshold. `unknown_tokens`: calls with a token that the text model does not know.
        `clipped` and `tone_660hz`: calls with an utterance that has this flag; absent if no recording was analysed.

    Raises:
        ArtefactError: there is no training set, or the model folder is damaged.
    """
    rows = read_training_set(paths).side(VALIDATION, [*KEY, "text"])
    rules = load_answer_rules(paths.urgency.model)
    codes = call_codes(rows)
    texts = rows.filter(pa.array(_of_drawn_calls(codes, MAX_TOKENISED_CALLS, seed)))
    unknown = any_unknown(texts["text"].to_pylist(), rules.tokenizer, rules.max_length)
    return {
        **_answers(paths, rows, codes, rules),
        "unknown_tokens": _calls_with(unknown, call_codes(texts)),
        **_flagged(paths, rows),
    }


def _of_drawn_calls(codes: "NDArray[np.int64]", count: int, seed: int) -> "NDArray[np.bool_]":
    """Whether each row is of a drawn call, bool, (N,)."""
    calls = int(codes.max()) + 1
    drawn = np.random.default_rng(seed).choice(calls, min(calls, count), replace=False)
    return np.isin(codes, drawn)


def _calls_with(marked: "NDArray[np.bool_]", codes: "NDArray[np.int64]") -> CallCount:
    """The calls with a marked row."""
    return CallCount(len(np.unique(codes[marked])), len(np.unique(codes)))


def _answers(
    paths: StoragePaths, rows: pa.Table, codes: "NDArray[np.int64]", rules: AnswerRules
) -> dict[str, CallCount]:
    source = paths.urgency.evaluation / PREDICTIONS
    if not source.is_file() or "urgency" not in rules.labels.tasks:
        return {}
    predictions = pq.read_table(source, columns=[*KEY, "urgency_logits"])
    if not predictions.select(KEY).equals(rows.select(KEY)):
        return {}
    logits = np.stack(predictions["urgency_logits"].to_numpy())
    call_logits = mean_by_call(TaskLogits(logits, logits), codes).urgency
    return dict(_decisions(probabilities(call_logits, rules.temperatures["call"]["urgency"]), rules))


def _decisions(of_calls: "NDArray[np.float64]", rules: AnswerRules) -> "Iterator[tuple[str, CallCount]]":
    """Yields the calls by class, and those that abstain and alarm, from the probabilities of each call, (C, K)."""
    names, predicted = rules.labels.urgency, of_calls.argmax(axis=1)
    for class_id, name in enumerate(names):
        yield name, CallCount(int((predicted == class_id).sum()), len(of_calls))
    if (threshold := rules.thresholds.get(CONFIDENCE_THRESHOLD)) is not None:
        yield "abstained", CallCount(int((of_calls.max(axis=1) < threshold).sum()), len(of_calls))
    if (threshold := rules.thresholds.get(ALARM_THRESHOLD)) is not None:
        yield "alarmed", CallCount(int((of_calls[:, names.index(HIGH)] >= threshold).sum()), len(of_calls))


def _flagged(paths: StoragePaths, rows: pa.Table) -> dict[str, CallCount]:
    """The flagged calls of the archives with recordings. The flags of a table of the original say nothing."""
    names = [name for name in pc.unique(rows["archive"]).to_pylist() if _has_recordings(paths, name)]
    if not names:
        return {}
    columns = [*KEY, *COMPARED_FLAGS]
    utterances = pa.concat_tables(pq.read_table(paths.archive(name).utterances, columns=columns) for name in names)
    found = rows.select(KEY).join(utterances, KEY, join_type="inner")
    return {flag: _calls_with(found[flag].to_numpy(), call_codes(found)) for flag in COMPARED_FLAGS}


def _has_recordings(paths: StoragePaths, archive: str) -> bool:
    members = paths.archive(archive).members
    return members.is_file() and pq.read_metadata(members).num_rows > 0

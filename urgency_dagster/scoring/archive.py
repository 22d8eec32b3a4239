"""The scoring of one archive: every recording that is new, or that other models scored, is asked again.

A recording that the same models scored before keeps its rows. So a file that lands beside thousands costs one answer.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.calls import REJECTS, write_csv
from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import ScoringPaths, StoragePaths
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.scoring.former import FormerScores, Hashes
from urgency_dagster.scoring.landing import ScoringArchive
from urgency_dagster.scoring.prediction import PredictedRecording, predict_recordings
from urgency_dagster.scoring.recordings.reading import find_recordings
from urgency_dagster.scoring.rejects import Rejection
from urgency_dagster.scoring.tables import MONITORED_CALLS, SCORED_UTTERANCES, answer_columns
from urgency_dagster.scoring.versions import CODE_VERSIONS
from urgency_dagster.urgency import Predictor
from urgency_dagster.writing import file_hash, replacing, table_sink, text_hash

BATCH_ROWS = 512
"""Rows in memory at a time. As Python objects and as text they need some kB each."""

Rows = list[dict[str, Any]]


def score_archive(
    paths: StoragePaths, archive: ScoringArchive, predictor: Predictor, progress: Progress = no_progress
) -> int:
    """Writes the scored utterances of an archive as Parquet and CSV, its rejects, and `monitored_calls.parquet`.

    Args:
        paths: the storage root.
        archive: the archive, whose `recordings.parquet` exists.
        predictor: the model, loaded with the name of its recogniser.
        progress: receives the number of recordings that were asked.

    Returns:
        The number of recordings that were asked; the others kept their rows.

    Raises:
        ArtefactError: the archive has no `recordings.parquet`, or the model was replaced.
        MissingExtraError, ModelError, SettingsError: see `predict_recordings`.
    """
    files = paths.scoring(archive.name)
    if not files.recordings.is_file():
        raise ArtefactError(f"{archive.name} has no recordings.parquet", "it", "materialize scoring_recordings")
    recordings = pq.read_table(files.recordings)
    identity, hashes = scored_with(predictor), _hashes(recordings)
    former = FormerScores.read(files, identity, hashes)
    found = find_recordings(archive.sources, archive.top)
    asked = tuple(item for item in found.audio if item.name in hashes and item.name not in former.slices)
    answers = predict_recordings(predictor, replace(found, audio=asked, rejected=()), progress, measured=True)
    with ExitStack() as stack:
        scored = stack.enter_context(table_sink(files.utterances, SCORED_UTTERANCES))  # in place last
        rejects = stack.enter_context(table_sink(files.rejects, REJECTS))
        monitored = stack.enter_context(table_sink(files.monitored, MONITORED_CALLS))
        rejects.add(_rejects_of(recordings))
        for name in hashes:
            if name in former.slices:
                scored.add(former.rows(name))
                monitored.add([former.measures[name]])
                rejects.add(former.rejects.get(name, []))
            else:
                answer = next(answers)
                scored.add(list(_scored_rows(archive.name, answer, hashes[name], predictor, identity)))
                monitored.add(list(_measured_rows(answer, hashes[name], identity)))
                rejects.add(list(_rejected_rows(archive.name, answer)))
        next(answers, None)  # reports the progress of the last one
    write_table_csv(files, files.utterances)
    return len(asked)


def scored_with(predictor: Predictor) -> str:
    """The identity of all that decides a score beside the recording: models, recogniser, thresholds, and code.

    Raises:
        ArtefactError: the model folder holds another model than the loaded one.
    """
    files = sorted(file for file in predictor.folder.rglob("*") if file.is_file())
    model = [part for file in files for part in (file.relative_to(predictor.folder).as_posix(), file_hash(file))]
    if predictor.provenance.weights_sha256 not in model:
        raise ArtefactError("the urgency model was replaced while it was loaded", "one model", "run the step again")
    speech = json.dumps(predictor.provenance.speech_model, sort_keys=True)
    gap = predictor.label_free_gap
    thresholds = json.dumps(dict(gap.thresholds) if gap else {}, sort_keys=True)
    parts = CODE_VERSIONS["scored_utterances"], str(predictor.recogniser), speech, thresholds
    return text_hash(*parts, *model)[:16]


def write_table_csv(files: ScoringPaths, table: Path) -> None:
    """Writes the rows of a Parquet file as CSV: UTF-8 with BOM."""
    source = pq.ParquetFile(table)
    batches = (pa.Table.from_batches([batch]) for batch in source.iter_batches(BATCH_ROWS))
    with replacing(files.csv(table)) as temporary:
        write_csv(temporary, batches if source.metadata.num_rows else [source.schema_arrow.empty_table()])


def _hashes(recordings: pa.Table) -> dict[str, Hashes]:
    """The content of each recording that is used, by its name, in the order of files."""
    used = recordings.filter(pc.is_null(recordings["reason"]))
    columns = [used[name].to_pylist() for name in ("file", "file_sha256", "label_sha256")]
    return {file: (sha256, label) for file, sha256, label in zip(*columns, strict=True)}


def _rejects_of(recordings: pa.Table) -> Rows:
    """The reject rows of what `recordings.parquet` rejects."""
    rejected = recordings.filter(pc.is_valid(recordings["reason"])).rename_columns({"file": "member"})
    rows: Rows = rejected.select(REJECTS.names).to_pylist()
    return rows


def _scored_rows(
    archive: str, answer: PredictedRecording | Rejection, content: Hashes, predictor: Predictor, identity: str
) -> Iterator[dict[str, Any]]:
    if isinstance(answer, Rejection):
        return
    prediction = answer.prediction
    of_call = {
        "archive": archive,
        "file": answer.file,
        "_id": answer.id,
        **answer_columns(prediction.urgency, prediction.sentiment, "call_"),
        "call_abstain": prediction.abstain,
        "call_alarm": prediction.alarm,
        "listening": prediction.listening,
        "duration_ms": prediction.duration_ms,
        **dict(zip(("file_sha256", "label_sha256"), content, strict=True)),
        **_models(predictor),
        "scored_with": identity,
    }
    for number, utterance in enumerate(prediction.utterances):
        turn = utterance.turn
        yield {
            **of_call,
            "utterance_id": answer.utterance_ids[number] if answer.utterance_ids else str(number + 1),
            "start_ms": turn.start_ms,
            "end_ms": turn.end_ms,
            "speaker": turn.speaker,
            "text": turn.text,
            **answer_columns(utterance.urgency, utterance.sentiment),
        }


def _measured_rows(answer: PredictedRecording | Rejection, content: Hashes, identity: str) -> Iterator[dict[str, Any]]:
    if isinstance(answer, PredictedRecording) and answer.measures:
        yield {
            "file": answer.file,
            **dict(zip(("file_sha256", "label_sha256"), content, strict=True)),
            "scored_with": identity,
            "vector": answer.measures.vector,
            "unknown_tokens": answer.measures.unknown_tokens,
            **answer.measures.flags,
        }


def _models(predictor: Predictor) -> Mapping[str, str]:
    speech = predictor.provenance.speech_model
    name = "@".join(speech[part] for part in ("name", "revision") if speech.get(part))
    return {"model_sha256": predictor.provenance.weights_sha256, "speech_model": name}


def _rejected_rows(archive: str, answer: PredictedRecording | Rejection) -> Iterator[dict[str, Any]]:
    """The reject rows of a recording. What its label lacks is in `recordings.parquet`."""
    rejected = (answer,) if isinstance(answer, Rejection) else answer.rejected
    for rejection in rejected:
        if rejection.file == answer.file:
            yield {
                "archive": archive,
                "member": rejection.file,
                "_id": rejection.id,
                "utterance_id": rejection.utterance_id,
                "reason": rejection.reason,
                "detail": rejection.detail,
            }

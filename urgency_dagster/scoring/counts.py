"""The counts of a scored archive: what was found, scored and rejected, and the answers. All come from its tables."""

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.errors import Rejected
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring.recordings.file_types import FileType, file_type

LEVELS = ("files", "recordings", "utterances")
"""The levels with rejects. A file is no recording: a label, or something that is not read."""

OF_UTTERANCES = [
    "file", "call_urgency", "call_sentiment", "call_abstain", "call_alarm", "listening", "duration_ms", "label_sha256",
]  # fmt: skip


@dataclass(frozen=True)
class ScoringCounts:
    """The counts of one archive. Nothing in them is about a single call.

    Attributes:
        recordings: recordings that were found.
        calls: recordings with an answer.
        utterances: scored utterances.
        rejected: for each of LEVELS, the number of rejects by reason.
        lost_recordings: recordings without an answer and without a reason.
        lost_utterances: utterances of labels without an answer and without a reason.
        urgency: scored calls by urgency.
        sentiment: scored calls by sentiment.
        listening: scored calls by the source of their text.
        abstained: scored calls that a person should decide.
        alarmed: scored calls with an alarm.
        without_threshold: scored calls of a way of listening for which the model has no threshold of confidence. They
            neither abstain nor answer for sure.
        audio_s: length of the scored recordings in seconds.
    """

    recordings: int = 0
    calls: int = 0
    utterances: int = 0
    rejected: dict[str, Counter[str]] = field(default_factory=lambda: {level: Counter() for level in LEVELS})
    lost_recordings: int = 0
    lost_utterances: int = 0
    urgency: Counter[str] = field(default_factory=Counter)
    sentiment: Counter[str] = field(default_factory=Counter)
    listening: Counter[str] = field(default_factory=Counter)
    abstained: int = 0
    alarmed: int = 0
    without_threshold: int = 0
    audio_s: float = 0.0

    @property
    def all_utterances(self) -> int:
        """The scored and the rejected utterances."""
        return self.utterances + self.rejected["utterances"].total()


def count_scored(paths: StoragePaths, archive: str) -> ScoringCounts:
    """Counts what the tables of a scored archive hold.

    Args:
        paths: the storage root.
        archive: the name of the archive.
    """
    files = paths.scoring(archive)
    recordings = pq.read_table(files.recordings, columns=["file", "turns", "reason"])
    used = recordings.filter(pc.is_null(recordings["reason"]))
    scored = pq.read_table(files.utterances, columns=OF_UTTERANCES)
    rejects = pq.read_table(files.rejects, columns=["member", "utterance_id", "reason"])
    of_file = Counter(scored["file"].to_pylist())
    rejected = _by_level(rejects)
    calls = _first_rows(scored)
    named = {name: Counter(item for item in calls[name].to_pylist() if item is not None) for name in OF_UTTERANCES[1:6]}
    return ScoringCounts(
        recordings=len(of_file) + rejected["recordings"].total(),
        calls=len(of_file),
        utterances=scored.num_rows,
        rejected=rejected,
        lost_recordings=len({*used["file"].to_pylist()} - of_file.keys() - _rejected_recordings(rejects)),
        lost_utterances=_lost_utterances(used, scored, rejects),
        urgency=named["call_urgency"],
        sentiment=named["call_sentiment"],
        listening=named["listening"],
        abstained=named["call_abstain"][True],
        alarmed=named["call_alarm"][True],
        without_threshold=calls["call_abstain"].null_count,
        audio_s=(pc.sum(calls["duration_ms"]).as_py() or 0) / 1000,
    )


def _first_rows(scored: pa.Table) -> pa.Table:
    """One row per call. The rows of a call are adjacent."""
    names = scored["file"].to_pylist()
    return scored.filter(pa.array([row == 0 or name != names[row - 1] for row, name in enumerate(names)], pa.bool_()))


def _by_level(rejects: pa.Table) -> dict[str, Counter[str]]:
    by_level: dict[str, Counter[str]] = {level: Counter() for level in LEVELS}
    for row in rejects.to_pylist():
        level = "utterances" if row["utterance_id"] is not None else _level(row["member"])
        by_level[level][row["reason"]] += 1
    return by_level


def _level(file: str) -> str:
    try:
        return "recordings" if file_type(file) is FileType.AUDIO else "files"
    except Rejected:
        return "files"


def _rejected_recordings(rejects: pa.Table) -> set[str]:
    return {*rejects.filter(pc.is_null(rejects["utterance_id"]))["member"].to_pylist()}


def _lost_utterances(used: pa.Table, scored: pa.Table, rejects: pa.Table) -> int:
    """Utterances of labels of scored recordings that are neither scored nor rejected."""
    labelled = scored.filter(pc.is_valid(scored["label_sha256"]))["file"].to_pylist()
    named = rejects.filter(pc.is_valid(rejects["utterance_id"]))["member"].to_pylist()
    accounted = Counter([*labelled, *named])
    turns = dict(zip(used["file"].to_pylist(), used["turns"].to_pylist(), strict=True))
    return sum(abs((turns[file] or 0) - accounted[file]) for file in {*labelled})

"""What became of everything that landed, level by level: archives, members, calls, utterances, segments, vectors.

The figures are read from the artefacts themselves, so they tell what is there and not what a step believed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from urgency_dagster.errors import ArtefactError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pictures import BLUE, GREY, picture
from urgency_dagster.tables import AUDIO_FLAGS

KEY = ["_id", "utterance_id"]

FUNNEL_LEVELS = ("members", "calls", "utterances")
"""Where something can be rejected."""


@dataclass(frozen=True)
class Funnel:
    """Counts of one archive, or of several together.

    Attributes:
        archives: archive pairs that were unpacked.
        members: members of their ZIPs, litter not counted.
        calls: call ids that unpacked members carry.
        utterances: labelled utterances.
        segments: utterances that are kept, each with at least half a second of audio.
        vectors: segments that were embedded.
        rejected: for each of FUNNEL_LEVELS, how many were left out by reason.
        flagged: kept utterances by what is wrong with their audio.
    """

    archives: int = 0
    members: int = 0
    calls: int = 0
    utterances: int = 0
    segments: int = 0
    vectors: int = 0
    rejected: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: {level: {} for level in FUNNEL_LEVELS})
    flagged: Mapping[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many there are at each level, in order."""
        return {name: value for name, value in vars(self).items() if isinstance(value, int)}

    def rejects(self, level: str) -> int:
        """How many were left out at a level."""
        return sum(self.rejected.get(level, {}).values())

    def share_rejected(self, level: str) -> float:
        """The share that was left out at a level, 0 when there was nothing."""
        total = getattr(self, level)
        return self.rejects(level) / total if total else 0.0


def read_funnel(paths: StoragePaths, archive: str) -> Funnel:
    """The figures of one archive; vectors are 0 until those of its utterance table are there.

    Raises:
        ArtefactError: it was not extracted, or has no utterance table.
    """
    files = paths.archive(archive)
    for path in (files.members, files.utterances, files.rejects):
        if not path.is_file():
            raise ArtefactError(f"{archive} has no {path.name}", "an utterance table", "materialise utterances")
    kept = pq.read_table(files.utterances, columns=[*KEY, *AUDIO_FLAGS])
    rejected = _rejected(pq.read_table(files.rejects, columns=["member", "_id", "utterance_id", "reason"]))
    return Funnel(
        archives=1,
        members=pq.read_metadata(files.members).num_rows,
        calls=pc.count_distinct(kept["_id"]).as_py() + sum(rejected["calls"].values()),
        utterances=kept.num_rows + sum(rejected["utterances"].values()),
        segments=kept.num_rows,
        vectors=_vectors(files.embeddings, kept.select(KEY)),
        rejected=rejected,
        flagged={flag: pc.sum(kept[flag]).as_py() or 0 for flag in AUDIO_FLAGS},
    )


def _vectors(embeddings: Path, keys: pa.Table) -> int:
    """How many rows are embedded; vectors of a table before this one do not count."""
    if not embeddings.is_file() or not pq.read_table(embeddings, columns=KEY).equals(keys):
        return 0
    return keys.num_rows


def _rejected(rejects: pa.Table) -> dict[str, dict[str, int]]:
    """Counts by reason of each level; a call with several members on record counts once."""
    of_member = pc.is_null(rejects["_id"])
    of_utterance = pc.is_valid(rejects["utterance_id"])
    calls = rejects.filter(pc.invert(pc.or_(of_member, of_utterance))).group_by(["_id", "reason"]).aggregate([])
    return {
        "members": _by_reason(rejects.filter(of_member)),
        "calls": _by_reason(calls),
        "utterances": _by_reason(rejects.filter(of_utterance)),
    }


def _by_reason(rejects: pa.Table) -> dict[str, int]:
    counts = rejects.group_by("reason").aggregate([([], "count_all")]).sort_by("reason")
    return dict(zip(counts["reason"].to_pylist(), counts["count_all"].to_pylist(), strict=True))


def total(funnels: Iterable[Funnel]) -> Funnel:
    """The figures of several archives together."""
    counts: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    rejected: dict[str, Counter[str]] = {level: Counter() for level in FUNNEL_LEVELS}
    for funnel in funnels:
        counts.update(funnel.counts)
        flagged.update(funnel.flagged)
        for level in FUNNEL_LEVELS:
            rejected[level].update(funnel.rejected[level])
    by_level = {level: dict(sorted(reasons.items())) for level, reasons in rejected.items()}
    return Funnel(**counts, rejected=by_level, flagged=dict(flagged))


def total_funnel(paths: StoragePaths, archives: Iterable[str]) -> Funnel:
    """The figures of some archives together.

    Raises:
        ArtefactError: one has no utterance table.
    """
    return total(read_funnel(paths, archive) for archive in archives)


def draw_funnel(funnel: Funnel, target: Path) -> None:
    """A bar for each level: the share that is kept, and the share that was left out there."""
    with picture(target, width_in=6.4, height_in=3.0) as axes:
        for place, (level, count) in enumerate(funnel.counts.items()):
            out = funnel.rejects(level)
            share = funnel.share_rejected(level) if out else 0.0
            axes.barh(place, 1 - share if count else 0, color=BLUE)
            axes.barh(place, share, left=1 - share, color=GREY)
            axes.text(1.02, place, _told(count, out), va="center", fontsize=8)
        axes.set_yticks(range(len(funnel.counts)), list(funnel.counts))
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        axes.set_title("Kept at each level", fontsize=10)


def _told(count: int, out: int) -> str:
    if not count:
        return "none yet"
    return f"{count:,}, {out:,} left out" if out else f"{count:,}"

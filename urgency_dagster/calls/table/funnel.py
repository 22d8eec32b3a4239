"""The funnel: counts of archives, members, calls, utterances, segments and vectors, and the rejects at each level.

All counts are read from the stored artefacts.
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
from urgency_dagster.tables import AUDIO_FLAGS, UTTERANCE_KEY

KEY = list(UTTERANCE_KEY)

FUNNEL_LEVELS = ("members", "calls", "utterances")
"""The levels with rejects."""


@dataclass(frozen=True)
class Funnel:
    """The counts of one archive, or the sums over several.

    Attributes:
        archives: extracted archive pairs.
        members: members of their ZIPs, without folders and files of macOS.
        calls: call ids of extracted members.
        utterances: labelled utterances.
        segments: kept utterances, each with at least 0.5 s of audio.
        vectors: embedded segments.
        rejected: for each of FUNNEL_LEVELS, the number of rejects by reason.
        flagged: for each audio flag, the number of kept utterances with it.
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
        """The count of each level, in order."""
        return {name: value for name, value in vars(self).items() if isinstance(value, int)}

    def rejects(self, level: str) -> int:
        """The number of rejects at a level."""
        return sum(self.rejected.get(level, {}).values())

    def share_rejected(self, level: str) -> float:
        """The rejected share of a level, from 0 to 1; 0 for an empty level."""
        count = getattr(self, level)
        return self.rejects(level) / count if count else 0.0


def read_funnel(paths: StoragePaths, archive: str) -> Funnel:
    """Reads the counts of one archive. `vectors` is 0 while the vectors do not belong to its utterance table.

    Raises:
        ArtefactError: the archive is not extracted, or has no utterance table.
    """
    files = paths.archive(archive)
    for path in (files.members, files.utterances, files.rejects):
        if not path.is_file():
            raise ArtefactError(f"{archive} has no {path.name}", "an utterance table", "materialize utterances")
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
    """The number of vectors; 0 if they belong to a former utterance table."""
    if not embeddings.is_file() or not pq.read_table(embeddings, columns=KEY).equals(keys):
        return 0
    return int(keys.num_rows)


def _rejected(rejects: pa.Table) -> dict[str, dict[str, int]]:
    """The number of rejects by level and reason. A call with several rejected members counts once."""
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


def add_funnels(funnels: Iterable[Funnel]) -> Funnel:
    """The sums of several funnels."""
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
    """Reads the sums over several archives.

    Raises:
        ArtefactError: an archive has no utterance table.
    """
    return add_funnels(read_funnel(paths, archive) for archive in archives)


def draw_funnel(funnel: Funnel, target: Path) -> None:
    """Draws a bar for each level, with its kept and its rejected share.

    Args:
        funnel: the counts.
        target: the PNG file.
    """
    with picture(target, width_in=6.4, height_in=3.0) as axes:
        for position, (level, count) in enumerate(funnel.counts.items()):
            rejects = funnel.rejects(level)
            share = funnel.share_rejected(level) if rejects else 0.0
            axes.barh(position, 1 - share if count else 0, color=BLUE)
            axes.barh(position, share, left=1 - share, color=GREY)
            axes.text(1.02, position, _caption(count, rejects), va="center", fontsize=8)
        axes.set_yticks(range(len(funnel.counts)), list(funnel.counts))
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        axes.set_title("Kept at each level", fontsize=10)


def _caption(count: int, rejects: int) -> str:
    if not count:
        return "none yet"
    return f"{count:,}, {rejects:,} rejected" if rejects else f"{count:,}"

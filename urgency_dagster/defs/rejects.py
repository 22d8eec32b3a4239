"""Why an archive has rejects, in order of cause, and what to do about each reason.

A corrupt member comes before a missing recording, because it is why the recording is missing.
"""

from dataclasses import dataclass

from urgency_dagster.calls import FUNNEL_LEVELS, Funnel, RejectReason
from urgency_dagster.scoring import RejectReason as ScoringReason
from urgency_dagster.scoring import ScoringCounts

DOWNLOAD = "download the ZIP again, and replace the landed one"
LOOK = (
    "see the reasons in rejects.parquet of the archive. If they are right, raise the limit: rejected_calls_max or "
    "rejected_utterances_max of `utterances`"
)
MISSING = (RejectReason.MISSING_AUDIO, RejectReason.MISSING_LABEL)
"""The reasons of a call whose other file was rejected, or was never there."""

REMEDIES: dict[str, str] = {
    RejectReason.CORRUPT: DOWNLOAD,
    RejectReason.ENCRYPTED: "unlock the ZIP, and land it without a password",
    RejectReason.TOO_LARGE: "raise the size limits of `call_recordings`, if the members are genuine",
    RejectReason.UNREADABLE_AUDIO: DOWNLOAD,
    RejectReason.UNREADABLE_LABEL: DOWNLOAD,
    RejectReason.MISSING_AUDIO: "download the audio ZIP (TS_ or VS_) again; it has fewer calls than the label ZIP",
    RejectReason.MISSING_LABEL: "download the label ZIP (TL_ or VL_) again; it has fewer calls than the audio ZIP",
    RejectReason.DUPLICATE_CALL: "remove one of the labels of the call from the label ZIP",
    RejectReason.UNKNOWN_URGENCY: "correct urgencyLevel in the labels: it must be 하, 중 or 상",
    RejectReason.UNKNOWN_SENTIMENT: "correct sentiment in the labels: it must be a value of data set 71768",
}
"""What to do, by reason. Others have the remedy LOOK."""

NOUNS = {"members": "member", "calls": "call", "utterances": "utterance"}


@dataclass(frozen=True)
class Reason:
    """A reason for the rejects of a level, with its count and its remedy."""

    level: str
    reason: str
    count: int
    sentence: str
    remedy: str


NO_CALL = Reason("calls", "none", 0, "No member has a call.", "land a complete pair of ZIPs")


def reject_reasons(funnel: Funnel) -> list[Reason]:
    """The reasons of an archive in order of cause: members, then calls, then utterances; the most frequent first."""
    return [
        _reason(level, reason, count)
        for level in FUNNEL_LEVELS
        for reason, count in sorted(funnel.rejected[level].items(), key=lambda item: (-item[1], item[0]))
    ]


def main_reason(funnel: Funnel, *, calls: bool) -> Reason:
    """The reason that explains most rejects. Calls whose member is rejected count for the member.

    Args:
        funnel: the counts of an archive.
        calls: whether too many calls are rejected; otherwise too many utterances are.
    """
    levels = ("members", "calls") if calls else ("utterances",)
    found = [reason for reason in reject_reasons(funnel) if reason.level in levels]
    of_members = sum(reason.count for reason in found if reason.level == "members")

    def explained(reason: Reason) -> int:
        return reason.count - of_members if reason.reason in MISSING else reason.count

    return max(found, key=explained, default=NO_CALL)


def _reason(level: str, reason: str, count: int) -> Reason:
    noun = NOUNS[level] if count == 1 else level
    sentence = f"{count} {noun} rejected: {reason.replace('_', ' ')}."
    return Reason(level, reason, count, sentence, REMEDIES.get(reason, LOOK))


SCORING_REMEDIES: dict[str, str] = {
    ScoringReason.UNREAD_FORMAT: "convert the recordings to WAV or FLAC",
    ScoringReason.UNREADABLE_AUDIO: "copy the recordings again",
    ScoringReason.CORRUPT: "pack the ZIP again",
    ScoringReason.ENCRYPTED: "unlock the ZIP, and land it without a password",
    ScoringReason.NO_SPEECH: "none, if the recordings hold no speech; otherwise land a label with their turns",
    ScoringReason.NOT_RECOGNISED: "set URGENCY_RECOGNISER, or land labels with turns; then materialize it again",
    ScoringReason.OUT_OF_MEMORY: "free memory on the device, or choose another `device`; then materialize it again",
    ScoringReason.UNUSABLE_VECTORS: "see if the speech model is damaged: it gives NaN",
}
"""What to do, by reason. Others have the remedy LOOK_AT_SCORING."""

LOOK_AT_SCORING = "see the reasons in rejects.parquet of the archive"


def scoring_remedy(counts: ScoringCounts) -> str:
    """What to do about the most frequent reject of an archive of recordings."""
    reasons = counts.rejected["recordings"] or counts.rejected["files"] or counts.rejected["utterances"]
    (reason, _), *_ = reasons.most_common(1) or [("", 0)]
    return SCORING_REMEDIES.get(reason, LOOK_AT_SCORING)

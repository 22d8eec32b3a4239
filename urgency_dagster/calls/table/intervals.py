"""Which interval of a recording is an utterance. The rule is the same for labelled calls and for those of users."""

from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.errors import Rejected

MIN_DURATION_MS = 500
"""Minimum audio of a kept utterance in ms. Source: the original pipeline drops segments shorter than 0.5 s."""


def kept_interval(start_ms: int | None, end_ms: int | None, recording_ms: int) -> tuple[int, int, int]:
    """The start, the end and the duration of an utterance in ms. Only the duration is clipped to the recording.

    Args:
        start_ms: start in ms; None if it is missing.
        end_ms: end in ms; None if it is missing.
        recording_ms: length of the recording in ms.

    Raises:
        Rejected: a time is missing, the start is negative, or the end is not after the start (`bad_times`); the
            utterance starts after the recording ends (`outside_audio`); it has less than MIN_DURATION_MS of audio
            (`too_short`).
    """
    if start_ms is None or end_ms is None:
        raise Rejected(RejectReason.BAD_TIMES, "startAt or endAt is missing")
    if start_ms < 0 or end_ms <= start_ms:
        raise Rejected(RejectReason.BAD_TIMES, "startAt is negative or endAt is not after it")
    if start_ms >= recording_ms:
        raise Rejected(RejectReason.OUTSIDE_AUDIO, "starts after the recording ends")
    duration_ms = min(end_ms, recording_ms) - start_ms
    if duration_ms < MIN_DURATION_MS:
        raise Rejected(RejectReason.TOO_SHORT, f"{duration_ms} ms of audio, at least {MIN_DURATION_MS} are needed")
    return start_ms, end_ms, duration_ms

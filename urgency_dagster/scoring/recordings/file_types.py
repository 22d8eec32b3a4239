"""Which files are recordings, labels and ZIPs, by their names; and why others are none."""

import re
from enum import Enum
from pathlib import PurePosixPath

from urgency_dagster.calls import TEMPORARY_SUFFIX, unread_format
from urgency_dagster.errors import Rejected
from urgency_dagster.scoring.rejects import RejectReason

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".w64", ".caf")
"""Suffixes of recordings. Source: `soundfile.available_formats` of the libsndfile 1.2 in soundfile's wheels."""

UNREAD_AUDIO = (".m4a", ".mp4", ".aac", ".wma", ".amr", ".3gp", ".webm", ".mka", ".mov", ".avi", ".mkv")
"""Suffixes of recordings that libsndfile does not read: AAC, WMA, AMR, and containers of films."""

UNFINISHED = re.compile(rf".*{TEMPORARY_SUFFIX}", re.IGNORECASE | re.DOTALL)

CONVERT = "which is not read; convert it to WAV or FLAC, for example: ffmpeg -i in{suffix} out.wav"
READ = f"a recording ({', '.join(suffix.removeprefix('.') for suffix in AUDIO_SUFFIXES)}), a label (json) or a zip"


class FileType(Enum):
    """What a file is taken for."""

    AUDIO = "audio"
    LABEL = "label"
    ZIP = "zip"


def file_type(name: str) -> FileType:
    """What a file is taken for, by its name.

    Raises:
        Rejected: it is still being copied, of a format that is not read, or of another type.
    """
    last = name.rpartition("/")[2]
    suffix = PurePosixPath(last).suffix.lower()
    if UNFINISHED.fullmatch(last) or last.startswith("."):
        raise Rejected(RejectReason.UNFINISHED, "hidden, or the temporary file of a copying tool")
    if suffix in AUDIO_SUFFIXES:
        return FileType.AUDIO
    if suffix in (".json", ".zip"):
        return FileType.LABEL if suffix == ".json" else FileType.ZIP
    if unread := _why_unread(last, suffix):
        raise Rejected(RejectReason.UNREAD_FORMAT, unread)
    raise Rejected(RejectReason.UNKNOWN_TYPE, f"not {READ}")


def _why_unread(name: str, suffix: str) -> str:
    """Why a known format is not read, and what to do; empty for an unknown one."""
    if suffix in UNREAD_AUDIO:
        return f"a {suffix} file, {CONVERT.format(suffix=suffix)}"
    if suffix == ".tar":
        return "a tar, which is not read; unpack it"
    packed = unread_format(name)
    return packed.reason if packed else ""

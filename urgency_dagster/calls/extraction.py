"""The members of an archive pair become files below `calls/<archive>/`, and each one is accounted for.

A ZIP is untrusted input: names, sizes and checksums are tested here, and nothing is written outside the folder.
"""

import stat
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO

from urgency_dagster.calls.archives import ArchivePair, printable
from urgency_dagster.calls.parts import LandedZip
from urgency_dagster.errors import ArchiveError, Rejected
from urgency_dagster.storage import ArchivePaths, replacing_folder, write_table
from urgency_dagster.tables import MEMBERS, RejectReason

UTF8_NAME, ENCRYPTED = 0x800, 0x1
"""Bits of a member's flags. Source: PKWARE APPNOTE 4.4.4."""

NAME_BYTES_MAX = 255
"""The longest file name that Linux file systems store."""

DEPTH_MAX = 8
"""Folders and name of a member; AI Hub's are flat."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What ZIPs use in practice. The others cannot be unpacked in small pieces, so a bomb would fill the memory."""

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError)
"""What `zipfile` raises on a member that it cannot read."""

MEMBER_SHOWN = 500
"""Characters of a member's name that are recorded; a header has room for 65,535 bytes."""

SIZE_MAX = (1 << 63) - 1
"""The largest number that the account of the members can store; a header may claim more."""

CHUNK_BYTES = 1 << 20
SUFFIXES = {"audio": ".wav", "label": ".json"}


@dataclass(frozen=True)
class ExtractionLimits:
    """How much one archive may unpack to; tested while writing, because headers can lie.

    Attributes:
        members: members of one ZIP.
        member_bytes: bytes of one member. A call of 180 s at 8 kHz is 2.9 MB.
        total_bytes: bytes of one ZIP, unpacked.
        ratio: unpacked to packed bytes of one member above 1 MiB.
    """

    members: int = 1_000_000
    member_bytes: int = 256 << 20
    total_bytes: int = 500 << 30
    ratio: int = 200


def extract_pair(pair: ArchivePair, paths: ArchivePaths, limits: ExtractionLimits) -> dict[str, int]:
    """Unpacks both ZIPs into `Wave/` and `Label/` and writes `members.parquet` last.

    Returns:
        Counts of audio files, label files, rejected members and bytes.

    Raises:
        ArchiveError: a ZIP cannot be opened, or holds more members or bytes than the limits allow.
    """
    import pyarrow as pa

    paths.members.unlink(missing_ok=True)  # from here on the folder counts as incomplete
    rows = []
    for kind, source, folder in (("audio", pair.audio, paths.audio), ("label", pair.labels, paths.labels)):
        with replacing_folder(folder) as temporary:
            for row in _extract(source, temporary, SUFFIXES[kind], limits):
                rows.append({"archive": pair.archive, "kind": kind, **row})
    write_table(paths.members, pa.Table.from_pylist(rows, schema=MEMBERS))
    kept = Counter(row["kind"] for row in rows if row["reason"] is None)
    return {
        "audio_files": kept["audio"],
        "label_files": kept["label"],
        "rejected_members": len(rows) - kept.total(),
        "bytes": sum(row["size_bytes"] for row in rows if row["reason"] is None),
    }


def _extract(source: LandedZip, folder: Path, suffix: str, limits: ExtractionLimits) -> Iterator[dict]:
    """Yields one row of MEMBERS per member of the ZIP, in the ZIP's order."""
    with _open(source) as archive:
        infos = [info for info in archive.infolist() if not _is_litter(info)]
        _check_member_count(source, len(infos), limits)
        colliding = _colliding_names(infos)
        left = limits.total_bytes
        for info in infos:
            row = _extract_member(archive, info, folder, suffix, colliding, limits)
            left -= row["size_bytes"] if row["reason"] is None else 0
            if left < 0:
                raise ArchiveError(
                    f"{source.name} unpacks to more than {limits.total_bytes} bytes",
                    "an archive within the limit",
                    "raise total_bytes in the run config of call_recordings if the archive is genuine",
                )
            yield row


@contextmanager
def _open(source: LandedZip) -> Iterator[zipfile.ZipFile]:
    with source.open() as stream:
        yield _opened(source, stream)


def _opened(source: LandedZip, stream: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except (*DAMAGED, OSError) as error:
        raise ArchiveError(
            f"{source.name} cannot be read as a ZIP ({type(error).__name__})", "a complete ZIP", "copy it again"
        ) from error


def _check_member_count(source: LandedZip, count: int, limits: ExtractionLimits) -> None:
    if count > limits.members:
        raise ArchiveError(
            f"{source.name} has {count} members",
            f"at most {limits.members}",
            "raise members in the run config of call_recordings if the archive is genuine",
        )


def member_name(info: zipfile.ZipInfo) -> str:
    """The member's name in NFC. Without the UTF-8 flag the bytes are tried as UTF-8, then as CP949."""
    name = info.orig_filename
    if not info.flag_bits & UTF8_NAME:
        # zipfile decodes unflagged names as CP437, which maps all 256 bytes, so the bytes can be had back.
        raw = name.encode("cp437")
        for encoding in ("utf-8", "cp949"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return unicodedata.normalize("NFC", name).replace("\\", "/")


def _is_litter(info: zipfile.ZipInfo) -> bool:
    """Folders and what macOS leaves behind; they carry no data and are not counted."""
    name = member_name(info)
    *folders, last = name.split("/")
    return not last or "__MACOSX" in folders or last == ".DS_Store" or last.startswith("._")


def _relative_name(name: str) -> str:
    """The path below the target folder: a leading `/`, which real copies carry, is stripped."""
    return name.lstrip("/")


def _colliding_names(infos: list[zipfile.ZipInfo]) -> set[str]:
    """Names, case folded, that two members have, or a member and a folder of another member."""
    folded = Counter(_relative_name(member_name(info)).casefold() for info in infos)
    folders = {folder for name in folded for folder in _folders(name)}
    return {name for name, count in folded.items() if count > 1 or name in folders}


def _folders(name: str) -> list[str]:
    """The folders above a member; none for names too deep to be accepted, which could hold thousands."""
    folders = name.split("/")[:-1] if name.count("/") < DEPTH_MAX else []
    return list(accumulate(folders, lambda above, folder: f"{above}/{folder}"))


def _check_name(info: zipfile.ZipInfo, colliding: set[str], suffix: str) -> str:
    """The safe relative name of a member.

    Raises:
        Rejected: the name leaves the folder, collides with another, is too long, or has another type.
    """
    name = _relative_name(member_name(info))
    parts = name.split("/")
    mode = info.external_attr >> 16
    if any(part in ("", ".", "..") or ":" in part or not part.isprintable() for part in parts):
        raise Rejected(RejectReason.UNSAFE_NAME, "the name leaves the folder or is not printable")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise Rejected(RejectReason.UNSAFE_NAME, "not a regular file")
    if any(len(part.encode()) > NAME_BYTES_MAX for part in parts) or len(parts) > DEPTH_MAX:
        raise Rejected(RejectReason.UNSAFE_NAME, "the name is too long or too deep")
    if name.casefold() in colliding:
        raise Rejected(RejectReason.DUPLICATE_NAME, "another member has the same name")
    if not name.lower().endswith(suffix):
        raise Rejected(RejectReason.UNKNOWN_TYPE, f"not a {suffix} file")
    return name


def _extract_member(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    folder: Path,
    suffix: str,
    colliding: set[str],
    limits: ExtractionLimits,
) -> dict:
    member = printable(member_name(info))[:MEMBER_SHOWN]
    row = {"member": member, "size_bytes": min(info.file_size, SIZE_MAX), "crc32": info.CRC}
    try:
        name = _check_name(info, colliding, suffix)
        _write_member(archive, info, folder / name, limits)
    except Rejected as rejected:
        return {**row, "path": None, "reason": rejected.reason, "detail": rejected.detail}
    return {**row, "path": name, "reason": None, "detail": None}


def _write_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, limits: ExtractionLimits) -> None:
    """Copies one member to `target`.

    Raises:
        Rejected: the member is encrypted, damaged, or larger than the limits.
    """
    if info.flag_bits & ENCRYPTED:
        raise Rejected(RejectReason.ENCRYPTED, "the member is encrypted")
    if info.compress_type not in METHODS:
        raise Rejected(RejectReason.CORRUPT, f"packed by method {info.compress_type}, which is not supported")
    if info.header_offset < 0:
        raise Rejected(RejectReason.CORRUPT, "said to begin before the archive")
    size_max = min(limits.member_bytes, max(CHUNK_BYTES, info.compress_size * limits.ratio))
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("xb") as unpacked:
            _copy(_chunks(archive, info), unpacked, info.file_size, size_max)
    except Rejected:
        target.unlink()
        raise


def _copy(chunks: Iterator[bytes], unpacked: IO[bytes], size: int, size_max: int) -> None:
    for chunk in chunks:
        if unpacked.tell() + len(chunk) > size_max:
            raise Rejected(RejectReason.TOO_LARGE, f"unpacks to more than {size_max} bytes")
        unpacked.write(chunk)
    if unpacked.tell() != size:
        raise Rejected(RejectReason.CORRUPT, "unpacks to another size than its header says")


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The unpacked content of a member.

    Raises:
        Rejected: the member is damaged.
    """
    try:
        with archive.open(info) as packed:
            while chunk := packed.read(CHUNK_BYTES):
                yield chunk
    except DAMAGED as error:
        raise Rejected(RejectReason.CORRUPT, type(error).__name__) from error

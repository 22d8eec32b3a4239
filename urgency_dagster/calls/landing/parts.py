"""A ZIP in `landing/`: a file, parts that AI Hub's shell tool downloads, or members of its `download.tar`.

It is never written to.
"""

import errno
import io
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, cast

GONE = (0, 0, 0)
"""The fingerprint of a missing part; no file has inode 0."""


class Slice(NamedTuple):
    """The bytes of a file that are a member of a tar.

    Attributes:
        start: offset of the first byte.
        size: number of bytes.
        member: path in the tar.
    """

    start: int
    size: int
    member: str


@dataclass(frozen=True)
class LandedZip:
    """One ZIP, read as one stream from one or several files.

    Attributes:
        name: the name of the ZIP, e.g. `TS_광주_구급.zip`.
        parts: its files in order.
        slices: the bytes of each file that belong to it; empty for whole files.
    """

    name: str
    parts: tuple[Path, ...]
    slices: tuple[Slice, ...] = ()

    @classmethod
    def whole(cls, path: Path) -> "LandedZip":
        """A ZIP in one file."""
        return cls(path.name, (path,))

    @property
    def size_bytes(self) -> int:
        """The bytes of all existing parts."""
        return sum(self.sizes)

    @property
    def sizes(self) -> list[int]:
        """The bytes of each part, 0 for a missing one."""
        return [part.size for part in self.slices] or [file_fingerprint(part)[0] for part in self.parts]

    @property
    def shown(self) -> list[Path]:
        """The path of each part in reasons. That of a member is below its tar."""
        if not self.slices:
            return list(self.parts)
        return [part / each.member.lstrip("/") for part, each in zip(self.parts, self.slices, strict=True)]

    def fingerprint(self) -> list[int]:
        """Size, modification time in ns and inode of each part, `GONE` for a missing one."""
        return [number for part in self.parts for number in file_fingerprint(part)]

    @contextmanager
    def open(self) -> Iterator[io.BufferedReader]:
        """Yields the content as one seekable stream.

        Raises:
            OSError: a part cannot be read, or was truncated.
        """
        if len(self.parts) == 1 and not self.slices:
            with self.parts[0].open("rb") as stream:
                yield stream
            return
        with io.BufferedReader(JoinedParts(self.parts, self.slices)) as joined:
            yield cast(io.BufferedReader, joined)


def file_fingerprint(part: Path) -> tuple[int, int, int]:
    """Size, modification time in ns and inode of a file; `GONE` if it does not exist."""
    try:
        stat = part.stat()
    except OSError:
        return GONE
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


class JoinedParts(io.RawIOBase):
    """Several files as one stream, without a joined copy. One of them is open at a time.

    Args:
        parts: the files in order.
        slices: the bytes of each file that count; empty for whole files.

    Raises:
        OSError: a part cannot be opened; later also when a part was truncated.
    """

    def __init__(self, parts: tuple[Path, ...], slices: tuple[Slice, ...] = ()) -> None:
        self._stream: io.FileIO | None = None  # first: `close` runs even if the rest fails
        self._parts = parts
        sizes = [part.stat().st_size for part in parts]
        self._starts = [part.start for part in slices] or [0] * len(parts)
        self._ends = list(accumulate([part.size for part in slices] or sizes))
        self._position = 0
        self._number = -1

    def readable(self) -> bool:
        """Always True."""
        return True

    def seekable(self) -> bool:
        """Always True."""
        return True

    def tell(self) -> int:
        """The position in the stream."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to a position in the stream. It can be after the end.

        Raises:
            OSError: the position is negative. `zipfile` relies on this for a file that is too short.
        """
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ends[-1]}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "negative seek position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Reads up to the end of one part; returns the number of bytes, 0 at the end of the last part.

        Raises:
            OSError: the part is missing or was truncated.
        """
        number = bisect_right(self._ends, self._position)
        if number == len(self._ends) or not len(buffer):
            return 0
        stream = self._opened(number)
        stream.seek(self._starts[number] + self._position - (self._ends[number - 1] if number else 0))
        count = stream.readinto(memoryview(buffer)[: self._ends[number] - self._position])
        if not count:  # 0 would mean the end of the stream
            raise OSError(errno.EIO, "a part became shorter while it was read")
        self._position += count
        return count

    def _opened(self, number: int) -> io.FileIO:
        if self._stream is None or number != self._number:
            self._shut()
            self._number, self._stream = number, io.FileIO(self._parts[number])
        return self._stream

    def _shut(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def close(self) -> None:
        """Closes the open part."""
        self._shut()
        super().close()

"""A ZIP as it lies in `landing/`: whole, or in the parts that AI Hub's shell tool downloads. Never written to."""

import errno
import io
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import cast

GONE = (0, 0, 0)
"""The look of a part that is not there (any more); no file has inode 0."""


@dataclass(frozen=True)
class LandedZip:
    """One ZIP, read as one stream however many files it lies in.

    Attributes:
        name: the ZIP's own name, e.g. `TS_광주_구급.zip`.
        parts: the files that make it up, in order; one for a whole ZIP.
    """

    name: str
    parts: tuple[Path, ...]

    @classmethod
    def whole(cls, path: Path) -> "LandedZip":
        """The ZIP that is one file."""
        return cls(path.name, (path,))

    @property
    def size_bytes(self) -> int:
        """The bytes of all parts that are there."""
        return sum(file_fingerprint(part)[0] for part in self.parts)

    def fingerprint(self) -> list[int]:
        """Size, time in ns and inode of each part: what changes when a part is touched. `GONE` for a missing one."""
        return [number for part in self.parts for number in file_fingerprint(part)]

    @contextmanager
    def open(self) -> Iterator[io.BufferedReader]:
        """Yields the content as one seekable stream.

        Raises:
            OSError: a part cannot be read, or became shorter meanwhile.
        """
        if len(self.parts) == 1:
            with self.parts[0].open("rb") as stream:
                yield stream
            return
        with io.BufferedReader(JoinedParts(self.parts)) as joined:
            yield cast(io.BufferedReader, joined)


def file_fingerprint(part: Path) -> tuple[int, int, int]:
    """Size, time in ns and inode of a file; `GONE` when it is not there."""
    try:
        stat = part.stat()
    except OSError:
        return GONE
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


class JoinedParts(io.RawIOBase):
    """Several files read one after another, without a joined copy. One of them is open at a time.

    Args:
        parts: the files in order.

    Raises:
        OSError: a part cannot be opened; later also when one became shorter than it was at the beginning.
    """

    def __init__(self, parts: tuple[Path, ...]) -> None:
        self._stream: io.FileIO | None = None  # first, because `close` is called even when the rest fails
        self._parts = parts
        self._ends = list(accumulate(part.stat().st_size for part in parts))
        self._position = 0
        self._number = -1

    def readable(self) -> bool:
        """True: it is for reading."""
        return True

    def seekable(self) -> bool:
        """True: every byte can be reached."""
        return True

    def tell(self) -> int:
        """The position in the joined content."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to a position of the joined content, which may lie past its end.

        Raises:
            OSError: the position is negative. `zipfile` relies on this when a file is too short to be a ZIP.
        """
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ends[-1]}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "negative seek position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Reads up to the end of one part; 0 at the end of the last.

        Raises:
            OSError: the part is gone, or ends earlier than it did.
        """
        number = bisect_right(self._ends, self._position)
        if number == len(self._ends) or not len(buffer):
            return 0
        stream = self._opened(number)
        stream.seek(self._position - (self._ends[number - 1] if number else 0))
        count = stream.readinto(memoryview(buffer)[: self._ends[number] - self._position])
        if not count:  # 0 would be taken for the end of the whole
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
        """Closes the part that is open."""
        self._shut()
        super().close()

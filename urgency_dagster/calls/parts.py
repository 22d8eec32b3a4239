"""A ZIP as it lies in `landing/`: whole, or in the parts that AI Hub's shell tool downloads. Never written to."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, cast


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
        """The bytes of all parts together."""
        return sum(part.stat().st_size for part in self.parts)

    def look(self) -> list[int]:
        """Size, time in ns and inode of each part: what changes when a part is touched."""
        stats = [part.stat() for part in self.parts]
        return [number for stat in stats for number in (stat.st_size, stat.st_mtime_ns, stat.st_ino)]

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Yields the content as one seekable stream.

        Raises:
            OSError: a part cannot be read.
        """
        if len(self.parts) == 1:
            with self.parts[0].open("rb") as stream:
                yield stream
            return
        with io.BufferedReader(JoinedParts(self.parts)) as joined:
            yield cast(BinaryIO, joined)


class JoinedParts(io.RawIOBase):
    """Several files read one after another, without a joined copy.

    Args:
        parts: the files in order.
    """

    def __init__(self, parts: tuple[Path, ...]) -> None:
        self._parts = parts
        self._ends = list(accumulate(part.stat().st_size for part in parts))
        self._position = 0
        self._number = 0
        self._stream = parts[0].open("rb")

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
        """Moves to a position of the joined content; before its start is refused like by a file.

        Raises:
            ValueError: the position is negative.
        """
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ends[-1]}[whence]
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Reads up to the end of one part; 0 at the end of the last."""
        number = next((n for n, end in enumerate(self._ends) if self._position < end), None)
        if number is None:
            return 0
        if number != self._number:
            self._stream.close()
            self._number, self._stream = number, self._parts[number].open("rb")
        self._stream.seek(self._position - (self._ends[number - 1] if number else 0))
        count = self._stream.readinto(memoryview(buffer)[: self._ends[number] - self._position])
        self._position += count
        return count

    def close(self) -> None:
        """Closes the part that is open."""
        if not self.closed:
            self._stream.close()
        super().close()

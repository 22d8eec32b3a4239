"""What others can read: modes of files and folders, also of those that exist for a moment only."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

INTERVAL_S = 0.1
OTHERS = 0o077


def open_to_others(folder: Path) -> dict[str, str]:
    """The mode of each file and folder, `folder` included, that is open to the group or to others."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):  # a temporary file
            mode = path.lstat().st_mode
            if mode & OTHERS and not path.is_symlink():
                found[str(path)] = oct(mode)
    return found


@contextmanager
def watched(folder: Path) -> Iterator[dict[str, str]]:
    """What was open to others at some moment of the block; complete after it."""
    found: dict[str, str] = {}
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(INTERVAL_S):
            with suppress(FileNotFoundError):
                found.update(open_to_others(folder))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
        found.update(open_to_others(folder))

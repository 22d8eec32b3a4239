"""How names of landed files are shown and compared. Nothing is opened here."""

import unicodedata


def printable(name: str) -> str:
    """A file name as it can be shown and stored: in NFC, control characters and undecodable bytes replaced."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in composed(name))


def composed(name: str) -> str:
    """The name in NFC: copies from macOS carry decomposed Hangul."""
    return unicodedata.normalize("NFC", name)


def same_name(name: str) -> str:
    """Equal for names that a disk may take for one: in another case, or composed in another way."""
    return composed(name.casefold())

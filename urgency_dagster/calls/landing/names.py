"""Names of landed files: printable, normalised, and comparable."""

import unicodedata


def printable(name: str) -> str:
    """A file name in NFC, with a replacement character for control characters and undecodable bytes."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in composed(name))


def composed(name: str) -> str:
    """The name in NFC. Copies from macOS have decomposed Hangul."""
    return unicodedata.normalize("NFC", name)


def same_name(name: str) -> str:
    """A key that is equal for two names that a file system can treat as one: other case, or other normalisation."""
    return composed(name.casefold())

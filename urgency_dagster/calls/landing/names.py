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


def decoded(raw_name: bytes) -> str:
    """Decodes a stored name: in NFC, with `/` between its folders.

    UTF-8 is tried first, whatever a flag says, then CP949, then CP437, the default of ZIP, which decodes any byte.
    Backslashes are replaced after decoding; no CP949 letter contains their byte.
    """
    for encoding in ("utf-8", "cp949", "cp437"):
        try:
            name = raw_name.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    return composed(name).replace("\\", "/")

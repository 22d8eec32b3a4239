"""Archive formats that are not read, and what to do with a file of each."""

import re
from typing import NamedTuple

ANY_CASE = re.ASCII | re.IGNORECASE | re.DOTALL

PACKERS = {"7z": "a 7-Zip archive", "rar": "a RAR archive", "alz": "an ALZip archive", "egg": "an ALZip archive"}

UNREAD = re.compile(
    r"(?P<stem>.*?)(?:"
    r"(?:\.part[0-9]+)?\.(?P<packer>7z|rar|alz|egg)(?:\.[0-9]{3})?"
    r"|\.(?P<tar>tar\.(?:gz|bz2|xz|zst|lzma)|tgz|tbz2?|txz)"
    r"|\.zip\.(?P<cut>[0-9]{3})"
    r"|\.(?P<volume>z[0-9]{2,3})"
    r")",
    ANY_CASE,
)
"""The names of other archives: 7-Zip, RAR and ALZip, compressed tars, and the volumes of split ZIPs."""


class UnreadFormat(NamedTuple):
    """A file of a format that is not read.

    Attributes:
        zip_name: the name of the ZIP that it would be.
        reason: why it is not read, and what to do.
    """

    zip_name: str
    reason: str


def unread_format(name: str) -> UnreadFormat | None:
    """The format of a file that holds an archive but is not read, by its name; None for other files."""
    match = UNREAD.fullmatch(name)
    if match is None:
        return None
    zip_name = f"{match['stem']}.zip"
    if match["packer"]:
        reason = f"{PACKERS[match['packer'].lower()]}, which is not read; unpack it, and pack its files as {zip_name}"
    elif match["tar"]:
        reason = "a compressed tar, which cannot be read in place; unpack it here (tar -xf), then delete it"
    elif match["cut"]:
        reason = f"a piece of a ZIP; join the pieces (cat {zip_name}.* > {zip_name}), then delete them"
    else:
        reason = split_zip(zip_name)
    return UnreadFormat(zip_name, reason)


def split_zip(zip_name: str) -> str:
    """The reason for a volume of a split ZIP (`x.z01`, …, `x.zip`)."""
    return f"a volume of a split ZIP, which is not read; join them: zip -s 0 {zip_name} --out joined.zip"

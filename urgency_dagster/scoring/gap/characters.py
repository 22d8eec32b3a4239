"""The character errors of recognised text against the text of labels."""

import unicodedata
from typing import NamedTuple

import numpy as np


class CharacterErrors(NamedTuple):
    """The figures of a character error rate.

    Attributes:
        errors: characters to insert, delete or replace, so that the recognised text becomes that of the label.
        characters: characters of the label.
    """

    errors: int
    characters: int


def character_errors(label: str, recognised: str) -> CharacterErrors:
    """The character errors of a text. Only letters and digits count, in Unicode's composed form (NFC).

    Spaces do not count, because Korean spacing differs between writers. Punctuation does not count, because
    recognisers by CTC do not write it. A syllable of Hangul is one character.

    Args:
        label: the text of the label.
        recognised: the recognised text.
    """
    wanted, got = _counted(label), _counted(recognised)
    return CharacterErrors(edit_distance(wanted, got), len(wanted))


def _counted(text: str) -> str:
    return "".join(character for character in unicodedata.normalize("NFC", text) if character.isalnum())


def edit_distance(one: str, other: str) -> int:
    """The lowest number of characters to insert, delete or replace, so that one text becomes the other.

    Source: Wagner and Fischer (1974), The String-to-String Correction Problem; one row of their table at a time. The
    insertions of a row are a running minimum.
    """
    codes, places = np.array([ord(character) for character in other], np.int64), np.arange(len(other) + 1)
    row = places
    for deleted, character in enumerate(one, start=1):
        changed = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(character)))
        row = np.minimum.accumulate(np.concatenate([[deleted], changed]) - places) + places
    return int(row[-1])

"""Which archive pairs have landed and can be read, and why the other files cannot be used. Nothing is unpacked here."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from urgency_dagster.calls.landing.cache import LandingCache, why_unreadable
from urgency_dagster.calls.landing.names import printable, same_name
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.landing.scan import FoundZip, find_zips
from urgency_dagster.errors import ArchiveError

AUDIO, LABEL = "S", "L"
PAIR_NAME = re.compile(r"(?P<split>[TV])(?P<kind>[SL])_(?P<rest>[^/\\]+)\.zip", re.ASCII | re.IGNORECASE)
"""AI Hub's naming: split (Training, Validation), kind (Source, Label), then region and category."""

OTHER_NAME = "not named like an AI Hub archive"


@dataclass(frozen=True)
class ArchivePair:
    """The audio ZIP and the label ZIP of one region, category and split.

    Attributes:
        archive: the pair's name less its S/L letter, e.g. `T_광주_구급`; also the partition key.
        audio: `TS_….zip` or `VS_….zip`.
        labels: `TL_….zip` or `VL_….zip`.
    """

    archive: str
    audio: LandedZip
    labels: LandedZip

    def fingerprint(self) -> list[int]:
        """What changes when one of the files is touched."""
        return [*self.audio.fingerprint(), *self.labels.fingerprint()]

    @property
    def size_bytes(self) -> int:
        """The bytes of both ZIPs."""
        return self.audio.size_bytes + self.labels.size_bytes


@dataclass(frozen=True)
class Landing:
    """What lies in the landing folder.

    Attributes:
        folder: the landing folder.
        pairs: the pairs that can be read, by archive.
        problems: every other file that belongs to a ZIP, by its printable name below the folder, with the reason why
            it cannot be used (yet).
    """

    folder: Path
    pairs: dict[str, ArchivePair] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def refuse(self, file: Path, reason: str) -> None:
        """Notes why a file cannot be used."""
        shown = printable(file.relative_to(self.folder).as_posix())
        name, number = shown, 1
        while name in self.problems:  # names may differ only in how they are composed, or in what cannot be printed
            number += 1
            name = f"{shown} ({number})"
        self.problems[name] = reason

    def withdraw(self, archive: str, reason: str) -> None:
        """Takes back a pair that proved unusable when it was read."""
        pair = self.pairs.pop(archive)
        for file in (*pair.audio.parts, *pair.labels.parts):
            self.refuse(file, reason)


def scan_landing(folder: Path, cache: LandingCache | None = None) -> Landing:
    """The pairs below `folder`, at any depth, that are complete and can be read, and the reasons why others cannot.

    Names are compared in NFC and without regard to case, so that no two archives share a folder on any disk. Names
    that no partition key can have (not printable, which includes bytes that are no UTF-8; or with `...`, which means
    a range of keys) are refused.

    Args:
        folder: the landing folder; none is an empty one.
        cache: what is known of the ZIPs; without it the list of members of each is read.
    """
    found = find_zips(folder)
    landing = Landing(folder)
    for file, reason in found.problems.items():
        landing.refuse(file, reason)
    named: dict[str, list[_Candidate]] = defaultdict(list)
    for candidate in _candidates(found.zips, landing):
        named[same_name(candidate.archive)].append(candidate)
    for _, candidates in sorted(named.items()):
        _add_pair(landing, candidates, cache)
    return landing


@dataclass(frozen=True)
class _Candidate:
    """A ZIP that is named like one side of a pair."""

    archive: str
    kind: str
    found: FoundZip


def _candidates(zips: list[FoundZip], landing: Landing) -> Iterator[_Candidate]:
    for found in zips:
        name = found.zip.name
        match = PAIR_NAME.fullmatch(name)
        if match is None or "..." in name or not name.isprintable():
            _refuse_zip(landing, found.zip, _why_other_name(name))
        else:
            yield _Candidate(f"{match['split'].upper()}_{match['rest']}", match["kind"].upper(), found)


def _why_other_name(name: str) -> str:
    if not name.isprintable():
        return f"{OTHER_NAME}: its name holds characters that cannot be printed; rename it"
    if "..." in name:
        return f"{OTHER_NAME}: its name holds three dots, which mean a range of archives; rename it"
    return f"{OTHER_NAME} (TS_x, TL_x, VS_x or VL_x)"


def _refuse_zip(landing: Landing, landed: LandedZip, reason: str) -> None:
    for part in landed.parts:
        landing.refuse(part, reason)


def _add_pair(landing: Landing, candidates: list[_Candidate], cache: LandingCache | None) -> None:
    """Adds the pair when both of its ZIPs are there once, complete and readable, otherwise the reasons why not."""
    sides = {kind: [candidate for candidate in candidates if candidate.kind == kind] for kind in (AUDIO, LABEL)}
    own = {kind: [_own_problem(candidate, side, cache) for candidate in side] for kind, side in sides.items()}
    if all(own[kind] == [""] for kind in sides):
        (audio,), (labels,) = sides[AUDIO], sides[LABEL]
        landing.pairs[audio.archive] = ArchivePair(audio.archive, audio.found.zip, labels.found.zip)
        return
    for kind, other in ((AUDIO, LABEL), (LABEL, AUDIO)):
        for candidate, problem in zip(sides[kind], own[kind], strict=True):
            partner = f"its partner {candidate.archive[0]}{other}{candidate.archive[1:]}.zip"
            waits = f"{partner} cannot be used yet" if sides[other] else f"{partner} has not landed"
            _refuse_zip(landing, candidate.found.zip, problem or waits)


def _own_problem(candidate: _Candidate, side: list[_Candidate], cache: LandingCache | None) -> str:
    """Why a ZIP cannot be used whatever its partner is like, or an empty text."""
    if candidate.found.problem:
        return candidate.found.problem
    if len(side) > 1:
        differ = len({other.archive for other in side}) > 1
        names = ", under names that differ only in case" if differ else ""
        return f"lies here {len(side)} times{names}; leave one copy"
    try:
        return cache.why_unreadable(candidate.found.zip) if cache else why_unreadable(candidate.found.zip)
    except ArchiveError as error:
        return str(error.args[0])

"""The readable archive pairs in the landing folder, and the reasons why other files cannot be used."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from urgency_dagster.calls.landing.cache import LandingCache, why_unreadable
from urgency_dagster.calls.landing.formats import unread_format
from urgency_dagster.calls.landing.landed_tables import LandedTable, with_side
from urgency_dagster.calls.landing.names import composed, printable, same_name
from urgency_dagster.calls.landing.parts import LandedZip
from urgency_dagster.calls.landing.scan import FoundZip, find_zips, no_file, zips_in_tar
from urgency_dagster.calls.landing.tars import TarMember, listed_members, tar_listing
from urgency_dagster.errors import ArchiveError

AUDIO, LABEL = "S", "L"
PAIR_NAME = re.compile(r"(?P<split>[TV])(?P<kind>[SL])_(?P<rest>[^/\\]+)\.zip", re.ASCII | re.IGNORECASE)
"""AI Hub's naming: split (Training, Validation), kind (Source, Label), then region and category."""

NO_ZIP_INSIDE = "holds no ZIP and no part of one"
UNPACKED_TOO = "lies beside the tar as a file too, and that one is used; delete the tar"

OTHER_NAME = "not named like an AI Hub archive"


@dataclass(frozen=True)
class ArchivePair:
    """The audio ZIP and the label ZIP of one region, category and split.

    Attributes:
        archive: the common name without the letter S or L, e.g. `T_광주_구급`; it is the partition key.
        audio: `TS_….zip` or `VS_….zip`.
        labels: `TL_….zip` or `VL_….zip`.
        is_table: whether it is a table of the original's scripts: an NPY file of vectors, and a CSV.
    """

    archive: str
    audio: LandedZip
    labels: LandedZip
    is_table: bool = field(default=False, kw_only=True)

    def fingerprint(self) -> list[int]:
        """The fingerprints of both ZIPs, see `LandedZip.fingerprint`."""
        return [*self.audio.fingerprint(), *self.labels.fingerprint()]

    @property
    def size_bytes(self) -> int:
        """The bytes of both ZIPs."""
        return self.audio.size_bytes + self.labels.size_bytes


@dataclass(frozen=True)
class Landing:
    """The result of a scan of the landing folder.

    Attributes:
        folder: the landing folder.
        pairs: the readable pairs, by archive.
        problems: for every other file of a ZIP, by its printable relative name, the reason why it cannot be used.
    """

    folder: Path
    pairs: dict[str, ArchivePair] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def refuse(self, file: Path, reason: str) -> None:
        """Adds a file that cannot be used, with the reason."""
        shown = printable((file.relative_to(self.folder) if file.is_relative_to(self.folder) else file).as_posix())
        name, number = shown, 1
        while name in self.problems:  # two files can have the same printable name
            number += 1
            name = f"{shown} ({number})"
        self.problems[name] = reason


def scan_landing(
    folder: Path, cache: LandingCache | None = None, tables: Mapping[str, LandedTable] | None = None
) -> Landing:
    """Finds the complete and readable pairs below a folder, at any depth, and the reasons for all other files.

    Names are compared in NFC and without case, so that two archives never share a folder on any file system. Names that
    cannot be partition keys are refused: unprintable ones, and those with `...`, which means a range of keys.

    Args:
        folder: the landing folder. A missing one counts as empty.
        cache: results of former scans. Without it, the central directory of each ZIP is read.
        tables: by archive, the tables of the original's scripts that are named in an option. They may lie elsewhere.
    """
    scan = find_zips(folder)
    landing = Landing(folder)
    named_tables = tables or {}
    named_files = {path.resolve() for table in named_tables.values() for path in table}
    for file, reason in scan.problems.items():
        if file.resolve() not in named_files:
            landing.refuse(file, reason)
    in_tars = [found for tar in scan.tars for found in _zips_in_tar(tar, landing, cache)]
    named: dict[str, list[_Candidate]] = defaultdict(list)
    for candidate in _candidates([*scan.zips, *in_tars], landing):
        named[same_name(candidate.archive)].append(candidate)
    for _, candidates in sorted(named.items()):
        _add_pair(landing, candidates, cache, scan.elsewhere)
    found = [(table.archive(folder), table) for table in scan.tables if not named_files & {*map(Path.resolve, table)}]
    _add_tables(landing, [*found, *_readable_tables(landing, named_tables)], {*named})
    return landing


def _readable_tables(landing: Landing, tables: Mapping[str, LandedTable]) -> Iterator[tuple[str, LandedTable]]:
    """The named tables of which both files can be read; the others are refused."""
    for name, table in tables.items():
        problems = {path: "it is not there" if not path.exists() else no_file(path) for path in table}
        if not any(problems.values()):
            yield with_side(composed(name)), table
        for path, problem in problems.items():
            if problem:
                landing.refuse(path, f"run_config.yaml names it as a table of {name}, but {problem}")


def _add_tables(landing: Landing, tables: list[tuple[str, LandedTable]], of_zips: set[str]) -> None:
    """Adds the tables of the original's scripts with their archives, unless another input has the archive's name."""
    names = Counter(same_name(archive) for archive, _ in tables)
    for archive, table in tables:
        key = same_name(archive)
        if not archive.isprintable() or "..." in archive or "/" in archive:
            reason = "its name cannot be that of an archive; rename it"
        elif key in of_zips or names[key] > 1:
            reason = f"another input is named {archive} too; rename the CSV, for example to T_<name>.csv"
        else:
            csv, npy = LandedZip.whole(table.csv), LandedZip.whole(table.npy)
            landing.pairs[archive] = ArchivePair(archive, npy, csv, is_table=True)
            continue
        for path in table:
            landing.refuse(path, reason)


def _zips_in_tar(tar: Path, landing: Landing, cache: LandingCache | None) -> list[FoundZip]:
    """The ZIPs in a tar. A tar that cannot be read, or that has none, is refused."""
    landed = LandedZip.whole(tar)
    try:
        listing = cache.tar_listing(landed) if cache else tar_listing(landed)
    except ArchiveError as error:
        landing.refuse(tar, str(error.args[0]))
        return []
    members = listed_members(listing)
    found = [] if members is None else list(zips_in_tar(tar, members))
    unread = _refuse_unread(tar, members or [], landing)
    if not found and not unread:
        landing.refuse(tar, listing if members is None else NO_ZIP_INSIDE)
    return found


def _refuse_unread(tar: Path, members: list[TarMember], landing: Landing) -> int:
    """Refuses the members of a tar whose format is not read; returns their number."""
    formats = [(member.name, unread_format(member.name.rpartition("/")[2])) for member in members]
    unread = [(name, format_.reason) for name, format_ in formats if format_]
    for name, reason in unread:
        landing.refuse(tar / name.lstrip("/"), reason)
    return len(unread)


@dataclass(frozen=True)
class _Candidate:
    """A ZIP with the name of one half of a pair."""

    archive: str
    kind: str
    found_zip: FoundZip


def _candidates(zips: list[FoundZip], landing: Landing) -> Iterator[_Candidate]:
    for found_zip in zips:
        name = found_zip.zip.name
        match = PAIR_NAME.fullmatch(name)
        if match is None or "..." in name or not name.isprintable():
            _refuse_zip(landing, found_zip.zip, _why_other_name(name))
        else:
            yield _Candidate(f"{match['split'].upper()}_{match['rest']}", match["kind"].upper(), found_zip)


def _why_other_name(name: str) -> str:
    if not name.isprintable():
        return f"{OTHER_NAME}: its name holds characters that cannot be printed; rename it"
    if "..." in name:
        return f"{OTHER_NAME}: its name holds three dots, which mean a range of archives; rename it"
    return f"{OTHER_NAME} (TS_x, TL_x, VS_x or VL_x)"


def _refuse_zip(landing: Landing, landed: LandedZip, reason: str) -> None:
    for part in landed.shown:
        landing.refuse(part, reason)


def _add_pair(
    landing: Landing, candidates: list[_Candidate], cache: LandingCache | None, elsewhere: Mapping[str, str]
) -> None:
    """Adds the pair if each of its ZIPs exists once and is readable; otherwise the reasons for its files."""
    by_kind = {kind: _outside_tars(landing, candidates, kind) for kind in (AUDIO, LABEL)}
    problems = {
        kind: [_own_problem(candidate, same_kind, cache) for candidate in same_kind]
        for kind, same_kind in by_kind.items()
    }
    if all(problems[kind] == [""] for kind in by_kind):
        (audio,), (labels,) = by_kind[AUDIO], by_kind[LABEL]
        landing.pairs[audio.archive] = ArchivePair(audio.archive, audio.found_zip.zip, labels.found_zip.zip)
        return
    for kind, other in ((AUDIO, LABEL), (LABEL, AUDIO)):
        for candidate, problem in zip(by_kind[kind], problems[kind], strict=True):
            partner = f"{candidate.archive[0]}{other}{candidate.archive[1:]}.zip"
            waits = _why_waiting(partner, [text for text in problems[other] if text], elsewhere)
            _refuse_zip(landing, candidate.found_zip.zip, problem or waits)


def _why_waiting(partner: str, problems: list[str], elsewhere: Mapping[str, str]) -> str:
    """Why a ZIP waits for its partner.

    Args:
        partner: the name of the other ZIP of the pair.
        problems: why it cannot be used; empty if it has not landed.
        elsewhere: see `LandedFiles`.
    """
    if problems:
        return f"its partner {partner} cannot be used yet: {problems[0]}"
    unread = elsewhere.get(same_name(partner))
    found = f"; {unread} is here, which cannot be used" if unread else ""
    return f"its partner {partner} has not landed{found}"


def _outside_tars(landing: Landing, candidates: list[_Candidate], kind: str) -> list[_Candidate]:
    """The candidates of a kind. A ZIP that was unpacked from its tar wins over the member of the tar."""
    same_kind = [candidate for candidate in candidates if candidate.kind == kind]
    outside = [candidate for candidate in same_kind if not candidate.found_zip.zip.slices]
    for candidate in same_kind if outside else ():
        if candidate.found_zip.zip.slices:
            _refuse_zip(landing, candidate.found_zip.zip, UNPACKED_TOO)
    return outside or same_kind


def _own_problem(candidate: _Candidate, same_kind: list[_Candidate], cache: LandingCache | None) -> str:
    """Why a ZIP cannot be used, independent of its partner; empty if it can."""
    if candidate.found_zip.problem:
        return candidate.found_zip.problem
    if len(same_kind) > 1:
        differ = len({other.archive for other in same_kind}) > 1
        names = ", under names that differ only in case" if differ else ""
        return f"lies here {len(same_kind)} times{names}; leave one copy"
    landed = candidate.found_zip.zip
    try:
        return cache.why_unreadable(landed) if cache else why_unreadable(landed)
    except ArchiveError as error:
        return str(error.args[0])

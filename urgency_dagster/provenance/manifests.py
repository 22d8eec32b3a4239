"""The manifest of an artefact: its inputs, options and content. It decides whether the artefact is up to date.

The `run` command, the sensor and the assets use the same rule. Dagster's event log has no part in it, so deleting the
log makes no artefact outdated.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from urgency_dagster.paths import StoragePaths
from urgency_dagster.writing import file_hash, read_json, text_hash, write_json

GENERATION = re.compile(r"(?<=^[0-9a-f]{64})\.\d+$")
"""A counter that version 0.1 appended to the content hash of an input. It is ignored."""

NEVER_MADE = "it was never made"
"""The reason to make an artefact without a manifest."""

NO_RENAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Manifest:
    """The record of one artefact.

    Attributes:
        asset: the asset key joined by slashes.
        partition: the archive, or None.
        code_version: the version of the code that made the artefact.
        inputs: the version of each input, by a name such as `utterances` or `processed_data/T_광주_구급`.
        config: the run configuration of the step.
        declared: what `run_config.yaml` declared of the step. Earlier versions did not write it.
        files: size in bytes by file, number of files by folder. Paths are relative to the storage root.
        data_version: SHA-256 of the content. Equal bytes give equal versions.
    """

    asset: str
    partition: str | None
    code_version: str
    inputs: dict[str, str]
    config: dict[str, Any] = field(default_factory=dict)
    declared: dict[str, Any] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    data_version: str = ""


MANIFESTS_KEPT = 16_384
"""Maximum manifests in memory: those of 3,000 archives, about 40 MB."""

FIELDS = {item.name for item in fields(Manifest)}


def completed(paths: StoragePaths, manifest: Manifest, outputs: Sequence[Path]) -> Manifest:
    """A manifest with the sizes and the content hash of the outputs.

    A folder enters only by its number of files, so another output must identify its content.
    """
    files = {paths.relative(path): _extent(path) for path in outputs}
    content = [part for path in outputs if path.is_file() for part in (paths.relative(path), file_hash(path))]
    return replace(manifest, files=files, data_version=text_hash(*content))


def write_manifest(paths: StoragePaths, manifest: Manifest) -> None:
    """Stores a complete manifest. From then on the artefact counts as made."""
    write_json(paths.manifest(manifest.asset, manifest.partition), asdict(manifest))


def read_manifest(
    paths: StoragePaths, asset: str, partition: str | None = None, renamed: Mapping[str, str] = NO_RENAMES
) -> Manifest | None:
    """The stored manifest, or None when it is absent or unreadable. It also reads manifests of version 0.1.

    Args:
        paths: the storage root.
        asset: the asset key joined by slashes.
        partition: the archive, or None.
        renamed: the present name of each renamed option, by its former name.
    """
    return _parsed(paths.manifest(asset, partition), renamed)


def _parsed(file: Path, renamed: Mapping[str, str] = NO_RENAMES) -> Manifest | None:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    manifest = _read(str(file), stat.st_size, stat.st_mtime_ns, stat.st_ino)
    if manifest is None or not renamed.keys() & {*manifest.config, *manifest.declared}:
        return manifest
    config, declared = (
        {renamed.get(name, name): value for name, value in part.items()}
        for part in (manifest.config, manifest.declared)
    )
    return replace(manifest, config=config, declared=declared)


@lru_cache(maxsize=MANIFESTS_KEPT)
def _read(file: str, *_state: int) -> Manifest | None:
    """The manifest in a file. A plan asks for one several times, and the sensor plans every few seconds.

    A manifest is replaced by a new file, so size, time and inode together identify its content.
    """
    try:
        known = {name: value for name, value in read_json(Path(file)).items() if name in FIELDS}
        known["inputs"] = {name: GENERATION.sub("", version) for name, version in known["inputs"].items()}
        return Manifest(**known)
    except (FileNotFoundError, ValueError, TypeError, AttributeError, KeyError):  # absent, no JSON, or another format
        return None


def stored_manifests(paths: StoragePaths) -> list[Manifest]:
    """All readable manifests of a storage root, sorted by file."""
    folder = paths.manifest("any").parent
    files = sorted([*folder.glob("*.json"), *folder.glob("*/*.json")])
    return [manifest for file in files if (manifest := _parsed(file))]


def is_whole(paths: StoragePaths, manifest: Manifest) -> bool:
    """Whether the files of an artefact exist and have the recorded sizes. Folders deleted after use do not count."""
    return not _missing(paths, manifest)


def deleted_after_use(paths: StoragePaths, manifest: Manifest) -> list[str]:
    """The unpacked folders of an archive that are not there any more, relative to the storage root."""
    unpacked = paths.archive(manifest.partition).unpacked if manifest.partition else ()
    return [
        name for name in map(paths.relative, unpacked) if name in manifest.files and not (paths.root / name).exists()
    ]


def _missing(paths: StoragePaths, manifest: Manifest) -> list[str]:
    deleted = deleted_after_use(paths, manifest)
    return [
        name for name, extent in manifest.files.items() if name not in deleted and _extent(paths.root / name) != extent
    ]


def partitions_with_manifest(paths: StoragePaths, asset: str) -> list[str]:
    """The archives with a complete artefact of a partitioned asset, sorted."""
    return sorted(path.stem for path in paths.manifest(asset, "any").parent.glob("*.json"))


def why_stale(
    manifest: Manifest | None,
    paths: StoragePaths,
    *,
    code_version: str,
    inputs: Mapping[str, str],
    config: Mapping[str, Any],
) -> str | None:
    """The reason to make an artefact again, or None when it is up to date.

    Args:
        manifest: the stored manifest.
        paths: the storage root.
        code_version: the present version of the code.
        inputs: the present version of each input.
        config: the declared options that decide numbers. An option that is not declared may have any value. A
            person may have chosen another value than the declared one: it stays until the declared one changes.
    """
    if manifest is None:
        return NEVER_MADE
    if missing := _missing(paths, manifest):
        return f"{missing[0]} is missing or was changed"
    if manifest.code_version != code_version:
        return "its code changed"
    changed = sorted(k for k in {*inputs, *manifest.inputs} if inputs.get(k) != manifest.inputs.get(k))
    if changed:
        return f"its input {changed[0]} changed"
    options = sorted(k for k, value in config.items() if value not in _known_values(manifest, k))
    return f"its option {options[0]} changed" if options else None


def _known_values(manifest: Manifest, option: str) -> list[Any]:
    """The value that was used, and the one that was declared then. A person may have chosen another."""
    declared = [manifest.declared[option]] if option in manifest.declared else []
    return [manifest.config.get(option), *declared]


def _extent(path: Path) -> int:
    """The size of a file in bytes, the number of files in a folder, or -1 when the path does not exist."""
    if path.is_dir():
        return sum(len(files) for _, _, files in os.walk(path))
    return path.stat().st_size if path.is_file() else -1

"""What an artefact was made from, written after it, and whether it still holds.

One rule decides for the command, the sensor and the assets alike whether work is needed. Dagster's event log is for
people; it may be deleted without any work being done again.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from urgency_dagster.paths import StoragePaths
from urgency_dagster.writing import file_hash, read_json, text_hash, write_json


@dataclass(frozen=True)
class Manifest:
    """The record of one artefact.

    Attributes:
        asset: the asset key joined by slashes.
        partition: the archive, or None.
        code_version: the version of the code that made it.
        inputs: version of each input, by a name such as `utterances` or `processed_data/T_광주_구급`.
        config: the run configuration it was made with.
        files: size in bytes of each file below the storage root; the number of files for a folder.
        data_version: the identity of its content; the same bytes give the same version.
        generation: how many times in a row it was made.
    """

    asset: str
    partition: str | None
    code_version: str
    inputs: dict[str, str]
    config: dict[str, Any] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    data_version: str = ""
    generation: int = 0

    @property
    def version(self) -> str:
        """What changes whenever the artefact is made again, so that what depends on it is made again too."""
        return f"{self.data_version}.{self.generation}"


def write_manifest(paths: StoragePaths, manifest: Manifest, outputs: Sequence[Path]) -> Manifest:
    """Completes `manifest` with the sizes and the identity of `outputs`, and stores it.

    A folder counts by its number of files only; what identifies its content must be a file beside it.
    """
    files = {paths.relative(path): _extent(path) for path in outputs}
    content = [part for path in outputs if path.is_file() for part in (paths.relative(path), file_hash(path))]
    before = read_manifest(paths, manifest.asset, manifest.partition)
    complete = replace(
        manifest,
        files=files,
        data_version=text_hash(*content),
        generation=before.generation + 1 if before else 1,
    )
    write_json(paths.manifest(manifest.asset, manifest.partition), asdict(complete))
    return complete


def read_manifest(paths: StoragePaths, asset: str, partition: str | None = None) -> Manifest | None:
    """The stored record, or None when the artefact was never completed or the record is not readable."""
    source = paths.manifest(asset, partition)
    try:
        return Manifest(**read_json(source))
    except (FileNotFoundError, ValueError, TypeError):  # absent, no JSON, or of another version
        return None


def partitions_with_manifest(paths: StoragePaths, asset: str) -> list[str]:
    """The archives for which a partitioned artefact was completed, sorted."""
    return sorted(path.stem for path in paths.manifest(asset, "any").parent.glob("*.json"))


def why_stale(
    manifest: Manifest | None,
    paths: StoragePaths,
    *,
    code_version: str,
    inputs: Mapping[str, str],
    config: Mapping[str, Any],
) -> str | None:
    """The reason to make an artefact again, or None when it holds.

    Args:
        manifest: the stored record.
        paths: the storage root.
        code_version: the version of the code that would make it now.
        inputs: the versions of what it would be made from now.
        config: the configuration that is asked for; fields that are not named may have any value.
    """
    if manifest is None:
        return "it was never made"
    missing = [name for name, extent in manifest.files.items() if _extent(paths.root / name) != extent]
    if missing:
        return f"{missing[0]} is missing or was changed"
    if manifest.code_version != code_version:
        return "its code changed"
    changed = sorted(k for k in {*inputs, *manifest.inputs} if inputs.get(k) != manifest.inputs.get(k))
    if changed:
        return f"its input {changed[0]} changed"
    different = sorted(k for k, value in config.items() if manifest.config.get(k) != value)
    return f"its setting {different[0]} changed" if different else None


def _extent(path: Path) -> int:
    """The size of a file, the number of files in a folder, -1 when there is neither."""
    if path.is_dir():
        return sum(len(files) for _, _, files in os.walk(path))
    return path.stat().st_size if path.is_file() else -1

"""Dagster events about the landing folders: new partitions, the content of landed files, and unusable files."""

from collections.abc import Iterator, Mapping

import dagster as dg

from urgency_dagster.calls import file_fingerprint
from urgency_dagster.provenance.keys import ATTENTION_SOURCE, CALL_ARCHIVE, CALL_ARCHIVES
from urgency_dagster.provenance.landed import LandedContent

DATA_VERSION_TAG = "dagster/data_version"

PROBLEMS = "not_used"
"""Metadata: the table of unusable files."""

PROBLEM_SCHEMA = dg.TableSchema([dg.TableColumn("file", "string"), dg.TableColumn("reason", "string")])


def new_partitions(instance: dg.DagsterInstance, archives: list[str]) -> list[str]:
    """The archives without a Dagster partition."""
    known = set(instance.get_dynamic_partitions(CALL_ARCHIVES))
    return [archive for archive in archives if archive not in known]


def landing_events(
    instance: dg.DagsterInstance, landed: LandedContent, names: list[str]
) -> Iterator[dg.AssetMaterialization]:
    """One event for each landed archive or pickle whose content was not reported to Dagster.

    Args:
        instance: the Dagster instance.
        landed: one scan of the landing folders.
        names: archives, or `attention.pkl`. A name that has not landed is ignored.
    """
    for name in names:
        pair, pickle = landed.calls.pairs.get(name), landed.paths.attention_pickle
        if pair:
            yield from _event_if_new(instance, landed, CALL_ARCHIVE, name, pair.size_bytes)
        elif name == pickle.name and pickle.is_file():
            yield from _event_if_new(instance, landed, ATTENTION_SOURCE, None, pickle.stat().st_size)


def _event_if_new(
    instance: dg.DagsterInstance, landed: LandedContent, key: dg.AssetKey, partition: str | None, size: int
) -> Iterator[dg.AssetMaterialization]:
    version = landed.version(key, partition)
    if version and version != _reported_version(instance, key, partition):
        yield dg.AssetMaterialization(
            key, partition=partition, metadata={"bytes": size, "sha256": version}, tags={DATA_VERSION_TAG: version}
        )


def _reported_version(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> str | None:
    records = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
    events = instance.fetch_materializations(records, limit=1).records
    last = events[0].asset_materialization if events else None
    return (last.tags or {}).get(DATA_VERSION_TAG) if last else None


def landing_observation(instance: dg.DagsterInstance, problems: Mapping[str, str]) -> Iterator[dg.AssetObservation]:
    """One event for the page of `call_archive` with the unusable files, if they differ from the last report.

    Args:
        instance: the Dagster instance.
        problems: the reason by file name.
    """
    records = [dg.TableRecord({"file": file, "reason": reason}) for file, reason in sorted(problems.items())]
    if records != _reported_problems(instance):
        table = dg.MetadataValue.table(records, schema=PROBLEM_SCHEMA)
        yield dg.AssetObservation(CALL_ARCHIVE, metadata={"files_not_used": len(records), PROBLEMS: table})


def _reported_problems(instance: dg.DagsterInstance) -> list[dg.TableRecord]:
    events = instance.fetch_observations(CALL_ARCHIVE, limit=1).records
    last = events[0].asset_observation if events else None
    table = last.metadata.get(PROBLEMS) if last else None
    return list(table.records) if isinstance(table, dg.TableMetadataValue) else []


def landing_fingerprints(landed: LandedContent) -> dict[str, list[int]]:
    """Size, time and inode of the landed files, by archive or `attention.pkl`. They show whether a file changes."""
    fingerprints = {archive: pair.fingerprint() for archive, pair in landed.calls.pairs.items()}
    pickle = landed.paths.attention_pickle
    if pickle.is_file():
        fingerprints[pickle.name] = list(file_fingerprint(pickle))
    return fingerprints

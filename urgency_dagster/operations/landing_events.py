"""Dagster events about the landing folders: new partitions, the content of landed files, and unusable files."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import dagster as dg

from urgency_dagster.calls import file_fingerprint
from urgency_dagster.provenance.keys import ATTENTION_SOURCE, CALL_ARCHIVE, CALL_ARCHIVES
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.writing import text_hash

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
    reported = _reported_versions(instance, CALL_ARCHIVE)
    for name in names:
        pair, pickle = landed.calls.pairs.get(name), landed.paths.attention_pickle
        if pair:
            yield from _event_if_new(landed, CALL_ARCHIVE, name, pair.size_bytes, reported.get(name))
        elif name == pickle.name and pickle.is_file():
            last = _reported_version(instance, ATTENTION_SOURCE)
            yield from _event_if_new(landed, ATTENTION_SOURCE, None, pickle.stat().st_size, last)


def _event_if_new(
    landed: LandedContent, key: dg.AssetKey, partition: str | None, size: int, reported: str | None
) -> Iterator[dg.AssetMaterialization]:
    version = landed.version(key, partition)
    if version and version != reported:
        yield dg.AssetMaterialization(
            key, partition=partition, metadata={"bytes": size, "sha256": version}, tags={DATA_VERSION_TAG: version}
        )


def _reported_versions(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, str]:
    """The last reported version of each partition, in one query."""
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
    )
    return {partition: values[DATA_VERSION_TAG] for partition, values in tags.items() if DATA_VERSION_TAG in values}


def _reported_version(instance: dg.DagsterInstance, key: dg.AssetKey) -> str | None:
    events = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=key), limit=1).records
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


CHANGED = "its size or time changed since the last tick; it is used when it no longer changes"


@dataclass(frozen=True)
class LandingLook:
    """The landed inputs at one tick of the sensor, compared with the tick before. An input is a pair or the pickle.

    Attributes:
        former: the fingerprint of each input at the last tick; None at the first tick.
        present: the fingerprint of each input at this tick.
        told: the problems that were told, as hashes.
    """

    former: Mapping[str, str] | None
    present: Mapping[str, str]
    told: frozenset[str] | None

    @classmethod
    def since(cls, cursor: str | None, landed: LandedContent) -> Self:
        """A look at the landing folders.

        Args:
            cursor: what `cursor` returned at the last tick. One of version 0.1 counts as none.
            landed: one scan of the landing folders.
        """
        stored = json.loads(cursor) if cursor else {}
        told = frozenset(stored["told"]) if "told" in stored else None
        return cls(stored.get("inputs"), _fingerprints(landed), told)

    @property
    def is_first(self) -> bool:
        """Whether no tick came before this one."""
        return self.former is None

    @property
    def settled(self) -> set[str]:
        """The inputs that are the same as at the last tick."""
        former = self.former or {}
        return {name for name, fingerprint in self.present.items() if former.get(name) == fingerprint}

    @property
    def unsettled(self) -> set[str]:
        """The inputs that are new, or that changed since the last tick. They wait for the next one."""
        return self.present.keys() - self.settled

    def problems(self) -> dict[str, str]:
        """The inputs that changed since the last tick, with the reason. A new input is no problem."""
        return dict.fromkeys(sorted(self.unsettled & (self.former or {}).keys()), CHANGED)

    def untold(self, problems: Mapping[str, str]) -> dict[str, str]:
        """The problems that are new or whose text changed since the last tick."""
        return {file: text for file, text in problems.items() if _hash(file, text) not in (self.told or ())}

    def is_news(self, problems: Mapping[str, str]) -> bool:
        """Whether the problems differ from those of the last tick."""
        return self.told != _hashes(problems)

    def cursor(self, problems: Mapping[str, str]) -> str:
        """The text to remember until the next tick."""
        return json.dumps({"inputs": self.present, "told": sorted(_hashes(problems))}, ensure_ascii=False)


def _fingerprints(landed: LandedContent) -> dict[str, str]:
    """A hash of size, time and inode of the landed files, by archive or `attention.pkl`."""
    numbers = {archive: pair.fingerprint() for archive, pair in landed.calls.pairs.items()}
    pickle = landed.paths.attention_pickle
    if pickle.is_file():
        numbers[pickle.name] = list(file_fingerprint(pickle))
    return {name: _hash(str(fingerprint)) for name, fingerprint in sorted(numbers.items())}


def _hashes(problems: Mapping[str, str]) -> frozenset[str]:
    return frozenset(_hash(file, text) for file, text in problems.items())


def _hash(*texts: str) -> str:
    return text_hash(*texts)[:16]

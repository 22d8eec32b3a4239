"""The run history from the files: what is on disk is reported to a Dagster instance that does not know it.

A history can be new, lost, or of another machine. The files decide what is made; the history shows it.
"""

from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.definitions.data_version import (
    DATA_VERSION_TAG,
    NULL_DATA_VERSION,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import DagsterEvent
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID
from dagster._core.utils import make_new_run_id
from dagster_shared.record import replace

from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.events import AssetEvent, stored_events, version_tags
from urgency_dagster.provenance.keys import (
    LANDED,
    LANDED_OF_PARTITIONS,
    NOT_MADE,
    PARTITIONED,
    PARTITIONS,
    PRETRAINED_INPUT,
)
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.provenance.manifests import Manifest, is_whole, stored_manifests
from urgency_dagster.provenance.record import landed_result

MADE_AT = "made_at"
"""Metadata of a reported artefact: when it was made. The time of the event is that of the report."""


def report_history(instance: dg.DagsterInstance, landed: LandedContent) -> int:
    """Reports every artefact and landed input whose present content the instance does not know. It hashes nothing.

    Args:
        instance: the Dagster instance.
        landed: one scan of the landing folders.

    Returns:
        The number of reported artefacts and inputs.
    """
    manifests = [manifest for manifest in stored_manifests(landed.paths) if is_whole(landed.paths, manifest)]
    for definition, key in LANDED_OF_PARTITIONS.items():
        of_assets = {item.partition for item in manifests if item.asset in PARTITIONS[definition]}
        archives = sorted(name for name in {*landed.partitions(key), *of_assets} if name)
        instance.add_dynamic_partitions(definition, new_partitions(instance, definition, archives))
    known = _Known(instance)
    unknown = [manifest for manifest in manifests if not known.has(manifest)]
    inputs = list(_landed_events(landed, known))
    for event in inputs:
        instance.report_runless_asset_event(event)
    for manifest in _in_order(unknown):
        _report(instance, landed.paths, manifest)
    return len(unknown) + len(inputs)


def new_partitions(instance: dg.DagsterInstance, definition: str, archives: list[str]) -> list[str]:
    """The archives without a Dagster partition of a definition."""
    known = set(instance.get_dynamic_partitions(definition))
    return [archive for archive in archives if archive not in known]


class _Known:
    """The newest content of each asset and partition that an instance knows."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._versions: dict[dg.AssetKey, Mapping[str | None, str]] = {}

    def has(self, manifest: Manifest) -> bool:
        """Whether it knows an artefact."""
        return self.version(dg.AssetKey(manifest.asset.split("/")), manifest.partition) == manifest.data_version

    def version(self, key: dg.AssetKey, partition: str | None) -> str | None:
        """The newest content, or None. The first question about an asset costs one query."""
        if key not in self._versions:
            self._versions[key] = self._of_partitions(key) if key in PARTITIONED else self._of_whole(key)
        return self._versions[key].get(partition)

    def _of_partitions(self, key: dg.AssetKey) -> dict[str | None, str]:
        tags = self._instance.event_log_storage.get_latest_tags_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
        )
        return {partition: values[DATA_VERSION_TAG] for partition, values in tags.items() if DATA_VERSION_TAG in values}

    def _of_whole(self, key: dg.AssetKey) -> dict[str | None, str]:
        event = self._instance.get_latest_materialization_event(key)
        made = event.asset_materialization if event else None
        tags = made.tags or {} if made else {}
        return {None: tags[DATA_VERSION_TAG]} if DATA_VERSION_TAG in tags else {}


def _in_order(manifests: list[Manifest]) -> list[Manifest]:
    """The artefacts with their inputs before them, because an event points to those of its inputs."""
    inputs = {manifest.asset: {key.to_user_string() for key in _input_keys(manifest)} for manifest in manifests}
    places = {asset: place for place, asset in enumerate(TopologicalSorter(inputs).static_order())}
    return sorted(manifests, key=lambda manifest: places[manifest.asset])


def _input_keys(manifest: Manifest) -> dict[dg.AssetKey, str]:
    """The assets that an artefact was made of, with their versions. Of several archives, one version stands for all."""
    keys = {}
    for name, version in manifest.inputs.items():
        first, _, rest = name.partition("/")
        of_archive = bool(rest) and dg.AssetKey(first) in PARTITIONED
        if name != PRETRAINED_INPUT:
            keys[dg.AssetKey(first if of_archive else name.split("/"))] = version
    return keys


def _report(instance: dg.DagsterInstance, paths: StoragePaths, manifest: Manifest) -> None:
    """Reports the stored events of an artefact, or one with its versions alone."""
    key = dg.AssetKey(manifest.asset.split("/"))
    bare = dg.AssetMaterialization(key, partition=manifest.partition, tags=version_tags(manifest))
    made, *checks = stored_events(paths, manifest) or [bare]
    made_at = dg.MetadataValue.timestamp(paths.manifest(manifest.asset, manifest.partition).stat().st_mtime)
    tags = {**version_tags(manifest), **_input_tags(instance, manifest)}
    shown = dg.AssetMaterialization(
        key, partition=manifest.partition, metadata={**made.metadata, MADE_AT: made_at}, tags=tags
    )
    instance.report_runless_asset_event(shown)
    for check in checks:
        _report_check(instance, check)


def _input_tags(instance: dg.DagsterInstance, manifest: Manifest) -> dict[str, str]:
    """The versions and events of the inputs. Without these tags, the UI calls every asset out of sync."""
    tags = {}
    for key, version in _input_keys(manifest).items():
        made = _newest(instance, key, manifest.partition if key in PARTITIONED else None)
        tags[get_input_data_version_tag(key)] = NULL_DATA_VERSION.value if version == NOT_MADE else version
        tags[get_input_event_pointer_tag(key)] = str(made.storage_id) if made else NULL_EVENT_POINTER
    return tags


def _newest(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> dg.EventLogRecord | None:
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
    records = instance.fetch_materializations(wanted, limit=1).records
    return records[0] if records else None


def _report_check(instance: dg.DagsterInstance, check: AssetEvent) -> None:
    """Reports a check of the newest materialisation, without which the UI calls the check out of date.

    Dagster stores one evaluation of a check for each run and partition. So a second one without a run needs the id of
    a run of its own.
    """
    made = _newest(instance, check.asset_key, check.partition)
    if made is None or not isinstance(check, dg.AssetCheckEvaluation):
        return
    target = AssetCheckEvaluationTargetMaterializationData(
        storage_id=made.storage_id, run_id=made.run_id, timestamp=made.timestamp
    )
    event = DagsterEvent(
        dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
        job_name=RUNLESS_JOB_NAME,
        event_specific_data=replace(check, target_materialization_data=target),
    )
    of_check = PartitionKeyFilter(key=check.partition)
    former = instance.event_log_storage.get_asset_check_execution_history(
        check.asset_check_key, limit=1, partition_filter=of_check
    )
    instance.report_dagster_event(event, run_id=make_new_run_id() if former else RUNLESS_RUN_ID)


def _landed_events(landed: LandedContent, known: _Known) -> Iterator[dg.AssetMaterialization]:
    """One event for each landed input whose content was hashed, and is new to the instance."""
    for key in LANDED:
        for partition in landed.partitions(key):
            version = landed.known_version(key, partition)
            if version and version != known.version(key, partition):
                metadata = landed_result(key, landed.size_bytes(key, partition), version).metadata
                tags = {DATA_VERSION_TAG: version}
                yield dg.AssetMaterialization(key, partition=partition, metadata=metadata, tags=tags)

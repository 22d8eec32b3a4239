"""Materialising the calls assets in this process, for tests that need an archive that is complete."""

from collections.abc import Mapping
from contextlib import nullcontext

import dagster as dg

from urgency_dagster.defs.call_assets import CALL_ASSETS
from urgency_dagster.defs.partitions import call_archives
from urgency_dagster.defs.resources import resources
from urgency_dagster.settings import Settings

ARCHIVE = "T_광주_구급"
WITH_WORKERS = ("call_recordings", "utterances", "utterance_embeddings", "prosody")
"""The assets that use worker processes by default."""

IN_PROCESS = {"utterance_embeddings": {"engine": "torch", "precision": "float32"}}
"""OpenVINO converts the model for seconds. Tests of whole runs use it. The precision is that of the demo's options."""


def materialise(
    settings: Settings,
    *names: str,
    archive: str = ARCHIVE,
    raise_on_error: bool = True,
    options: Mapping[str, Mapping[str, object]] | None = None,
    instance: dg.DagsterInstance | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """The named calls assets of one archive, all of them when none is named, with some options by asset."""
    with nullcontext(instance) if instance else dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(call_archives.name), [archive])
        ops = {
            name: {"config": {"workers": 1, **IN_PROCESS.get(name, {}), **(options or {}).get(name, {})}}
            for name in WITH_WORKERS
            if not names or name in names
        }
        return dg.materialize(
            CALL_ASSETS,
            selection=[dg.AssetKey(name) for name in names] or None,
            partition_key=archive,
            resources=resources(settings),
            run_config={"ops": ops},
            instance=instance,
            tags=dict(tags or {}),
            raise_on_error=raise_on_error,
        )

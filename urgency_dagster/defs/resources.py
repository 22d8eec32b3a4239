"""The resources of assets: the storage root, the pretrained models, and the Ray address."""

import os
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from urgency_dagster.calls import load_speech_model
from urgency_dagster.errors import SettingsError
from urgency_dagster.operations.placement import cluster_cpus
from urgency_dagster.operations.processes import RUN_PROCESS_VARIABLE, end_with
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel, find_pretrained, present_pretrained
from urgency_dagster.settings import RECOGNISERS, SPEECH_MODEL, Settings
from urgency_dagster.urgency import load_text_model
from urgency_dagster.writing import text_hash, write_text

MODEL_CHECKS = "1"
"""The version of the checks of pretrained models. Raise it when a model could be refused that was not before."""


class StorageResource(dg.ConfigurableResource[Any]):
    """The storage root, which holds every artefact."""

    root: str = Field(description="Absolute path of the storage root (URGENCY_STORAGE).")

    @property
    def paths(self) -> StoragePaths:
        """Every path below the root."""
        return StoragePaths(Path(self.root))

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Every step needs this resource: from here on, a step process ends when the process of its run ends."""
        identity, instance, run = os.environ.get(RUN_PROCESS_VARIABLE), context.instance, context.run
        if identity and instance and run:
            end_with(identity, lambda: _is_over(instance, run.run_id))


class ModelsResource(dg.ConfigurableResource[Any]):
    """The pretrained models: hub ids, `id@revision`, or local folders."""

    speech: str = Field(description="The speech model (URGENCY_SPEECH_MODEL).")
    text: str = Field(description="The text model (URGENCY_TEXT_MODEL).")
    recogniser: str = Field(
        default=RECOGNISERS[0], description="What recognises turns without text (URGENCY_RECOGNISER)."
    )

    @property
    def names(self) -> dict[str, str]:
        """The names of the pretrained models and of the recogniser by kind."""
        return {"speech": self.speech, "text": self.text, "recogniser": self.recogniser}

    @property
    def named_speech_model(self) -> str | None:
        """The speech model that a person named. With None, the card of an urgency model names its own."""
        return None if self.speech == SPEECH_MODEL else self.speech

    def speech_model(self) -> PretrainedModel:
        """The local files of the speech model."""
        return find_pretrained(self.speech, "URGENCY_SPEECH_MODEL")

    def text_model(self) -> PretrainedModel:
        """The local files of the text model."""
        return find_pretrained(self.text, "URGENCY_TEXT_MODEL")

    def check(self, paths: StoragePaths) -> None:
        """Loads the models that are on this machine, once for each, so that an unfit one stops the first step.

        Raises:
            ModelError: a model cannot be loaded, or is unfit for its task.
        """
        speech = present_pretrained(self.speech, "URGENCY_SPEECH_MODEL")
        text = present_pretrained(self.text, "URGENCY_TEXT_MODEL")
        for source, load in ((speech, load_speech_model), (text, load_text_model)):
            if source is None:  # it is checked when it has been downloaded
                continue
            mark = paths.checked_model(text_hash(load.__name__, MODEL_CHECKS, source.revision))
            if not mark.is_file():
                load(source)
                write_text(mark, "")


class RayResource(dg.ConfigurableResource[Any]):
    """The Ray cluster that fits the folds of the cross-validation."""

    @property
    def address(self) -> str | None:
        """The address of a cluster, or None for a private cluster on this machine.

        It is RAY_ADDRESS. Ray sets RAY_ADDRESS itself for a step that runs on a cluster.

        Raises:
            SettingsError: RAY_ADDRESS is the address of a dashboard, which accepts jobs but no tasks.
        """
        address = os.environ.get("RAY_ADDRESS") or None
        if address and address.startswith("http"):
            raise SettingsError(
                f"RAY_ADDRESS is {address}, a dashboard", "host:port of the head", "set it, or URGENCY_EXECUTOR=ray"
            )
        return address

    def in_force(self, num_cpus: int | None) -> dict[str, Any]:
        """Where the fits run, as metadata: the address and the CPUs of the cluster, as far as it says them.

        Args:
            num_cpus: the cores of a private cluster; None for all cores of the machine.
        """
        address = self.address
        cpus = cluster_cpus(address) if address else num_cpus or os.cpu_count()
        return {"ray": address or "a private cluster of this machine", **({"ray_cpus": cpus} if cpus else {})}


def _is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def resources(settings: Settings) -> dict[str, object]:
    """The resources of the code location, by the parameter name of the assets."""
    return {
        "storage": StorageResource(root=str(settings.storage)),
        "models": ModelsResource(
            speech=settings.speech_model, text=settings.text_model, recogniser=settings.recogniser
        ),
        "ray": RayResource(),
    }

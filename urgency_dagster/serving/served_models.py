"""The models of a storage root that answer now."""

from collections.abc import Iterator
from contextlib import contextmanager

from urgency_dagster import attention
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import load_predictor
from urgency_dagster.serving.configuration import ServingConfig
from urgency_dagster.serving.served_urgency import ServedUrgency
from urgency_dagster.settings import Settings


class ServedModels:
    """Loads the models of a storage root and lends them to requests.

    A lent model stays as it is until it is given back, whatever happens in storage.
    """

    def __init__(self, config: ServingConfig) -> None:
        self.paths = StoragePaths(Settings.load(config.storage).storage)
        self._urgency = ServedUrgency(load_predictor(config.storage))
        self._attention = {
            file.stem: attention.load_model(file) for file in sorted(self.paths.attention.models_folder.glob("*.pkl"))
        }

    @contextmanager
    def urgency(self) -> Iterator[ServedUrgency]:
        """Lends the urgency model of now.

        Raises:
            ArtefactError: there is none.
        """
        yield self._urgency

    @contextmanager
    def attention(self) -> Iterator[dict[str, attention.Predictor]]:
        """Lends the attention models of now, by name."""
        yield self._attention

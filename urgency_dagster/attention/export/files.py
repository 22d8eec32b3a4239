"""Refits the cross-validated models on all rows and writes each as `.pkl`, `.skops` and a card.

Loading is in `loading`, the card in `card`.
"""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from urgency_dagster.attention.audit.audit import accepted_findings
from urgency_dagster.attention.export.card import model_card
from urgency_dagster.attention.export.skops_files import to_skops
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation.protocol import LOGREG_ON_ALL, MODEL_NAMES, Protocol, TrainingRows
from urgency_dagster.attention.validation.results import read_metrics, read_protocol
from urgency_dagster.errors import ArtefactError, AttentionError
from urgency_dagster.paths import AttentionPaths
from urgency_dagster.writing import replacing, write_json

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class FittedPreprocessing:
    """Scaler and selector fitted on all rows, which all models of one protocol share.

    Attributes:
        protocol: the protocol they were fitted by.
        pipeline: the fitted scaler and selector.
        rows: all rows scaled, selected and, if the protocol says so, oversampled.
        data: the samples.
    """

    protocol: Protocol
    pipeline: "Pipeline"
    rows: TrainingRows
    data: AttentionData

    def all_features(self) -> TrainingRows:
        """The rows without the selector."""
        from urgency_dagster.attention.validation.models import training_rows

        return training_rows(self.pipeline[:1], self.data.X, self.data.y, self.data.groups, self.protocol)


def fit_all_rows(data: AttentionData, protocol: Protocol) -> FittedPreprocessing:
    """Fits scaler and selector on all rows.

    Raises:
        NoFeatureError: the selector keeps no feature.
        AttentionError: the rows cannot be oversampled.
    """
    from urgency_dagster.attention.validation.models import fit_preprocessing, one_thread, training_rows

    with one_thread():
        preprocessing = fit_preprocessing(data.X, data.y, protocol)
        rows = training_rows(preprocessing, data.X, data.y, data.groups, protocol)
    return FittedPreprocessing(protocol, preprocessing, rows, data)


def fit_pipeline(model: str, preprocessing: FittedPreprocessing) -> "Pipeline":
    """Scaler, selector and the named model, fitted on all rows, as one Pipeline.

    The Pipeline takes a DataFrame with the columns of `AttentionData.X`, in any order.
    """
    from sklearn.pipeline import Pipeline

    from urgency_dagster.attention.validation.models import fit_estimator, one_thread

    steps, rows = preprocessing.pipeline, preprocessing.rows
    with one_thread():
        if LOGREG_ON_ALL in preprocessing.protocol.fits_of(model):
            steps, rows = steps[:1], preprocessing.all_features()
        estimator = fit_estimator(model, rows, preprocessing.protocol)
    return Pipeline([*steps.steps, ("model", estimator)])


def hyper_parameters(card: Mapping[str, Any]) -> dict[str, Any]:
    """The hyper-parameters of an exported model by name; those of a member of a vote are `<member>__<name>`.

    Args:
        card: its card.
    """
    from urgency_dagster.attention.validation.models import MODELS

    parameters = MODELS[card["model"]](read_protocol(card["cross_validation"])).get_params()
    return {name: value for name, value in sorted(parameters.items()) if isinstance(value, bool | int | float | str)}


def export_models(
    data: AttentionData, models: Sequence[str], paths: AttentionPaths
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Refits models on all rows by the protocol of their cross-validation, and stores them.

    Scaler and selector are fitted once for all models of the same protocol.

    Args:
        data: the samples.
        models: names from MODEL_NAMES.
        paths: where the stored cross-validations are, and where the models go.

    Yields:
        The name and the card of each model, when its files are complete.

    Raises:
        AttentionError: a model is not exported (the baseline is not), or the selector keeps no feature.
        ArtefactError: a model was not cross-validated, or on other data, or by another version of this project.
    """
    preprocessing: FittedPreprocessing | None = None
    for model in models:
        metrics = _checked_metrics(data, model, paths)
        protocol = read_protocol(metrics)
        if preprocessing is None or preprocessing.protocol != protocol:
            preprocessing = fit_all_rows(data, protocol)
        yield model, _store(data, metrics, fit_pipeline(model, preprocessing), paths)


def _checked_metrics(data: AttentionData, model: str, paths: AttentionPaths) -> dict[str, Any]:
    if model not in MODEL_NAMES:
        raise AttentionError(f"{model!r} is not exported", f"one of {', '.join(MODEL_NAMES)}", "correct the name")
    metrics = read_metrics(paths, model)
    if metrics["data"]["source_sha256"] != data.source_sha256:
        received = f"{model} was cross-validated on other data"
        raise ArtefactError(received, "the same pickle", f"materialize attention_cv/{model} again")
    return metrics


def _store(
    data: AttentionData, metrics: Mapping[str, Any], pipeline: "Pipeline", paths: AttentionPaths
) -> dict[str, Any]:
    """Writes both files and, last, the card; returns the card."""
    model = metrics["model"]
    contents = {".pkl": pickle.dumps(pipeline, protocol=5), ".skops": to_skops(pipeline)}
    # No file can be loaded without a card. An interrupted export therefore leaves no mismatched files to load.
    paths.card(model).unlink(missing_ok=True)
    for suffix, content in contents.items():
        with replacing(paths.model(model, suffix)) as temporary:
            temporary.write_bytes(content)
    card = model_card(data, metrics, pipeline, contents, accepted_findings(paths, metrics))
    write_json(paths.card(model), card)
    return card

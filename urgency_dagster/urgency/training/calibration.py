"""Fitting temperatures and thresholds on the development side, each on the level where it is used."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from urgency_dagster.statistics.calibration import fit_temperature, probabilities
from urgency_dagster.tables import HIGH
from urgency_dagster.urgency.configuration import TrainingConfig
from urgency_dagster.urgency.data.batches import UtteranceDataset
from urgency_dagster.urgency.data.dataset import first_rows
from urgency_dagster.urgency.data.labels import Labels
from urgency_dagster.urgency.network.inference import TaskLogits, mean_by_call, predict_logits
from urgency_dagster.urgency.package.model_folder import NO_TEMPERATURES, UrgencyModel
from urgency_dagster.urgency.package.thresholds import ThresholdFit, fit_thresholds, offered_thresholds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def calibrate(
    model: UrgencyModel, development: UtteranceDataset | None, config: TrainingConfig, device: str
) -> tuple[UrgencyModel, dict[str, ThresholdFit]]:
    """The model with temperatures and thresholds, and every threshold that was fitted, offered or not.

    Without a development side the model is returned as it is.

    Args:
        model: the trained model, on the device.
        development: the development side.
        config: the hyper-parameters.
        device: a torch device.
    """
    if development is None:
        return model, {}
    logits = predict_logits(model.network, development, batch_size=config.batch_size, device=device)
    first = first_rows(development.calls)
    call_logits, urgency, sentiment = (
        mean_by_call(logits, development.calls),
        development.urgency[first],
        development.sentiment[first],
    )
    enough = len(first) >= config.min_development_calls
    temperatures = {
        "utterance": _temperatures(model.labels, logits, development.urgency, development.sentiment),
        "call": _temperatures(model.labels, call_logits, urgency, sentiment) if enough else dict(NO_TEMPERATURES),
    }
    fits = _thresholds(model.labels, call_logits, temperatures["call"]["urgency"], urgency, config)
    return replace(model, temperatures=temperatures, thresholds=offered_thresholds(fits)), fits


def _thresholds(
    labels: Labels, call_logits: TaskLogits, temperature: float, true: "NDArray[np.int64]", config: TrainingConfig
) -> dict[str, ThresholdFit]:
    """The thresholds for the urgency of a call; none if the urgency is left out."""
    if "urgency" in labels.left_out:
        return {}
    return fit_thresholds(
        probabilities(call_logits.urgency, temperature),
        true,
        high=labels.urgency.index(HIGH),
        deferral_rate=config.deferral_rate,
        alarm_recall=config.alarm_recall,
        min_calls=config.min_development_calls,
    )


def calibration_facts(model: UrgencyModel, fits: Mapping[str, ThresholdFit]) -> dict[str, Any]:
    """What the card says of a calibration: temperatures, thresholds in use, and every threshold that was fitted."""
    stored = {name: asdict(fit) | {"interval": list(fit.interval)} for name, fit in fits.items()}
    return {"temperatures": model.temperatures, "thresholds": model.thresholds, "threshold_fits": stored}


def _temperatures(
    labels: Labels, logits: TaskLogits, urgency: "NDArray[np.int64]", sentiment: "NDArray[np.int64]"
) -> dict[str, float]:
    """The temperature of each task; 1 for a task that is left out."""
    true = {"urgency": urgency, "sentiment": sentiment}
    fitted = {task: fit_temperature(getattr(logits, task), true[task]) for task in labels.tasks}
    return NO_TEMPERATURES | fitted

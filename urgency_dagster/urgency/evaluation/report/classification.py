"""Precision, recall and F1 of every class, as scikit-learn prints them."""

from collections.abc import Mapping

from urgency_dagster.tables import ENGLISH
from urgency_dagster.urgency.data.labels import Labels
from urgency_dagster.urgency.evaluation.predictions import Predictions


def classification_text(by_unit: "Mapping[str, Predictions]", labels: Labels) -> str:
    """Precision, recall and F1 of every class, per task and unit."""
    from sklearn.metrics import classification_report

    parts = []
    for unit, predictions in by_unit.items():
        for task in labels.tasks:
            names = [f"{name} ({ENGLISH.get(name, name)})" for name in getattr(labels, task)]
            table = classification_report(
                getattr(predictions, task),
                getattr(predictions, f"{task}_predicted"),
                labels=range(len(names)),
                target_names=names,
                digits=3,
                zero_division=0,
            )
            parts.append(f"{task} by {unit}\n\n{table}")
    return "\n".join(parts)

"""Asking an exported attention model: label, probability and reasons of each row. The core libraries are enough."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from urgency_dagster.attention.explanation.contributions import Contributions, contributions_of
from urgency_dagster.attention.export.loading import load_export
from urgency_dagster.attention.input_rows import InputRows, Rows, read_rows
from urgency_dagster.attention.prediction import Explanation, Prediction, Provenance, Reason, RowPrediction
from urgency_dagster.errors import AttentionError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from urgency_dagster.attention.estimators import FeatureScaler


@dataclass(frozen=True)
class Predictor:
    """An exported model. It computes on one thread.

    Attributes:
        pipeline: the exported scikit-learn Pipeline: scaler, selector and model. `pipeline.predict_proba` takes a
            DataFrame with every column of the card.
        provenance: what the model is.
        threshold: a probability above it is class 1.
        columns: the names of all columns on the card, which the model was fitted on.
    """

    pipeline: "Pipeline"
    provenance: Provenance
    threshold: float
    columns: frozenset[str]

    @cached_property
    def used_columns(self) -> tuple[str, ...]:
        """The columns that the model needs: those that its selector kept."""
        return tuple(map(str, self.pipeline[:-1].get_feature_names_out()))

    def predict(self, rows: Rows, *, reasons: int = 0) -> Prediction:
        """Label and probability of class 1 of each row, equal to those of `pipeline` to the last bit.

        Args:
            rows: a DataFrame; a dict, or a list of dicts, by column name; or the path of a Parquet file. Only the used
                columns are needed, in any order. They are bool, integer or float; 0 and 1 are accepted for bool.
            reasons: how many features of each row to name as its reasons, at most.

        Raises:
            AttentionError: `rows` is something else, or has no row; a used column is missing, occurs twice, is not
                numeric, or holds a missing or infinite value, or another value than 0 and 1 in a bool column; the file
                is no Parquet file; `reasons` is below 0.
        """
        if reasons < 0:
            raise AttentionError(f"{reasons} reasons", "a number from 0", "leave `reasons` out for none")
        given = read_rows(rows, self.used_columns, self.columns)
        matrix = self._scaled(given)
        probabilities = self.pipeline[-1].predict_proba(matrix)[:, 1].tolist()
        found = contributions_of(self.pipeline[-1], matrix) if reasons else None
        named = _reasons(given, found, reasons) if found else [()] * len(probabilities)
        predictions = tuple(
            RowPrediction(row, int(probability > self.threshold), probability, of_row)
            for row, probability, of_row in zip(given.index, probabilities, named, strict=True)
        )
        explanation = Explanation(found.method, found.unit, found.baseline) if found else None
        return Prediction(predictions, self.threshold, self.provenance, given.unknown_columns, explanation)

    @cached_property
    def _scaler(self) -> "FeatureScaler":
        """The scaler of the used columns alone."""
        narrow: FeatureScaler = self.pipeline[0].narrowed(frozenset(self.used_columns))
        return narrow

    def _scaled(self, given: InputRows) -> np.ndarray:
        """What the model sees, (N, k) float32."""
        scaled = self._scaler.transform(given.features)
        # In the memory order of the pipeline's selector: the order can decide the last bit of a product.
        return scaled if len(self.pipeline) == 2 else np.asfortranarray(scaled)


def _reasons(given: InputRows, found: Contributions, count: int) -> list[tuple[Reason, ...]]:
    """The `count` features of each row with the largest absolute contributions, the largest first."""
    names = given.features.columns.tolist()
    values = given.features.to_numpy(dtype=np.float64)
    order = np.argsort(-np.abs(found.values), axis=1, kind="stable")[:, :count]
    return [
        tuple(
            Reason(names[place], float(values[row, place]), float(found.values[row, place]))
            for place in places
            if found.values[row, place]
        )
        for row, places in enumerate(order.tolist())
    ]


def load_model(path: Path | str) -> Predictor:
    """The predictor of an exported `<model>.pkl` or `<model>.skops`; its card `<model>.json` must lie beside it.

    A model with accepted findings of the audit gives a warning.

    Args:
        path: the `.pkl` or `.skops` file.

    Raises:
        AttentionError: the file or its card is missing or unreadable; the bytes do not match the card; a library
            version differs; a `.skops` file names an untrusted type. The model is not opened then.
    """
    pipeline, card, sha256 = load_export(Path(path))
    return Predictor(
        pipeline=pipeline,
        provenance=Provenance(card["model"], sha256, card["training_data"]["source_sha256"], dict(card["versions"])),
        threshold=card["threshold"],
        columns=frozenset(column["name"] for column in card["columns"]),
    )

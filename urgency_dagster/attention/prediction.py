"""What an exported attention model answers: the label and probability of each row, its reasons, and the provenance."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

Unit = Literal["log-odds", "probability"]
"""What contributions add up to: the log-odds of class 1, or its probability."""


@dataclass(frozen=True)
class Reason:
    """What one feature of one row contributes to the prediction.

    Attributes:
        feature: name of the column.
        value: its value in the row, as given; False is 0 and True is 1.
        contribution: in the unit of the explanation; above 0 it speaks for class 1.
    """

    feature: str
    value: float
    contribution: float


@dataclass(frozen=True)
class RowPrediction:
    """The prediction for one row.

    Attributes:
        row: the row's label in the index of the DataFrame, or its position from 0.
        label: the predicted class: 1 if the probability is above the threshold, else 0.
        probability: probability of class 1.
        reasons: the features with the largest absolute contributions, the largest first; empty if none were asked for.
            A feature that contributes nothing is left out.
    """

    row: Hashable
    label: int
    probability: float
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """How the contributions of the reasons were computed.

    `baseline` plus the contributions of all features of a row is the log-odds or the probability of class 1.

    Attributes:
        method: the method.
        unit: the unit of `baseline` and of every contribution.
        baseline: the prediction before any feature is known.
    """

    method: str
    unit: Unit
    baseline: float


@dataclass(frozen=True)
class Provenance:
    """What a model is and what it was fitted on.

    Attributes:
        model: name of the model, such as `lgbm`.
        model_sha256: SHA-256 of the loaded file.
        data_sha256: SHA-256 of the landed file with the training data.
        versions: library versions of the export.
    """

    model: str
    model_sha256: str
    data_sha256: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Prediction:
    """The answer to one `Predictor.predict`.

    Attributes:
        rows: one prediction per row, in their order.
        threshold: a probability above it is class 1.
        provenance: the model that answered.
        unknown_columns: the given columns that the model's card does not name, sorted. They were ignored.
        explanation: how reasons were computed; None if none were asked for.
    """

    rows: tuple[RowPrediction, ...]
    threshold: float
    provenance: Provenance
    unknown_columns: tuple[str, ...]
    explanation: Explanation | None = None

    def to_frame(self) -> "pd.DataFrame":
        """The columns `label` (int64) and `probability` (float64), with the index of the given rows."""
        import pandas as pd

        columns = {"label": [row.label for row in self.rows], "probability": [row.probability for row in self.rows]}
        return pd.DataFrame(columns, index=pd.Index([row.row for row in self.rows]))

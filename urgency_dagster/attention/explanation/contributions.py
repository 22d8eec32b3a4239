"""The contribution of each feature to the prediction for a row, by the kind of model.

The contributions of a row add up to the difference between its prediction and a baseline.

| model | method | unit |
| --- | --- | --- |
| logistic regression | coefficient times scaled value | log-odds |
| LightGBM, XGBoost | TreeSHAP, as the library computes it | log-odds |
| random forest | TreeSHAP | probability |
| vote | mean of its members, each rescaled to probabilities | probability |

Source: Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees
(TreeSHAP); Chen et al. (2022), Explaining a series of models by propagating Shapley values (rescaling).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from lightgbm import Booster, LGBMClassifier
from scipy.special import expit
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from xgboost import DMatrix

from urgency_dagster.attention.early_stopping import EvXGBClassifier
from urgency_dagster.attention.explanation.forest import forest_as_booster
from urgency_dagster.attention.prediction import Unit
from urgency_dagster.errors import AttentionError

LINEAR, TREE_SHAP, VOTE = (
    "coefficient times scaled value",
    "TreeSHAP",
    "mean of the voters' contributions, rescaled to probabilities",
)


@dataclass(frozen=True)
class Contributions:
    """The contributions of k features to the predictions for N rows.

    Attributes:
        values: (N, k) float64.
        baseline: the prediction before any feature is known.
        unit: the unit of both.
        method: how they were computed.
    """

    values: np.ndarray
    baseline: float
    unit: Unit
    method: str

    def as_probabilities(self) -> "Contributions":
        """The same in probabilities: each contribution is multiplied by the row's slope from the baseline."""
        if self.unit == "probability":
            return self
        change, start = self.values.sum(axis=1), float(expit(self.baseline))
        at_baseline = start * (1 - start)
        with np.errstate(invalid="ignore", divide="ignore"):
            slopes = np.where(change == 0, at_baseline, (expit(self.baseline + change) - start) / change)
        return Contributions(self.values * slopes[:, None], start, "probability", self.method)


def contributions_of(model: Any, matrix: np.ndarray) -> Contributions:
    """The contributions to the predictions of a fitted model.

    Args:
        model: the last step of an exported pipeline.
        matrix: (N, k) float32, what the model predicts from.

    Raises:
        AttentionError: the model is of another kind.
    """
    if isinstance(model, LogisticRegression):
        values = model.coef_[0] * matrix.astype(np.float64)
        return Contributions(values, float(model.intercept_[0]), "log-odds", LINEAR)
    if isinstance(model, VotingClassifier):
        return _of_vote(model, matrix)
    if isinstance(model, RandomForestClassifier):
        return _tree_shap(_lightgbm_contributions(forest_as_booster(model), matrix), "probability")
    if isinstance(model, LGBMClassifier):
        return _tree_shap(_lightgbm_contributions(model.booster_, matrix), "log-odds")
    if isinstance(model, EvXGBClassifier):
        return _tree_shap(_xgboost_contributions(model, matrix), "log-odds")
    raise AttentionError(
        f"a {type(model).__name__} has no reasons", "one of the exported models", "leave out `reasons`"
    )


def _tree_shap(with_baseline: np.ndarray, unit: Unit) -> Contributions:
    """Contributions from (N, k + 1) values, of which the last column is the baseline."""
    numbers = np.asarray(with_baseline, dtype=np.float64)
    return Contributions(numbers[:, :-1], float(numbers[0, -1]), unit, TREE_SHAP)


def _lightgbm_contributions(booster: Booster, matrix: np.ndarray) -> np.ndarray:
    contributions: np.ndarray = booster.predict(matrix, pred_contrib=True, num_threads=1)
    return contributions


def _xgboost_contributions(model: EvXGBClassifier, matrix: np.ndarray) -> np.ndarray:
    """The (N, k + 1) contributions of the trees that `predict_proba` uses."""
    best = getattr(model.model_, "best_iteration", None)  # absent without early stopping
    trees = (0, 0) if best is None else (0, best + 1)  # (0, 0) is all trees
    booster, rows = model.model_.get_booster(), DMatrix(matrix, nthread=1)
    contributions: np.ndarray = booster.predict(rows, pred_contribs=True, iteration_range=trees)
    return contributions


def _of_vote(model: VotingClassifier, matrix: np.ndarray) -> Contributions:
    voters = [contributions_of(voter, matrix).as_probabilities() for voter in model.estimators_]
    values = np.mean([voter.values for voter in voters], axis=0)
    return Contributions(values, float(np.mean([voter.baseline for voter in voters])), "probability", VOTE)

"""Every parameter of every model against a table that cites its source."""

from typing import Any

import pytest
from lightgbm import LGBMClassifier
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from xgboost import XGBClassifier

from urgency_dagster.attention.early_stopping import EvXGBClassifier
from urgency_dagster.attention.validation.models import MODELS, make_preprocessing
from urgency_dagster.attention.validation.protocol import ModelParameters, Protocol
from urgency_dagster.errors import SettingsError

CELL_72 = "ml_model.ipynb of moovingsloth/wearable-attention-fatigue, cell 72"
CELL_65 = "the same notebook, cell 65 (class EvXGBClassifier)"
ONE_THREAD = "this project: a fit computes on one thread, so that it always gives the same result"
NEW_NAME = "scikit-learn 1.8: l1_ratio=1 is the new name of penalty='l1', which cell 72 states"
OURS = "this project: whole participants are held out (docs/methods.md); both originals used `stratified`"

Stated = dict[str, tuple[Any, str]]

LOGREG: Stated = {"l1_ratio": (1.0, NEW_NAME), "solver": ("liblinear", CELL_72), "random_state": (42, CELL_72)}
RF: Stated = {"random_state": (42, CELL_72), "max_depth": (5, CELL_72), "n_jobs": (1, ONE_THREAD)}
LGBM: Stated = {
    **{
        name: (value, CELL_72)
        for name, value in {
            "random_state": 42,
            "learning_rate": 0.03,
            "max_depth": 5,
            "num_leaves": 31,
            "min_child_samples": 10,
            "min_split_gain": 0.0,
            "reg_alpha": 2.0,
            "reg_lambda": 2.0,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
            "n_estimators": 100,
            "importance_type": "gain",
            "verbosity": -1,
        }.items()
    },
    **dict.fromkeys(("deterministic", "force_col_wise"), (True, ONE_THREAD)),
    "n_jobs": (1, ONE_THREAD),
}
XGB: Stated = {
    **{
        name: (value, CELL_72)
        for name, value in {
            "random_state": 42,
            "eval_metric": "logloss",
            "early_stopping_rounds": 50,
            "objective": "binary:logistic",
            "learning_rate": 0.03,
            "reg_alpha": 2.0,
            "reg_lambda": 2.0,
            "gamma": 2.0,
            "max_depth": 3,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
        }.items()
    },
    "n_estimators": (100, "XGBoost's own default, which its get_params gives as None"),
    "n_jobs": (1, ONE_THREAD),
    "verbosity": (0, "K-EmoPhone supplementary code (settings of xgb_ns)"),
}
SELECTOR: Stated = {
    name: (value, CELL_72)
    for name, value in {
        "penalty": "l1",
        "loss": "squared_hinge",
        "dual": False,
        "tol": 1e-3,
        "C": 1e-2,
        "max_iter": 5000,
        "random_state": 42,
    }.items()
}


def expected(library: Any, stated: Stated) -> dict[str, Any]:
    """Every parameter: what the source states, and the library's default for the others."""
    return {**library.get_params(deep=False), **{name: value for name, (value, _) in stated.items()}}


SINGLE_MODELS = [
    ("logreg", LogisticRegression(), LOGREG),
    ("rf", RandomForestClassifier(), RF),
    ("lgbm", LGBMClassifier(), LGBM),
    (
        "dummy",
        DummyClassifier(),
        {"strategy": ("prior", "K-EmoPhone supplementary code"), "random_state": (42, CELL_72)},
    ),
]


@pytest.mark.parametrize(("name", "library", "stated"), SINGLE_MODELS, ids=[name for name, *_ in SINGLE_MODELS])
def test_every_parameter_has_the_value_of_its_source(name: str, library: Any, stated: Stated) -> None:
    assert MODELS[name](Protocol()).get_params(deep=False) == expected(library, stated)


def test_every_parameter_of_xgboost_has_the_value_of_its_source() -> None:
    ours = MODELS["xgb"](Protocol())
    fitted = XGBClassifier(**ours._xgboost_parameters()).get_params()
    # `missing` is NaN, which is unequal to itself.
    values, table = ({**named, "missing": None} for named in (fitted, expected(XGBClassifier(), XGB)))
    assert values == table
    assert (ours.eval_size, CELL_72) == (0.2, CELL_72)
    assert (ours.inner_split, OURS) == ("participant", OURS)


def test_the_vote_has_the_members_of_the_notebook() -> None:
    """Source: cell 72, ESTIMATOR_ENSEMBLE: a soft vote of clones of the three models, without xgb."""
    voting = MODELS["voting"](Protocol())
    assert [name for name, _ in voting.estimators] == ["logreg", "rf", "lgbm"]
    for name, member in voting.estimators:
        assert member.get_params() == MODELS[name](Protocol()).get_params()
    shallow = {**voting.get_params(deep=False), "estimators": []}
    assert shallow == {**VotingClassifier([]).get_params(deep=False), "voting": "soft"}


def test_every_parameter_of_the_selector_has_the_value_of_its_source() -> None:
    selector = make_preprocessing(Protocol())["select"]
    assert selector.estimator.get_params() == expected(LinearSVC(), SELECTOR)
    assert (selector.threshold, CELL_72) == (1e-5, CELL_72)


CHANGED = {
    "selector_c": 0.5, "selector_tol": 0.1, "selector_max_iter": 7, "selector_threshold": 0.25,
    "logreg_c": 3.0, "logreg_max_iter": 9,
    "rf_n_estimators": 11, "rf_max_depth": None, "rf_min_samples_leaf": 4,
    "lgbm_n_estimators": 12, "lgbm_learning_rate": 0.5, "lgbm_max_depth": -1, "lgbm_num_leaves": 8,
    "lgbm_min_child_samples": 3, "lgbm_min_split_gain": 0.1, "lgbm_reg_alpha": 0.0, "lgbm_reg_lambda": 0.5,
    "lgbm_subsample": 0.4, "lgbm_subsample_freq": 1, "lgbm_colsample_bytree": 0.3,
    "xgb_eval_size": 0.4, "xgb_n_estimators": 13, "xgb_early_stopping_rounds": 6, "xgb_learning_rate": 0.7,
    "xgb_max_depth": 2, "xgb_reg_alpha": 0.25, "xgb_reg_lambda": 0.75, "xgb_gamma": 0.0, "xgb_subsample": 0.6,
    "xgb_colsample_bytree": 0.9,
}  # fmt: skip


def test_every_number_is_an_option_that_reaches_its_model() -> None:
    assert set(CHANGED) == set(ModelParameters.model_fields) - {"xgb_settings"}
    protocol = Protocol(**CHANGED)
    selector = make_preprocessing(protocol)["select"]
    found = {
        "selector": {"threshold": selector.threshold, **selector.estimator.get_params()},
        **{name: MODELS[name](protocol).get_params() for name in ("logreg", "rf", "lgbm", "xgb")},
    }
    for option, value in CHANGED.items():
        model, _, parameter = option.partition("_")
        assert found[model]["C" if parameter == "c" else parameter] == value, option


@pytest.mark.parametrize("settings", ["stated", "effective", "authors_stated", "authors"])
def test_a_number_has_precedence_over_the_settings_of_xgb(settings: Any) -> None:
    others, ours = (
        MODELS["xgb"](Protocol(xgb_settings=settings, **more)).get_params() for more in ({}, {"xgb_max_depth": 9})
    )
    assert ours == {**others, "max_depth": 9}


def test_early_stopping_has_the_defaults_of_the_notebook() -> None:
    """The defaults are part of the file format: `MODELS` relies on them for `stated`."""
    assert EvXGBClassifier().get_params() == MODELS["xgb"](Protocol()).get_params()


@pytest.mark.parametrize("option", sorted(set(ModelParameters.model_fields) - {"xgb_settings"}))
def test_every_number_has_a_bound(option: str) -> None:
    with pytest.raises(SettingsError, match=f"{option} is -3"):
        Protocol(**{option: -3})

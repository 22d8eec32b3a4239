from typing import Any

import pytest

from urgency_dagster.errors import SettingsError
from urgency_dagster.urgency.configuration import EvaluationConfig, SplitConfig, TrainingConfig


@pytest.mark.parametrize(("former", "name"), list(TrainingConfig.renamed.items()))
def test_a_former_name_is_refused_with_the_new_one(former: str, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        TrainingConfig(**{former: 0.5})


def test_a_stored_configuration_may_have_former_names() -> None:
    stored = {**TrainingConfig(deferral_rate=0.3, alarm_recall=0.8, epochs=2).model_dump()}
    stored["person_share"], stored["high_recall"] = stored.pop("deferral_rate"), stored.pop("alarm_recall")
    assert TrainingConfig.from_stored(stored) == TrainingConfig(deferral_rate=0.3, alarm_recall=0.8, epochs=2)


def test_a_stored_configuration_of_before_may_have_a_calibration_share() -> None:
    stored = TrainingConfig(min_development_calls=7).model_dump() | {"calibration_share": 0.1}
    stored["min_calibration_calls"] = stored.pop("min_development_calls")
    assert TrainingConfig.from_stored(stored) == TrainingConfig(min_development_calls=7)


def test_a_stored_configuration_of_before_has_its_attention_dropout() -> None:
    stored = TrainingConfig(dropout=0.2).model_dump(exclude={"attention_dropout"})
    assert TrainingConfig.from_stored(stored).attention_dropout == 0.2
    assert TrainingConfig.from_stored(TrainingConfig().model_dump()).attention_dropout == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": -1},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"weight_decay": -0.1},
        {"min_learning_rate": float("nan")},
        {"clip_norm": 0.0},
        {"sentiment_weight": -1},
        {"urgency_weight": float("nan")},
        {"attention_heads": 0},
        {"dropout": 1.0},
        {"dropout": float("nan")},
        {"attention_dropout": 1.0},
        {"max_length": 0},
        {"min_development_calls": 0},
        {"deferral_rate": 1.0},
        {"deferral_rate": -0.1},
        {"alarm_recall": 0.0},
        {"alarm_recall": 1.0},
        {"seed": -1},
        {"mixed_precision": "fp8"},
    ],
    ids=str,
)
def test_a_wrong_training_option_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        TrainingConfig(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "banana"},
        {"validation_share": 0},
        {"validation_share": 1},
        {"validation_share": float("nan")},
        {"selection": "test"},
        {"development_share": 1},
        {"development_share": 0.85},
    ],
    ids=str,
)
def test_a_wrong_split_option_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        SplitConfig(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"bootstrap_resamples": 0},
        {"cost_matrix": [[0, 1], [1, 0]]},
        {"cost_matrix": [[0, 1, 1], [1, 0, 1]]},
        {"cost_matrix": [[0, 1, 1], [1, 0, -1], [1, 1, 0]]},
        {"cost_matrix": [[0, 1, 1], [1, 0, float("nan")], [1, 1, 0]]},
    ],
    ids=str,
)
def test_a_wrong_evaluation_option_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        EvaluationConfig(**wrong)


def test_the_defaults_of_training_are_the_originals() -> None:
    config = TrainingConfig()
    assert (config.epochs, config.batch_size, config.learning_rate, config.weight_decay) == (5, 16, 2e-5, 0.01)
    assert (config.min_learning_rate, config.clip_norm, config.max_length) == (1e-6, 1.0, 512)
    assert (config.sentiment_weight, config.urgency_weight, config.dropout, config.seed) == (0.4, 0.6, 0.1, 42)
    assert config.attention_dropout == 0
    assert (config.attention_heads, config.mixed_precision) == (4, "no")

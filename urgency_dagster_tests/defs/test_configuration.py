"""The Launchpad refuses a wrong choice by itself, and a step refuses a value that is out of bounds when it starts."""

from typing import Any

import dagster as dg
import pytest

from urgency_dagster.configuration import Configuration
from urgency_dagster.definitions import build_definitions
from urgency_dagster.defs.catalogue import CATALOGUE
from urgency_dagster.defs.configuration import dagster_config
from urgency_dagster.settings import Settings

WRONG_CHOICES = [
    ("calls", "utterance_embeddings", {"engine": "tensorrt"}, "engine not in enum type"),
    ("calls", "utterance_embeddings", {"precision": "int8"}, "precision not in enum type"),
    ("calls", "utterance_embeddings", {"compile": "yes"}, "Bool"),
    ("calls", "utterance_embeddings", {"proof": 9}, 'unexpected config entry "proof"'),
    ("calls", "call_recordings", {"members": "many"}, "Int"),
    ("calls", "utterances", {"workers": 0.5}, "Int"),
    ("attention", "attention_cv", {"splitter": "kfold"}, "splitter not in enum type"),
    ("attention", "attention_cv", {"inner_split": "rows"}, "inner_split not in enum type"),
    ("attention", "attention_cv", {"xgb_settings": "best"}, "xgb_settings not in enum type"),
    ("attention", "attention_cv", {"address": "auto"}, 'unexpected config entry "address"'),
    ("attention", "attention_cv", {"backend": "ray"}, 'unexpected config entry "backend"'),
]
"""Group, step, options, and what the Launchpad says."""

OUT_OF_BOUNDS = [
    ("call_recordings", "members", 0, "greater than or equal to 1"),
    ("call_recordings", "member_bytes", 0, "greater than or equal to 1"),
    ("call_recordings", "total_bytes", -1, "greater than or equal to 1"),
    ("call_recordings", "ratio", 0, "greater than or equal to 1"),
    ("call_recordings", "reserve_bytes", -1, "greater than or equal to 0"),
    ("call_recordings", "workers", -2, "greater than or equal to -1"),
    ("utterances", "workers", -2, "greater than or equal to -1"),
    ("utterances", "rejected_calls_max", 1.5, "less than or equal to 1"),
    ("utterances", "rejected_utterances_max", -0.1, "greater than or equal to 0"),
    ("utterance_embeddings", "audio_tokens", 0, "greater than or equal to 1"),
    ("utterance_embeddings", "batch_audio_s", 0.0, "greater than 0"),
    ("utterance_embeddings", "segment_max_s", 0.5, "greater than or equal to 1"),
    ("utterance_embeddings", "shard_utterances", 0, "greater than or equal to 1"),
    ("utterance_embeddings", "proof_utterances", 7, "greater than or equal to 8"),
    ("utterance_embeddings", "workers", -2, "greater than or equal to -1"),
    ("attention_features", "max_mb", 0, "greater than or equal to 1"),
    ("attention_features", "memory_mb", 0, "greater than or equal to 1"),
    ("attention_features", "time_s", 0, "greater than or equal to 1"),
    ("attention_cv", "n_splits", 1, "greater than or equal to 2"),
    ("attention_cv", "seed", -1, "greater than or equal to 0"),
    ("attention_audit", "permutations", -1, "greater than or equal to 0"),
    ("attention_audit", "models", [], "at least 1 item"),
]
"""Step, option, value, and the bound that the error names."""


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(Settings.load(tmp_path_factory.mktemp("storage"), environment={}))


def job_of(definitions: dg.Definitions, group: str) -> dg.JobDefinition:
    return definitions.resolve_job_def(f"{group}_job")


@pytest.mark.parametrize(("group", "step", "options", "message"), WRONG_CHOICES)
def test_the_launchpad_refuses_a_wrong_type_or_choice(
    definitions: dg.Definitions, group: str, step: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match=message):
        dg.validate_run_config(job_of(definitions, group), {"ops": {step: {"config": options}}})


def options_of(definitions: dg.Definitions, step: str) -> type[Configuration]:
    """The subject's configuration class of a step."""
    assets = [item for item in definitions.assets or () if isinstance(item, dg.AssetsDefinition)]
    (asset,) = [item for item in assets if item.op.name == step]
    options: Any = asset.op.compute_fn.decorated_fn.__annotations__["config"]  # type: ignore[union-attr]
    subject: type[Configuration] = options.subject
    return subject


@pytest.mark.parametrize(("step", "option", "value", "bound"), OUT_OF_BOUNDS)
def test_a_step_refuses_a_value_out_of_bounds_before_it_does_anything(
    definitions: dg.Definitions, step: str, option: str, value: object, bound: str
) -> None:
    ran: list[str] = []

    def compute(config: Any) -> None:
        ran.append(step)

    compute.__annotations__["config"] = dagster_config(options_of(definitions, step))
    asset = dg.asset(name=step)(compute)
    result = dg.materialize([asset], run_config={"ops": {step: {"config": {option: value}}}}, raise_on_error=False)
    (failure,) = result.get_step_failure_events()
    message = str(failure.event_specific_data.error)  # type: ignore[union-attr]
    assert ran == []
    assert option in message
    assert bound in message
    assert f"input_value={value}" in message


def test_a_list_of_choices_is_checked_item_by_item(definitions: dg.Definitions) -> None:
    options = dagster_config(options_of(definitions, "attention_audit"))
    assert options(models=["rf", "xgb"]).model_dump()["models"] == ["rf", "xgb"]
    with pytest.raises(dg.Failure, match="Input should be 'logreg', 'rf', 'lgbm', 'voting' or 'xgb'"):
        options(models=["rf", "svm"])


@pytest.mark.parametrize("group", ["calls", "attention"])
def test_every_option_has_a_description(definitions: dg.Definitions, group: str) -> None:
    for node in job_of(definitions, group).nodes:
        fields = getattr(node.definition.config_schema.config_type, "fields", {})  # type: ignore[union-attr]
        for option, field in fields.items():
            assert field.description, f"{node.name}: {option}"


def test_every_option_of_the_machine_is_an_option() -> None:
    subjects = {op: options.subject for op, options in CATALOGUE.options.items()}  # type: ignore[attr-defined]
    assert {op: subject.machine - subject.model_fields.keys() for op, subject in subjects.items()} == dict.fromkeys(
        subjects, frozenset()
    )
    assert {op: sorted(subject.machine) for op, subject in subjects.items() if subject.machine} == {
        "call_recordings": ["reserve_bytes", "workers"],
        "utterances": ["workers"],
        "utterance_embeddings": ["batch_audio_s", "device", "shard_utterances", "workers"],
        "prosody": ["workers"],
        "urgency_model": ["device"],
        "urgency_evaluation": ["batch_size", "device"],
        "attention_features": ["max_mb", "memory_mb", "time_s"],
        "attention_cv": ["address", "backend", "num_cpus"],
        "attention_audit": ["num_cpus"],
        "scored_utterances": ["device"],
    }

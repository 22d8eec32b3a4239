"""The Dagster definitions: their names, tags and options, and an import without heavy libraries."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from urgency_dagster.definitions import RUNNABLE, build_definitions
from urgency_dagster.defs.catalogue import CATALOGUE
from urgency_dagster.operations.catalogue import op_name
from urgency_dagster.operations.groups import GROUPS
from urgency_dagster.operations.placement import GPU_POOL, GPU_TAGS, RAY_CONFIG
from urgency_dagster.provenance.keys import PARTITIONED
from urgency_dagster.settings import Settings

HEAVY = ("torch", "transformers", "ray", "librosa", "sklearn", "imblearn", "lightgbm", "xgboost")
MODELS = ("lgbm", "logreg", "rf", "voting", "xgb")
ACCELERATED = {
    *("utterance_embeddings", "urgency_model", "urgency_evaluation", "urgency_leak_gap", "label_free_gap"),
    "scored_utterances",
}


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(Settings.load(tmp_path_factory.mktemp("storage"), environment={}))


def test_asset_keys_and_groups(definitions: dg.Definitions) -> None:
    keys_by_group: dict[str, list[str]] = {}
    for spec in definitions.resolve_all_asset_specs():
        keys_by_group.setdefault(str(spec.group_name), []).append(spec.key.to_user_string())
    assert {group: sorted(keys) for group, keys in keys_by_group.items()} == {
        "calls": [
            *("call_archive", "call_recordings", "processed_data", "prosody"),
            *("utterance_embeddings", "utterances"),
        ],
        "urgency": [
            *("full_table", "label_free_gap", "training_set", "urgency_evaluation", "urgency_export"),
            *("urgency_leak_gap", "urgency_model"),
        ],
        "attention": sorted(
            ["attention_audit", "attention_features", "attention_leaderboard", "attention_source"]
            + ["attention_cv/dummy"]
            + [f"attention_cv/{model}" for model in MODELS]
            + [f"attention_models/{model}" for model in MODELS]
        ),
        "scoring": ["scored_calls", "scored_utterances", "scoring_archive", "scoring_recordings"],
    }


def test_jobs_sensors_and_checks(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    assert sorted(repository.job_names) == [
        *("__ASSET_JOB", "attention_job", "calls_job", "full_evaluation_job", "scoring_job", "urgency_job")
    ]
    assert [sensor.name for sensor in repository.sensor_defs] == ["landing_sensor"]
    assert repository.get_sensor_def("landing_sensor").default_status == dg.DefaultSensorStatus.RUNNING
    checks = {f"{spec.asset_key.to_user_string()}:{spec.name}": spec.blocking for spec in _checks(definitions)}
    assert checks == {
        "call_archive:every_file_is_used": False,
        "utterances:counts_add_up": True,
        "utterances:few_rejects": True,
        "utterance_embeddings:vectors_fit_rows": True,
        "utterance_embeddings:same_as_one_by_one": True,
        "prosody:prosody_fits_rows": True,
        "prosody:prosody_in_range": True,
        "training_set:calls_in_one_archive": True,
        "training_set:split_by_call": True,
        "urgency_evaluation:beats_majority": True,
        "urgency_evaluation:not_worse_than_before": False,
        "urgency_evaluation:better_than_parts": False,
        "urgency_evaluation:same_when_served": True,
        "label_free_gap:same_as_evaluation": True,
        "attention_audit:no_leak": True,
        "attention_audit:no_suspicion": False,
        "attention_leaderboard:plausible_scores": False,
        "scoring_archive:every_file_is_used": False,
        "scored_utterances:counts_add_up": True,
        "scored_utterances:few_rejects": False,
        "scored_calls:no_drift": False,
        "scored_calls:shares_as_in_validation": False,
    }


def test_every_asset_says_what_it_is_whose_it_is_and_what_it_holds(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.tags["holds"] in {"personal-data", "figures", "model"}


def test_the_graph_tells_assets_of_the_same_model_apart(definitions: dg.Definitions) -> None:
    # A node shows the last part of its key, which both share, and its kinds.
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    for model in MODELS:
        validated, exported = specs[f"attention_cv/{model}"], specs[f"attention_models/{model}"]
        assert "cross-validation" in validated.kinds
        assert "export" in exported.kinds
        assert validated.tags["model"] == exported.tags["model"] == model


def _checks(definitions: dg.Definitions) -> list[dg.AssetCheckSpec]:
    own = [spec for item in definitions.asset_checks or () for spec in item.check_specs]
    return own + [spec for item in _assets(definitions) for spec in item.check_specs]


def _assets(definitions: dg.Definitions) -> list[dg.AssetsDefinition]:
    return [item for item in definitions.assets or () if isinstance(item, dg.AssetsDefinition)]


def test_partitioned_assets_are_those_of_the_calls_group(definitions: dg.Definitions) -> None:
    partitioned = {spec.key for spec in definitions.resolve_all_asset_specs() if spec.partitions_def is not None}
    assert partitioned == PARTITIONED


def test_only_accelerated_assets_carry_the_gpu_tags_and_pool(definitions: dg.Definitions) -> None:
    by_op = {item.op.name: item.op for item in _assets(definitions)}
    assert {name for name, op in by_op.items() if op.pool == GPU_POOL} == ACCELERATED
    assert {name for name, op in by_op.items() if GPU_TAGS.items() <= _tags(op).items()} == ACCELERATED


def _tags(op: dg.OpDefinition) -> dict[str, object]:
    import json

    return {key: json.loads(value) if value.startswith("{") else value for key, value in op.tags.items()}


def test_every_step_asks_ray_for_a_cpu(definitions: dg.Definitions) -> None:
    for item in _assets(definitions):
        assert _tags(item.op)[RAY_CONFIG]["num_cpus"] == 1, item.op.name  # type: ignore[index]


def test_ops_are_named_by_the_first_part_of_their_keys(definitions: dg.Definitions) -> None:
    for item in _assets(definitions):
        assert {op_name(key) for key in item.keys} == {item.op.name}


def test_specs_come_upstream_first() -> None:
    for group in GROUPS:
        seen: set[dg.AssetKey] = set()
        keys = [spec.key for spec in CATALOGUE.in_order(group)]
        for spec in CATALOGUE.in_order(group):
            assert {dep.asset_key for dep in spec.deps} & set(keys) <= seen
            seen.add(spec.key)


def test_every_group_has_a_job_for_the_run_command() -> None:
    assert tuple(RUNNABLE) == GROUPS


@pytest.mark.slow
def test_importing_the_definitions_loads_nothing_heavy() -> None:
    code = f"import sys, urgency_dagster.definitions; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_executor_is_refused(tmp_path: Path) -> None:
    from urgency_dagster.errors import SettingsError

    with pytest.raises(SettingsError, match="URGENCY_EXECUTOR is 'k8s'; expected one of local, ray"):
        Settings.load(tmp_path, environment={"URGENCY_EXECUTOR": "k8s"})


def test_the_catalogue_has_the_options_of_every_step(definitions: dg.Definitions) -> None:
    configured = {
        item.op.name
        for item in _assets(definitions)
        if getattr(item.op.config_schema.as_field().config_type, "fields", None)
    }
    assert configured - {"urgency_leak_gap", "label_free_gap"} == CATALOGUE.options.keys()

"""The columns on the asset pages: each has a meaning, and each source is a column that exists."""

from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from urgency_dagster.definitions import build_definitions
from urgency_dagster.defs.columns import LINEAGE, SCHEMA, SCHEMAS, SOURCES, column_metadata
from urgency_dagster.operations.catalogue import op_name
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.keys import name_of
from urgency_dagster.settings import Settings
from urgency_dagster.tables import UTTERANCES
from urgency_dagster_tests.defs.materialising import ARCHIVE


def columns(metadata: dg.MetadataValue) -> dict[str, dg.TableColumn]:
    assert isinstance(metadata, dg.TableSchemaMetadataValue)
    return {column.name: column for column in metadata.schema.columns}


@pytest.mark.parametrize("asset", SCHEMAS)
def test_every_column_says_what_it_is(asset: str) -> None:
    described = columns(column_metadata(asset)[SCHEMA])
    assert list(described) == SCHEMAS[asset].names
    assert [name for name, column in described.items() if not (column.description or "").endswith(".")] == []


def test_units_are_in_the_descriptions() -> None:
    assert "milliseconds" in str(columns(column_metadata("utterances")[SCHEMA])["startAt"].description)
    assert "seconds" in str(columns(column_metadata("training_set")[SCHEMA])["duration_s"].description)
    assert "Unit: Hz." in str(columns(column_metadata("prosody")[SCHEMA])["f0_median_hz"].description)
    assert "bytes" in str(columns(column_metadata("call_recordings")[SCHEMA])["size_bytes"].description)


def test_the_description_names_the_source() -> None:
    # The UI draws the lineage of columns in Dagster+ only.
    def told(asset: str, column: str) -> str:
        return str(columns(column_metadata(asset)[SCHEMA])[column].description)

    assert told("processed_data", "startAt").endswith("in milliseconds. From utterances.startAt.")
    assert told("training_set", "urgency_id").endswith("From processed_data.urgencyLevel.")
    assert told("attention_leaderboard", "roc_auc_mean").endswith("From every attention_cv/<model>.")
    assert "From" not in told("prosody", "f0_median_hz")


@pytest.mark.parametrize("asset", SOURCES)
def test_every_source_is_a_column_of_an_upstream_asset(asset: str) -> None:
    lineage = column_metadata(asset)[LINEAGE]
    assert isinstance(lineage, dg.TableColumnLineageMetadataValue)
    deps = {dep.asset_key for spec in specs() if op_name(spec.key) == asset for dep in spec.deps}
    for column, sources in lineage.column_lineage.deps_by_column.items():
        assert column in SCHEMAS[asset].names
        for source in sources:
            assert source.asset_key in deps
            assert source.column_name in SCHEMAS[op_name(source.asset_key)].names


def specs() -> list[dg.AssetSpec]:
    return list(build_definitions(Settings.load(environment={})).resolve_all_asset_specs())


def test_an_asset_shows_its_columns_before_it_is_made() -> None:
    declared = {name_of(spec.key) for spec in specs() if SCHEMA in spec.metadata}
    assert declared >= SCHEMAS.keys() - {"attention_cv"}
    assert "attention_cv/xgb" in declared


def test_the_files_hold_these_columns_and_no_descriptions(
    materialised: tuple[Path, dg.ExecuteInProcessResult],
) -> None:
    root, result = materialised
    files = StoragePaths(root).archive(ARCHIVE)
    events = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    pages = {name_of(event.asset_key): event.metadata for event in events}
    for asset, file in (("utterances", files.utterances), ("utterance_embeddings", files.embeddings)):
        stored: pa.Schema = pq.read_schema(file)
        shown = columns(pages[asset][SCHEMA])
        assert {field.name: _type(str(field.type)) for field in stored} == {
            name: _type(column.type) for name, column in shown.items()
        }
        assert [field.metadata for field in stored if b"description" in (field.metadata or {})] == []
    lineage = pages["processed_data"][LINEAGE]
    assert isinstance(lineage, dg.TableColumnLineageMetadataValue)
    assert lineage.column_lineage.deps_by_column.keys() == set(UTTERANCES.names)


def _type(name: str) -> str:
    """The name of a type; Parquet has another name for the elements of a list."""
    return name.replace("element", "item")

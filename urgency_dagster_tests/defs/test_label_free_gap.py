"""The asset `label_free_gap`, its check, and what it puts out of date."""

from pathlib import Path

import dagster as dg
import pytest

from urgency_dagster.defs.resources import resources
from urgency_dagster.defs.scoring_assets import SCORING_ASSETS
from urgency_dagster.defs.urgency_assets import ON_DEMAND_ASSETS, URGENCY_ASSETS
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.inputs import inputs_of
from urgency_dagster.provenance.keys import NOT_MADE
from urgency_dagster.provenance.manifests import read_manifest
from urgency_dagster.settings import Settings
from urgency_dagster_tests.scoring.gap.conftest import copied, speaking
from urgency_dagster_tests.urgency.conftest import text_model

__all__ = ["copied", "speaking", "text_model"]

OPTIONS = {"ops": {"label_free_gap": {"config": {"device": "cpu", "bootstrap_resamples": 20}}}}


def make(paths: StoragePaths, *names: str) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [*URGENCY_ASSETS, *ON_DEMAND_ASSETS],
        selection=[dg.AssetKey(name) for name in names],
        resources=resources(Settings.load(paths.root, environment={})),
        run_config=OPTIONS,
        raise_on_error=False,
    )


def version_for_scoring(paths: StoragePaths) -> str:
    """The version of the gap among the inputs of scored utterances."""
    scored = next(spec for asset in SCORING_ASSETS for spec in asset.specs if spec.key.path == ["scored_utterances"])
    names = Settings.load(paths.root, environment={})
    pretrained = {"speech": names.speech_model, "recogniser": names.recogniser}
    return inputs_of(scored, "calls", paths, lambda key, partition: "1", pretrained)["label_free_gap"]


def test_it_is_made_on_demand_with_its_check_and_its_figures(copied: StoragePaths) -> None:
    assert version_for_scoring(copied) == NOT_MADE, "scoring does not wait for it"
    result = make(copied, "label_free_gap")
    assert result.success
    (event,) = result.get_asset_materialization_events()
    page = event.step_materialization_data.materialization.metadata
    assert {"urgency macro-F1 by call", "sentiment macro-F1 by call", "thresholds", "report"} <= page.keys()
    assert page["heard"].value == "8 of 8 validation calls (100.0 %)"
    assert Path(str(page["path"].value)) == copied.urgency.label_free_gap
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed, check.blocking) == ("same_as_evaluation", True, True)
    manifest = read_manifest(copied, "label_free_gap")
    assert manifest
    assert version_for_scoring(copied) == manifest.data_version


def test_its_page_and_events_hold_no_text(copied: StoragePaths, speaking: object) -> None:
    import pyarrow.parquet as pq

    result = make(copied, "label_free_gap")
    shown = "\n".join(str(event) for event in result.all_events)
    for text in pq.read_table(copied.urgency.rows)["text"].to_pylist():
        assert text not in shown


def test_predictions_of_another_model_block_it(copied: StoragePaths) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = copied.urgency.evaluation / "predictions.parquet"
    table = pq.read_table(file)
    place = table.schema.get_field_index("urgency_logits")
    other = pa.array([[0.0, 1.0, 5.0]] * table.num_rows, table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), other), file)
    result = make(copied, "label_free_gap")
    (check,) = result.get_asset_check_evaluations()
    assert not result.success
    assert not check.passed
    assert "materialize urgency_evaluation again" in str(check.description)
    assert read_manifest(copied, "label_free_gap") is None


@pytest.mark.parametrize("others", [("urgency_export",), ("full_table", "urgency_leak_gap")])
def test_a_run_with_other_assets_leaves_it_out(copied: StoragePaths, others: tuple[str, ...]) -> None:
    result = make(copied, "label_free_gap", *others)
    assert result.success
    assert result.get_asset_materialization_events() == []
    assert not copied.urgency.label_free_gap.exists()

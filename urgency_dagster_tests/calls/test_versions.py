"""Versions are part of stored artefacts: a change here computes every archive again."""

from urgency_dagster.calls.versions import CODE_VERSIONS, RECIPE
from urgency_dagster.defs.call_assets import CALL_ASSETS


def test_the_stored_versions_are_those_of_the_artefacts_so_far() -> None:
    """Increase these with the constants, when the bytes of an artefact change on purpose."""
    assert CODE_VERSIONS == {
        "call_recordings": "3",
        "utterances": "3",
        "utterance_embeddings": "2",
        "prosody": "1",
        "processed_data": "1",
    }
    assert RECIPE == "1"


def test_every_asset_of_the_pipeline_has_its_version() -> None:
    versions = {
        spec.key.to_user_string(): spec.code_version
        for asset in CALL_ASSETS
        for spec in getattr(asset, "specs", ())
        if spec.group_name == "calls"
    }
    assert {name: versions[name] for name in CODE_VERSIONS} == dict(CODE_VERSIONS)

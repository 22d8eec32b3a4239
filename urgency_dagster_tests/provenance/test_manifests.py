"""Manifests, and the reasons to make an artefact again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.manifests import (
    Manifest,
    completed,
    partitions_with_manifest,
    read_manifest,
    why_stale,
    write_manifest,
)
from urgency_dagster.writing import read_json, write_json, write_text

MADE = Manifest("utterances", "T_x", "1", {"call_recordings": "v1"}, {"workers": 2, "limit": None})


def write(paths: StoragePaths, manifest: Manifest, outputs: list[Path]) -> Manifest:
    """Stores the manifest of some outputs."""
    complete = completed(paths, manifest, outputs)
    write_manifest(paths, complete)
    return complete


@pytest.fixture
def outputs(paths: StoragePaths) -> list[Path]:
    """A table, and a folder of two files."""
    files = paths.archive("T_x")
    write_text(files.utterances, "table")
    for name in ("a.wav", "sub/b.wav"):
        write_text(files.audio / name, name)
    return [files.utterances, files.audio]


@pytest.fixture
def manifest(paths: StoragePaths, outputs: list[Path]) -> Manifest:
    return write(paths, MADE, outputs)


def stale(paths: StoragePaths, manifest: Manifest | None, **changed: Any) -> str | None:
    now: dict[str, Any] = {"code_version": "1", "inputs": {"call_recordings": "v1"}, "config": {}, **changed}
    return why_stale(manifest, paths, **now)


class TestStoredManifest:
    def test_a_written_manifest_is_read(self, paths: StoragePaths, manifest: Manifest) -> None:
        assert read_manifest(paths, "utterances", "T_x") == manifest
        assert manifest.files == {"calls/T_x/utterances.parquet": 5, "calls/T_x/Wave": 2}
        assert replace(manifest, files={}, data_version="") == MADE

    def test_other_assets_and_partitions_have_none(self, paths: StoragePaths, manifest: Manifest) -> None:
        assert read_manifest(paths, "utterances") is None
        assert read_manifest(paths, "utterances", "T_y") is None
        assert read_manifest(paths, "processed_data", "T_x") is None

    @pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"asset": "utterances"}', '{"unknown": 1}', "\x00" * 9])
    def test_an_unreadable_manifest_is_none(self, paths: StoragePaths, manifest: Manifest, content: str) -> None:
        write_text(paths.manifest("utterances", "T_x"), content)
        assert read_manifest(paths, "utterances", "T_x") is None

    def test_partitions_are_those_with_a_manifest(self, paths: StoragePaths, outputs: list[Path]) -> None:
        assert partitions_with_manifest(paths, "utterances") == []
        for partition in ("V_광주_구급", "T_x", "T_a.b"):
            write(paths, replace(MADE, partition=partition), outputs)
        write(paths, replace(MADE, partition=None), outputs)
        assert partitions_with_manifest(paths, "utterances") == ["T_a.b", "T_x", "V_광주_구급"]

    def test_equal_bytes_have_an_equal_version(
        self, paths: StoragePaths, outputs: list[Path], manifest: Manifest
    ) -> None:
        assert write(paths, MADE, outputs).data_version == manifest.data_version

    def test_a_manifest_of_version_0_1_is_read(
        self, paths: StoragePaths, outputs: list[Path], manifest: Manifest
    ) -> None:
        """It holds a counter, and a counter after the hash of each input."""
        content = "a" * 64
        stored = read_json(paths.manifest("utterances", "T_x"))
        inputs = {"call_recordings": f"{content}.12", "call_archive": "b" * 64, "pretrained": "a/b@v1.2"}
        write_json(paths.manifest("utterances", "T_x"), {**stored, "generation": 3, "inputs": inputs})
        former = read_manifest(paths, "utterances", "T_x")
        assert former is not None
        assert former.inputs == {**inputs, "call_recordings": content}
        assert stale(paths, former, inputs=former.inputs) is None

    def test_other_bytes_have_another_version(
        self, paths: StoragePaths, outputs: list[Path], manifest: Manifest
    ) -> None:
        write_text(outputs[0], "Table")
        assert write(paths, MADE, outputs).data_version != manifest.data_version


class TestStaleness:
    def test_an_unchanged_artefact_is_up_to_date(self, paths: StoragePaths, manifest: Manifest) -> None:
        assert stale(paths, manifest) is None

    def test_without_a_manifest(self, paths: StoragePaths) -> None:
        assert stale(paths, None) == "it was never made"

    @pytest.mark.parametrize(
        "gone", ["calls/T_x/utterances.parquet", "calls/T_x/Wave/a.wav", "calls/T_x/Wave/sub/b.wav"]
    )
    def test_a_file_is_missing(self, paths: StoragePaths, manifest: Manifest, gone: str) -> None:
        (paths.root / gone).unlink()
        name = "calls/T_x/Wave" if "Wave" in gone else gone
        assert stale(paths, manifest) == f"{name} is missing or was changed"

    @pytest.mark.parametrize("text", ["", "tabl", "table and more"])
    def test_a_file_has_another_size(self, paths: StoragePaths, manifest: Manifest, text: str) -> None:
        write_text(paths.archive("T_x").utterances, text)
        assert stale(paths, manifest) == "calls/T_x/utterances.parquet is missing or was changed"

    def test_a_folder_holds_another_number_of_files(self, paths: StoragePaths, manifest: Manifest) -> None:
        write_text(paths.archive("T_x").audio / "c.wav", "")
        assert stale(paths, manifest) == "calls/T_x/Wave is missing or was changed"

    def test_the_code_changed(self, paths: StoragePaths, manifest: Manifest) -> None:
        assert stale(paths, manifest, code_version="2") == "its code changed"

    @pytest.mark.parametrize(
        ("inputs", "name"),
        [
            ({"call_recordings": "v2"}, "call_recordings"),
            ({}, "call_recordings"),
            ({"call_recordings": "v1", "new": "v1"}, "new"),
        ],
    )
    def test_an_input_changed_or_was_removed_or_added(
        self, paths: StoragePaths, manifest: Manifest, inputs: dict[str, str], name: str
    ) -> None:
        assert stale(paths, manifest, inputs=inputs) == f"its input {name} changed"

    @pytest.mark.parametrize(
        ("config", "name"), [({"workers": 3}, "workers"), ({"new": 1}, "new"), ({"limit": 0}, "limit")]
    )
    def test_a_declared_option_changed(
        self, paths: StoragePaths, manifest: Manifest, config: dict[str, Any], name: str
    ) -> None:
        assert stale(paths, manifest, config=config) == f"its option {name} changed"

    @pytest.mark.parametrize("config", [{}, {"workers": 2}, {"workers": 2, "limit": None}])
    def test_an_undeclared_option_may_have_any_value(
        self, paths: StoragePaths, manifest: Manifest, config: dict[str, Any]
    ) -> None:
        assert stale(paths, manifest, config=config) is None

    @pytest.mark.parametrize(
        ("declared", "reason"),
        [
            ({"workers": 4}, None),
            ({}, None),
            ({"workers": 2}, None),
            ({"workers": 5}, "its option workers changed"),
            ({"workers": 4, "limit": 0}, "its option limit changed"),
        ],
    )
    def test_a_value_that_a_person_chose_stays_until_the_declared_one_changes(
        self, paths: StoragePaths, outputs: list[Path], declared: dict[str, Any], reason: str | None
    ) -> None:
        chosen = write(paths, replace(MADE, declared={"workers": 4}), outputs)
        assert stale(paths, chosen, config=declared) == reason

    def test_no_declared_value_differs_from_a_declared_null(self, paths: StoragePaths, outputs: list[Path]) -> None:
        made = write(paths, replace(MADE, config={"limit": 3}), outputs)
        assert stale(paths, made, config={"limit": None}) == "its option limit changed"

    def test_a_renamed_option_counts_in_what_was_declared(self, paths: StoragePaths, outputs: list[Path]) -> None:
        write(paths, replace(MADE, config={"former": 2}, declared={"former": 4}), outputs)
        chosen = read_manifest(paths, "utterances", "T_x", {"former": "workers"})
        assert chosen is not None
        assert stale(paths, chosen, config={"workers": 4}) is None
        assert stale(paths, chosen, config={"workers": 5}) == "its option workers changed"

    def test_a_stored_manifest_is_up_to_date_like_the_written_one(
        self, paths: StoragePaths, manifest: Manifest
    ) -> None:
        assert stale(paths, read_manifest(paths, "utterances", "T_x")) is None

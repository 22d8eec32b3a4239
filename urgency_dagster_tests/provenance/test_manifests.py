from dataclasses import replace
from pathlib import Path

import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.manifests import (
    Manifest,
    partitions_with_manifest,
    read_manifest,
    why_stale,
    write_manifest,
)
from urgency_dagster.writing import read_json, write_json, write_text

MADE = Manifest("utterances", "T_x", "1", {"call_recordings": "v1"}, {"workers": 2, "limit": None})


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
    return write_manifest(paths, MADE, outputs)


def stale(paths: StoragePaths, manifest: Manifest | None, **changed) -> str | None:
    now = {"code_version": "1", "inputs": {"call_recordings": "v1"}, "config": {}, **changed}
    return why_stale(manifest, paths, **now)


class TestRecords:
    def test_what_is_written_is_read(self, paths, manifest):
        assert read_manifest(paths, "utterances", "T_x") == manifest
        assert manifest.files == {"calls/T_x/utterances.parquet": 5, "calls/T_x/Wave": 2}
        assert replace(manifest, files={}, data_version="") == MADE

    def test_nothing_else_was_made(self, paths, manifest):
        assert read_manifest(paths, "utterances") is None
        assert read_manifest(paths, "utterances", "T_y") is None
        assert read_manifest(paths, "processed_data", "T_x") is None

    @pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"asset": "utterances"}', '{"unknown": 1}', "\x00" * 9])
    def test_a_record_that_is_not_readable_is_none(self, paths, manifest, content):
        write_text(paths.manifest("utterances", "T_x"), content)
        assert read_manifest(paths, "utterances", "T_x") is None

    def test_partitions_are_those_that_were_completed(self, paths, outputs):
        assert partitions_with_manifest(paths, "utterances") == []
        for partition in ("V_광주_구급", "T_x", "T_a.b"):
            write_manifest(paths, replace(MADE, partition=partition), outputs)
        write_manifest(paths, replace(MADE, partition=None), outputs)
        assert partitions_with_manifest(paths, "utterances") == ["T_a.b", "T_x", "V_광주_구급"]

    def test_equal_bytes_have_an_equal_version(self, paths, outputs, manifest):
        assert write_manifest(paths, MADE, outputs).data_version == manifest.data_version

    def test_a_manifest_of_version_0_1_is_understood(self, paths, outputs, manifest):
        """It holds a counter, and the counters of its inputs behind their hashes."""
        content = "a" * 64
        stored = read_json(paths.manifest("utterances", "T_x"))
        inputs = {"call_recordings": f"{content}.12", "call_archive": "b" * 64, "pretrained": "a/b@v1.2"}
        write_json(paths.manifest("utterances", "T_x"), {**stored, "generation": 3, "inputs": inputs})
        former = read_manifest(paths, "utterances", "T_x")
        assert former is not None
        assert former.inputs == {**inputs, "call_recordings": content}
        assert stale(paths, former, inputs=former.inputs) is None

    def test_other_bytes_are_another_data_version(self, paths, outputs, manifest):
        write_text(outputs[0], "Table")
        assert write_manifest(paths, MADE, outputs).data_version != manifest.data_version


class TestStaleness:
    def test_what_is_as_it_was_made_holds(self, paths, manifest):
        assert stale(paths, manifest) is None

    def test_what_was_never_made(self, paths):
        assert stale(paths, None) == "it was never made"

    @pytest.mark.parametrize(
        "gone", ["calls/T_x/utterances.parquet", "calls/T_x/Wave/a.wav", "calls/T_x/Wave/sub/b.wav"]
    )
    def test_a_file_is_missing(self, paths, manifest, gone):
        (paths.root / gone).unlink()
        name = "calls/T_x/Wave" if "Wave" in gone else gone
        assert stale(paths, manifest) == f"{name} is missing or was changed"

    @pytest.mark.parametrize("text", ["", "tabl", "table and more"])
    def test_a_file_has_another_size(self, paths, manifest, text):
        write_text(paths.archive("T_x").utterances, text)
        assert stale(paths, manifest) == "calls/T_x/utterances.parquet is missing or was changed"

    def test_a_folder_holds_another_number_of_files(self, paths, manifest):
        write_text(paths.archive("T_x").audio / "c.wav", "")
        assert stale(paths, manifest) == "calls/T_x/Wave is missing or was changed"

    def test_the_code_changed(self, paths, manifest):
        assert stale(paths, manifest, code_version="2") == "its code changed"

    @pytest.mark.parametrize(
        ("inputs", "name"),
        [
            ({"call_recordings": "v2"}, "call_recordings"),
            ({}, "call_recordings"),
            ({"call_recordings": "v1", "new": "v1"}, "new"),
        ],
    )
    def test_an_input_changed_went_or_came(self, paths, manifest, inputs, name):
        assert stale(paths, manifest, inputs=inputs) == f"its input {name} changed"

    @pytest.mark.parametrize(
        ("config", "name"), [({"workers": 3}, "workers"), ({"new": 1}, "new"), ({"limit": 0}, "limit")]
    )
    def test_a_declared_option_changed(self, paths, manifest, config, name):
        assert stale(paths, manifest, config=config) == f"its option {name} changed"

    @pytest.mark.parametrize("config", [{}, {"workers": 2}, {"workers": 2, "limit": None}])
    def test_settings_that_are_not_declared_may_have_any_value(self, paths, manifest, config):
        assert stale(paths, manifest, config=config) is None

    def test_a_stored_record_holds_like_the_one_that_was_written(self, paths, manifest):
        assert stale(paths, read_manifest(paths, "utterances", "T_x")) is None

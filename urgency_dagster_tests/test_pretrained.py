"""Locating pretrained models in a folder, in the hub's cache, and on a hub on this machine."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from urgency_dagster.errors import ModelError
from urgency_dagster.pretrained import PretrainedModel, find_pretrained, model_identity, weights_hash
from urgency_dagster.writing import file_hash

HUB_ID, COMMIT, OLD_COMMIT = "somebody/speech", "a" * 40, "b" * 40
VARIABLE = "URGENCY_SPEECH_MODEL"
UNREACHABLE = "http://127.0.0.1:9"
FILES = {
    "config.json": b"{}",
    "preprocessor_config.json": b"{}",
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"the same weights again",
    "optimizer.pt": b"much too large",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, whose address leads nowhere."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    point_to(UNREACHABLE, monkeypatch)
    return tmp_path / "hub"


def point_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")


def save(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def cached(cache: Path, files: dict[str, bytes], commit: str = COMMIT, branch: str = "main") -> Path:
    """Lays files into the cache as the hub's own tools do."""
    model = cache / "models--somebody--speech"
    (model / "refs").mkdir(parents=True, exist_ok=True)
    (model / "refs" / branch).write_text(commit)
    return save(model / "snapshots" / commit, files)


class TestFolders:
    def test_a_folder_is_used_directly(self, tmp_path: Path) -> None:
        folder = save(tmp_path / "model", {"config.json": b"{}"})
        assert find_pretrained(str(folder), VARIABLE) == PretrainedModel(
            folder.name, folder, model_identity(str(folder))
        )

    @pytest.mark.parametrize("files", [{}, {"model.safetensors": b""}])
    def test_a_folder_without_config_is_refused(self, tmp_path: Path, files: dict[str, bytes]) -> None:
        folder = save(tmp_path / "model", files)
        with pytest.raises(
            ModelError, match=r"URGENCY_SPEECH_MODEL names the folder .*model, which holds no config\.json"
        ):
            find_pretrained(str(folder), VARIABLE)

    def test_a_missing_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="nowhere"):
            find_pretrained(str(tmp_path / "nowhere"), VARIABLE)


class TestCache:
    @pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin", "pytorch_model-00001-of-00002.bin"])
    def test_a_cached_model_needs_no_hub(self, cache: Path, weights: str) -> None:
        folder = cached(cache, {"config.json": b"{}", weights: b"1"})
        assert find_pretrained(HUB_ID, VARIABLE) == PretrainedModel(HUB_ID, folder, COMMIT)

    def test_a_revision_is_a_branch_or_a_commit(self, cache: Path) -> None:
        old = cached(cache, {"config.json": b"{}", "model.safetensors": b"1"}, OLD_COMMIT, "v1")
        cached(cache, {"config.json": b"{}", "model.safetensors": b"2"})
        for revision in ("v1", OLD_COMMIT):
            assert find_pretrained(f"{HUB_ID}@{revision}", VARIABLE) == PretrainedModel(HUB_ID, old, OLD_COMMIT)

    def test_a_cached_model_without_weights_is_refused(self, cache: Path) -> None:
        cached(cache, {"config.json": b"{}"})
        with pytest.raises(ModelError, match="neither in the local cache nor reachable"):
            find_pretrained(HUB_ID, VARIABLE)


class TestUnreachable:
    @pytest.mark.parametrize("offline", [False, True])
    def test_one_sentence_within_seconds_names_the_model_and_the_variable(
        self, monkeypatch: pytest.MonkeyPatch, offline: bool
    ) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        start = time.monotonic()
        with pytest.raises(ModelError) as caught:
            find_pretrained(HUB_ID, VARIABLE)
        assert time.monotonic() - start < 5
        message = str(caught.value)
        assert "'somebody/speech' is neither in the local cache nor reachable" in message
        assert f"set {VARIABLE} to a local folder" in message
        assert "\n" not in message

    @pytest.mark.parametrize("name", ["a/b/c", "models/tiny model", "a//b", "x@y@z", ""])
    def test_an_invalid_hub_id_is_refused(self, name: str) -> None:
        with pytest.raises(ModelError, match="a local folder"):
            find_pretrained(name, VARIABLE)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A hub on this machine with one model; gives its files, to be changed."""
    files = dict(FILES)

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            name = path.rpartition("/")[2]
            if path.startswith(f"/api/models/{HUB_ID}/tree/"):
                entries = [{"type": "file", "path": n, "size": len(c), "oid": n} for n, c in files.items()]
                self.answer(200, json.dumps(entries).encode())
            elif path in (f"/api/models/{HUB_ID}", f"/api/models/{HUB_ID}/revision/main"):
                info = {"id": HUB_ID, "sha": COMMIT, "siblings": [{"rfilename": n} for n in files]}
                self.answer(200, json.dumps(info).encode())
            elif path.startswith(f"/{HUB_ID}/resolve/{COMMIT}/") and name in files:
                self.answer(200, files[name], ETag=f'"{name}"', X_Repo_Commit=COMMIT)
            else:
                self.answer(404, X_Error_Code="RevisionNotFound" if HUB_ID in path else "RepoNotFound")

        do_HEAD = do_GET  # noqa: N815 - the name that the server looks for

        def log_message(self, *args: object) -> None:
            """Keeps the requests out of the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    point_to(f"http://127.0.0.1:{server.server_port}", monkeypatch)
    yield files
    server.shutdown()
    server.server_close()


class TestDownload:
    def names(self, model: PretrainedModel) -> set[str]:
        return {path.name for path in model.folder.iterdir()}

    def test_only_the_loaded_files_are_downloaded(self, hub: dict[str, bytes]) -> None:
        model = find_pretrained(HUB_ID, VARIABLE)
        assert (model.name, model.revision) == (HUB_ID, COMMIT)
        assert self.names(model) == {"config.json", "preprocessor_config.json", "model.safetensors"}
        assert (model.folder / "model.safetensors").read_bytes() == b"weights"

    def test_pickled_weights_are_downloaded_without_safetensors(self, hub: dict[str, bytes]) -> None:
        del hub["model.safetensors"]
        assert self.names(find_pretrained(HUB_ID, VARIABLE)) == {
            "config.json",
            "preprocessor_config.json",
            "pytorch_model.bin",
        }

    @pytest.mark.parametrize("safe", [True, False])
    def test_the_second_call_needs_no_hub(
        self, hub: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, safe: bool
    ) -> None:
        if not safe:
            del hub["model.safetensors"]
        first = find_pretrained(HUB_ID, VARIABLE)
        point_to(UNREACHABLE, monkeypatch)
        assert find_pretrained(HUB_ID, VARIABLE) == first

    def test_an_interrupted_download_is_completed(self, hub: dict[str, bytes]) -> None:
        first = find_pretrained(HUB_ID, VARIABLE)
        (first.folder / "preprocessor_config.json").unlink()
        assert find_pretrained(HUB_ID, VARIABLE) == first
        assert "preprocessor_config.json" in self.names(first)

    @pytest.mark.parametrize("name", ["nobody/nothing", f"{HUB_ID}@no-such-branch"])
    def test_a_model_that_the_hub_does_not_have_is_refused(self, hub: dict[str, bytes], name: str) -> None:
        with pytest.raises(ModelError, match="nor reachable"):
            find_pretrained(name, VARIABLE)


class TestIdentity:
    def test_the_identity_of_a_hub_id_is_the_id(self) -> None:
        assert model_identity(f"{HUB_ID}@v1") == f"{HUB_ID}@v1"

    def test_the_identity_of_a_folder_is_its_content(self, tmp_path: Path) -> None:
        first, copy, other, renamed = (
            model_identity(str(save(tmp_path / str(n), files)))
            for n, files in enumerate(
                [{"a": b"1", "b": b"2"}, {"b": b"2", "a": b"1"}, {"a": b"2", "b": b"2"}, {"a": b"1", "c": b"2"}]
            )
        )
        assert first == copy
        assert len({first, other, renamed}) == 3

    def test_the_identity_of_a_missing_folder_is_its_name(self, tmp_path: Path) -> None:
        assert model_identity(str(tmp_path / "nowhere")) == str(tmp_path / "nowhere")


class TestWeights:
    def test_one_file_of_weights_has_the_hash_of_the_file(self, tmp_path: Path) -> None:
        folder = save(tmp_path / "model", FILES)
        assert weights_hash(folder) == file_hash(folder / "model.safetensors")

    def test_pickled_weights_are_hashed_without_safetensors(self, tmp_path: Path) -> None:
        folder = save(tmp_path / "model", {"config.json": b"{}", "pytorch_model.bin": b"1"})
        assert weights_hash(folder) == file_hash(folder / "pytorch_model.bin")

    def test_every_part_of_split_weights_changes_the_hash(self, tmp_path: Path) -> None:
        parts = {f"model-0000{n}-of-00002.safetensors": bytes([n]) for n in (1, 2)}
        first = weights_hash(save(tmp_path / "first", parts))
        assert weights_hash(save(tmp_path / "same", parts)) == first
        assert weights_hash(save(tmp_path / "other", {**parts, "model-00002-of-00002.safetensors": b"x"})) != first

    def test_missing_weights_are_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="model holds no weights"):
            weights_hash(save(tmp_path / "model", {"config.json": b"{}"}))

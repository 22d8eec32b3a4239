"""The settings of a storage root."""

import os
from pathlib import Path

import pytest

from urgency_dagster.errors import SettingsError
from urgency_dagster.settings import SPEECH_MODEL, TEXT_MODEL, Settings, default_storage, recogniser_parts


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def store(root: Path, text: str) -> None:
    (root / "settings.env").write_text(text, encoding="utf-8")


def test_the_defaults(root: Path) -> None:
    assert Settings.load(root, {}) == Settings(root, SPEECH_MODEL, TEXT_MODEL, "local")


def test_the_storage_root_is_the_argument_then_the_variable_then_the_default(root: Path, tmp_path: Path) -> None:
    environment = {"URGENCY_STORAGE": str(tmp_path / "other")}
    assert Settings.load(root, environment).storage == root
    assert Settings.load(None, environment).storage == tmp_path / "other"
    assert Settings.load(None, {}).storage == default_storage()
    assert default_storage().name == "storage"


def test_the_storage_root_is_absolute(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert Settings.load(Path("x"), {}).storage == root / "x"
    assert Settings.load(None, {"URGENCY_STORAGE": "~/x"}).storage == Path.home() / "x"


def test_settings_env_wins_over_the_defaults(root: Path) -> None:
    store(root, "URGENCY_SPEECH_MODEL=a/b\nURGENCY_EXECUTOR=ray\n# a comment\n")
    assert Settings.load(root, {}) == Settings(root, "a/b", TEXT_MODEL, "ray")


def test_the_process_environment_wins_over_settings_env(root: Path) -> None:
    store(root, "URGENCY_SPEECH_MODEL=a/b\nURGENCY_TEXT_MODEL=a/c\nURGENCY_EXECUTOR=ray\n")
    environment = {"URGENCY_SPEECH_MODEL": "x/y@v1", "URGENCY_EXECUTOR": "local"}
    assert Settings.load(root, environment) == Settings(root, "x/y@v1", "a/c", "local")


def test_an_empty_value_counts_as_not_set(root: Path) -> None:
    store(root, "URGENCY_SPEECH_MODEL=a/b\nURGENCY_TEXT_MODEL=\nURGENCY_EXECUTOR=\n")
    assert Settings.load(root, {"URGENCY_SPEECH_MODEL": ""}) == Settings(root, "a/b", TEXT_MODEL, "local")


def test_a_relative_model_path_starts_at_the_root_or_the_working_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(root, "URGENCY_SPEECH_MODEL=./models/speech\nURGENCY_TEXT_MODEL=../text\n")
    settings = Settings.load(root, {})
    assert (settings.speech_model, settings.text_model) == (str(root / "models/speech"), str(tmp_path / "text"))
    monkeypatch.chdir(tmp_path)
    assert Settings.load(root, {"URGENCY_TEXT_MODEL": "./here"}).text_model == str(tmp_path / "here")
    assert Settings.load(root, {"URGENCY_TEXT_MODEL": "~/there"}).text_model == str(Path.home() / "there")


@pytest.mark.parametrize("place", ["environment", "file"])
def test_an_unknown_executor_is_refused(root: Path, place: str) -> None:
    if place == "file":
        store(root, "URGENCY_EXECUTOR=cloud\n")
    with pytest.raises(SettingsError, match="URGENCY_EXECUTOR is 'cloud'; expected one of local, ray"):
        Settings.load(root, {"URGENCY_EXECUTOR": "cloud"} if place == "environment" else {})


@pytest.mark.parametrize(("text", "gpus"), [("", None), ("auto", None), ("4", 4)])
def test_the_number_of_gpus_is_that_of_the_machine_or_the_setting(root: Path, text: str, gpus: int | None) -> None:
    assert Settings.load(root, {"URGENCY_GPUS": text}).gpus == gpus
    store(root, f"URGENCY_GPUS={text}\n")
    assert Settings.load(root, {}).gpus == gpus


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_number_of_gpus_that_is_none_is_refused(root: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=f"URGENCY_GPUS is '{text}'; expected `auto` or a number of at least 1"):
        Settings.load(root, {"URGENCY_GPUS": text})


def test_another_process_gets_the_same_settings(root: Path, tmp_path: Path) -> None:
    store(root, "URGENCY_SPEECH_MODEL=./models/speech\nURGENCY_EXECUTOR=ray\nURGENCY_GPUS=2\n")
    settings = Settings.load(root, {})
    assert Settings.load(None, settings.environment()) == settings


def test_the_process_environment_is_the_default(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("URGENCY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("URGENCY_STORAGE", str(root))
    monkeypatch.setenv("URGENCY_TEXT_MODEL", "x/y")
    assert Settings.load() == Settings(root, SPEECH_MODEL, "x/y", "local")


class TestRecogniser:
    def test_the_default_is_the_speech_model_itself(self, root: Path) -> None:
        assert Settings.load(root, {}).recogniser == "ctc"

    @pytest.mark.parametrize(
        "name",
        [
            "ctc",
            "none",
            "whisper:a/b@v1",
            "http:http://127.0.0.1:8000/v1#x",
            "http://127.0.0.1:8000",
            "https://host/v1",
        ],
    )
    def test_it_comes_from_the_environment_or_the_file(self, root: Path, name: str) -> None:
        assert Settings.load(root, {"URGENCY_RECOGNISER": name}).recogniser == name
        store(root, f"URGENCY_RECOGNISER='{name}'\n")
        settings = Settings.load(root, {})
        assert settings.recogniser == name
        assert Settings.load(None, settings.environment()) == settings

    def test_a_relative_path_starts_at_the_root_or_the_working_folder(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store(root, "URGENCY_RECOGNISER=whisper:./models/whisper\n")
        assert Settings.load(root, {}).recogniser == f"whisper:{root / 'models/whisper'}"
        monkeypatch.chdir(tmp_path)
        environment = {"URGENCY_RECOGNISER": "whisper:./here"}
        assert Settings.load(root, environment).recogniser == f"whisper:{tmp_path / 'here'}"

    @pytest.mark.parametrize(
        "name", ["CTC", "ctc:x", "none:x", "whisper", "whisper:", "http", "http:", "ftp:x", "a/b", ":", "x:y"]
    )
    def test_another_name_is_refused(self, root: Path, name: str) -> None:
        with pytest.raises(SettingsError, match="URGENCY_RECOGNISER is"):
            Settings.load(root, {"URGENCY_RECOGNISER": name})

    @pytest.mark.parametrize(
        ("name", "parts"),
        [
            ("ctc", ("ctc", "")),
            ("whisper:a/b", ("whisper", "a/b")),
            ("http:http://host/v1", ("http", "http://host/v1")),
            ("http://host/v1", ("http", "http://host/v1")),
            ("https://host", ("http", "https://host")),
        ],
    )
    def test_it_has_a_kind_and_a_model_or_address(self, name: str, parts: tuple[str, str]) -> None:
        assert recogniser_parts(name) == parts

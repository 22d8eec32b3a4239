"""The speech model of a trained model is found again, or asked for."""

from pathlib import Path

import pytest

from urgency_dagster.errors import ModelError, SettingsError
from urgency_dagster.pretrained import find_pretrained, weights_hash
from urgency_dagster.settings import SPEECH_MODEL, Settings
from urgency_dagster.urgency.package.speech_model import find_speech_model, settings_of, speech_model_name
from urgency_dagster_tests.calls.conftest import LAYER, save_speech_model

COMMIT, FOLDER_HASH = "c" * 40, "f" * 64
HUB = {"name": "some/speech", "revision": COMMIT, "weights_sha256": "0" * 64}
LOCAL = {"name": "speech", "revision": FOLDER_HASH, "weights_sha256": "0" * 64}


def settings(root: Path, **environment: str) -> Settings:
    return Settings.load(root, environment)


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        (HUB, f"some/speech@{COMMIT}"),
        ({"name": SPEECH_MODEL, "revision": ""}, SPEECH_MODEL),  # a table of the original does not name the revision
        (LOCAL, None),
        ({"name": "", "revision": ""}, None),
        ({}, None),
    ],
)
def test_without_a_setting_the_hub_id_and_the_revision_of_the_card_count(
    tmp_path: Path, stored: dict[str, str], name: str | None
) -> None:
    assert speech_model_name(None, stored, settings(tmp_path)) == name


@pytest.mark.parametrize("stored", [HUB, LOCAL])
def test_a_setting_counts_more_than_the_card_and_an_argument_more_than_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: dict[str, str]
) -> None:
    named = settings(tmp_path, URGENCY_SPEECH_MODEL="of/setting@1")
    assert speech_model_name(None, stored, named) == "of/setting@1"
    assert speech_model_name("of/caller", stored, named) == "of/caller"
    monkeypatch.chdir(tmp_path)
    assert speech_model_name("./here", stored, named) == str(tmp_path / "here")
    assert speech_model_name(Path("here"), stored, named) == str(tmp_path / "here")


def test_the_settings_of_a_model_in_a_storage_root_are_those_of_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("URGENCY_SPEECH_MODEL", raising=False)
    monkeypatch.setenv("URGENCY_STORAGE", str(tmp_path / "default"))
    for root in ("default", "other"):
        (tmp_path / root).mkdir()
        (tmp_path / root / "settings.env").write_text(f"URGENCY_SPEECH_MODEL=of/{root}\n", encoding="utf-8")
    assert settings_of(tmp_path / "other" / "urgency" / "model").speech_model == "of/other"
    assert settings_of(tmp_path / "other" / "elsewhere").speech_model == "of/default"
    assert settings_of(Path("/")).speech_model == "of/default"


class TestFinding:
    def test_without_a_name_the_place_is_asked_for(self) -> None:
        with pytest.raises(SettingsError, match="speech model 'speech' of a local folder"):
            find_speech_model(None, LOCAL)
        with pytest.raises(SettingsError, match="does not name its speech model"):
            find_speech_model(None, {})

    def test_the_weights_are_compared_with_the_card(self, tmp_path: Path) -> None:
        folder = save_speech_model(tmp_path / "speech", LAYER).folder
        stored = {"name": "speech", "revision": FOLDER_HASH, "weights_sha256": weights_hash(folder)}
        assert find_speech_model(str(folder), stored) == find_pretrained(str(folder), "URGENCY_SPEECH_MODEL")
        with pytest.raises(ModelError, match="expected speech with the weights 000000000000") as error:
            find_speech_model(str(folder), LOCAL)
        assert str(tmp_path) not in str(error.value)

    def test_a_card_without_a_hash_fits_every_model(self, tmp_path: Path) -> None:
        """Model folders of before and tables of the original state none."""
        folder = save_speech_model(tmp_path / "speech", LAYER).folder
        assert find_speech_model(str(folder), {"name": "speech", "revision": ""}).folder == folder

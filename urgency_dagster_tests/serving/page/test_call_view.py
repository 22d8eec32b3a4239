"""The view of a call: recordings with turns and without, the table, what the model decides."""

import json
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import load_predictor
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.serving.page.conftest import VALIDATION, Open
from urgency_dagster_tests.urgency.spoken import SpokenRoot, logits_of

pytestmark = pytest.mark.slow

WITHIN = 1e-5


@pytest.fixture(scope="module")
def call(spoken: SpokenRoot) -> tuple[Path, Path]:
    """A recording of the validation side, and its label."""
    archive = spoken.paths.archive(VALIDATION)
    audio = min(archive.audio.iterdir())
    return audio, archive.labels / f"{audio.stem}.json"


class TestWithTurns:
    def test_the_answer_is_that_of_the_evaluation(
        self, open_page: Open, call: tuple[Path, Path], spoken: SpokenRoot
    ) -> None:
        answer = open_page().analyse(*call).json()
        expected = [row for row in spoken.rows() if row["_id"] == call[0].stem.partition("_")[0]]
        model = load_predictor(spoken.paths.root).model
        for task in model.labels.tasks:
            classes = getattr(model.labels, task)
            found = [[turn[task]["probabilities"][name] for name in classes] for turn in answer["utterances"]]
            stored = probabilities(logits_of(expected, task), model.temperatures["utterance"][task])
            np.testing.assert_allclose(found, stored, rtol=0, atol=WITHIN)

    def test_the_table_shows_the_answer(self, open_page: Open, call: tuple[Path, Path], language: str) -> None:
        dashboard = open_page(language)
        answer = dashboard.analyse(*call).json()
        for cells, turn in zip(dashboard.cells(), answer["utterances"], strict=True):
            assert cells[2] == dashboard.say(f"speaker.{turn['speaker']}")
            assert cells[3] == dashboard.say(f"level.{turn['urgency']['label']}")
            assert cells[4] == f"{turn['urgency']['probabilities']['상'] * 100:.1f} %"
            assert cells[5].startswith(dashboard.say(f"sentiment.{turn['sentiment']['label']}"))

    def test_the_running_score_ends_at_the_score_of_the_call(self, open_page: Open, call: tuple[Path, Path]) -> None:
        dashboard = open_page()
        answer = dashboard.analyse(*call).json()
        last = dashboard.page.evaluate(
            """async ([utterances, whole]) => {
                const { runningScore } = await import("./page/scripts/running_score.js");
                return runningScore(utterances, whole);
            }""",
            [answer["utterances"], answer["urgency"]["probabilities"]],
        )[-1]
        assert last["probabilities"] == pytest.approx(answer["urgency"]["probabilities"], abs=WITHIN)

    def test_an_alarm_is_an_alert_and_an_abstention_a_status(
        self, open_page: Open, call: tuple[Path, Path], language: str
    ) -> None:
        dashboard = open_page(language)
        dashboard.analyse(*call)
        expect(dashboard.page.get_by_role("alert")).to_contain_text(dashboard.say("alarm.title"))
        expect(dashboard.page.locator(".message-abstain")).to_contain_text(dashboard.say("abstain.title"))

    def test_text_is_asked_for_and_shown_only_after_the_switch(self, open_page: Open, call: tuple[Path, Path]) -> None:
        dashboard = open_page()
        answer = dashboard.analyse(*call)
        assert "text" not in answer.json()["utterances"][0]
        said = json.loads(call[1].read_bytes())["utterances"][0]["text"].strip()
        assert said not in dashboard.page.inner_text("body")
        with dashboard.page.expect_response("**/v1/calls?text=true"):
            dashboard.page.get_by_role("switch", name=dashboard.say("utterances.text")).click()
        dashboard.sees(said)

    def test_only_times_text_and_speakers_of_a_label_are_sent(
        self, open_page: Open, call: tuple[Path, Path], build: Builder
    ) -> None:
        sent = open_page().analyse(*call).request.post_data_buffer or b""
        assert "가상시".encode() not in sent
        assert b"urgencyLevel" not in sent


class TestWithoutTurns:
    def test_the_server_finds_the_utterances(self, open_page: Open, speech: Path, language: str) -> None:
        dashboard = open_page(language)
        answer = dashboard.analyse(speech).json()
        assert len(dashboard.cells()) == len(answer["utterances"]) == 2
        dashboard.sees(dashboard.say(f"listening.{answer['listening']}"))

    def test_missing_thresholds_are_said(self, open_page: Open, speech: Path, language: str) -> None:
        dashboard = open_page(language)
        dashboard.analyse(speech)
        dashboard.sees(dashboard.say("thresholds.none"))


class TestKeyboard:
    def test_rows_move_by_arrows_and_play_by_enter(self, open_page: Open, call: tuple[Path, Path]) -> None:
        dashboard = open_page()
        dashboard.analyse(*call)
        rows = dashboard.rows
        rows.first.focus()
        for key, place in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", rows.count() - 1), ("Home", 0)):
            dashboard.page.keyboard.press(key)
            expect(rows.nth(place)).to_be_focused()
            expect(rows.nth(place)).to_have_attribute("aria-selected", "true")
        dashboard.page.keyboard.press("Enter")
        expect(dashboard.button("player.pause")).to_be_visible()
        expect(dashboard.button("player.play")).to_be_visible()  # it ends with the utterance

    def test_a_call_needs_no_mouse(self, open_page: Open, speech: Path) -> None:
        dashboard = open_page()
        page = dashboard.page
        page.keyboard.press("Tab")
        expect(page.get_by_text(dashboard.say("skip"))).to_be_focused()
        page.keyboard.press("Enter")
        _tab_to(dashboard.page, "#file-audio")
        with page.expect_file_chooser() as choosing:
            page.keyboard.press("Space")
        choosing.value.set_files(speech)
        _tab_to(page, ".drop .primary")
        page.keyboard.press("Enter")
        expect(dashboard.rows).to_have_count(2)


def _tab_to(page: Page, selector: str, limit: int = 20) -> None:
    """Presses Tab until an element has the focus."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached by the keyboard")


class TestErrors:
    @pytest.mark.parametrize(
        ("content", "key"),
        [
            (b"not json", "turns.not_json"),
            (b'{"address": "x"}', "turns.not_a_list"),
            (b"[]", "turns.none"),
            (b'[{"text": "x"}]', "turns.no_times"),
        ],
    )
    def test_unusable_turns_are_said_before_anything_is_sent(
        self, open_page: Open, speech: Path, tmp_path: Path, content: bytes, key: str, language: str
    ) -> None:
        dashboard = open_page(language)
        turns = tmp_path / "turns.json"
        turns.write_bytes(content)
        dashboard.page.set_input_files("#file-audio", speech)
        dashboard.page.set_input_files("#file-turns", turns)
        dashboard.button("intake.analyse").click()
        dashboard.sees(dashboard.say(key, position=1))

    def test_a_problem_is_said_in_the_language(self, open_page: Open, tmp_path: Path, language: str) -> None:
        dashboard = open_page(language)
        noise = tmp_path / "call.wav"
        noise.write_bytes(b"not audio" * 100)
        dashboard.page.set_input_files("#file-audio", noise)
        dashboard.button("intake.analyse").click()
        expect(dashboard.page.get_by_role("alert")).to_contain_text(dashboard.say("problem.unusable-audio"))
        assert "422" in dashboard.errors.pop()  # the browser itself names the failed request

    def test_a_server_that_is_gone_is_said(self, open_page: Open, speech: Path, language: str) -> None:
        dashboard = open_page(language)
        dashboard.sees(dashboard.say("call.empty"))
        dashboard.page.context.set_offline(True)
        dashboard.page.set_input_files("#file-audio", speech)
        dashboard.button("intake.analyse").click()
        dashboard.sees(dashboard.say("problem.0"))
        assert "ERR_INTERNET_DISCONNECTED" in dashboard.errors.pop()


def test_a_dropped_file_is_taken_by_its_name(open_page: Open) -> None:
    dashboard = open_page()
    dashboard.page.evaluate(
        """() => {
            const files = new DataTransfer();
            for (const name of ["call.wav", "call.json"]) files.items.add(new File(["x"], name));
            document.querySelector(".drop").dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true}));
        }"""
    )
    expect(dashboard.page.locator("#file-audio-name")).to_have_text("call.wav")
    expect(dashboard.page.locator("#file-turns-name")).to_have_text("call.json")


def test_the_models_of_the_page_are_those_of_the_root(open_page: Open, shown_root: StoragePaths) -> None:
    dashboard = open_page()
    sha256 = load_predictor(shown_root.root).provenance.weights_sha256
    expect(dashboard.page.locator("#footer-model")).to_contain_text(sha256[:12])
    dashboard.go("models")
    dashboard.sees(sha256)

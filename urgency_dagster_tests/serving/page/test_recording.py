"""A call from the microphone: over the stream while it goes on, and like a recording afterwards."""

import pytest
from playwright.sync_api import expect

from urgency_dagster_tests.defs.browsing import WAIT_MS
from urgency_dagster_tests.serving.page.conftest import Open
from urgency_dagster_tests.serving.page.dashboard import Dashboard

pytestmark = pytest.mark.slow

SPEECH_MS = 7_000
"""Time after which the microphone has heard the whole speech."""


KEEP_SOCKETS = """() => {
    window.sockets = [];
    const WebSocketOfBrowser = WebSocket;
    window.WebSocket = class extends WebSocketOfBrowser {
        constructor(...options) {
            super(...options);
            window.sockets.push(this);
            this.addEventListener("message", ({ data }) => { window.last = JSON.parse(data); });
        }
    };
}"""
"""Lets a test end the connections of the page, and see the last event of the server."""


def recorded(dashboard: Dashboard, lost_at_ms: int | None = None) -> None:
    """Records the speech, and waits for the end of the call. The connection is lost at a time, or never."""
    dashboard.button("intake.record").click()
    stop = dashboard.button("intake.stop")
    expect(stop).to_be_enabled(timeout=WAIT_MS)
    if lost_at_ms is not None:
        _wait_until(dashboard, lost_at_ms)
        dashboard.page.evaluate("sockets.at(-1).close()")
        dashboard.sees(dashboard.say("stream.again"))
    _wait_until(dashboard, SPEECH_MS)
    stop.click()
    expect(dashboard.page.locator(".player button")).to_be_enabled(timeout=WAIT_MS)


def _wait_until(dashboard: Dashboard, recorded_ms: int) -> None:
    """Waits until so much is recorded."""
    dashboard.page.wait_for_function(
        "at_least => document.querySelector('[role=timer]').textContent >= at_least", arg=f"0:0{recorded_ms / 1000:.1f}"
    )


def test_what_the_microphone_hears_is_scored_utterance_by_utterance(open_page: Open, language: str) -> None:
    dashboard = open_page(language)
    recorded(dashboard)
    dashboard.wait_for_rows(2)
    assert all(cells[3].startswith(("상", "중", "하")) for cells in dashboard.cells())
    assert not dashboard.page.get_by_role("alert").count()


def test_a_lost_connection_costs_nothing(open_page: Open) -> None:
    dashboard = open_page()
    dashboard.page.evaluate(KEEP_SOCKETS)
    recorded(dashboard, lost_at_ms=2000)
    assert dashboard.page.evaluate("sockets.length") == 2
    dashboard.wait_for_rows(2)
    last = dashboard.page.evaluate("last")
    assert (last["type"], last["utterances"]) == ("session.finished", 2)
    minutes, seconds = dashboard.page.locator(".player .number").inner_text().partition(" / ")[2].split(":")
    assert float(minutes) * 60 + float(seconds) == pytest.approx(last["audio_ms"] / 1000, abs=0.1)


def test_the_recording_plays_and_can_be_asked_about_again(open_page: Open) -> None:
    dashboard = open_page()
    recorded(dashboard)
    dashboard.rows.first.focus()
    dashboard.page.keyboard.press("Enter")
    expect(dashboard.button("player.pause")).to_be_visible()
    with dashboard.page.expect_response("**/v1/calls?text=true") as answered:
        dashboard.page.get_by_role("switch", name=dashboard.say("utterances.text")).click()
    assert answered.value.ok


def test_a_refused_microphone_is_said(open_page: Open, language: str) -> None:
    dashboard = open_page(language)
    dashboard.page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('no')); }")
    dashboard.button("intake.record").click()
    dashboard.sees(dashboard.say("microphone.refused"))
    expect(dashboard.button("intake.record")).to_be_enabled()


def test_a_microphone_that_cannot_be_heard_is_given_back(open_page: Open) -> None:
    dashboard = open_page()
    dashboard.page.evaluate(
        """() => {
            const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            navigator.mediaDevices.getUserMedia = async (wish) => (window.sound = await ask(wish));
            AudioContext.prototype.createMediaStreamSource = () => { throw new DOMException("another rate"); };
        }"""
    )
    dashboard.button("intake.record").click()
    dashboard.sees(dashboard.say("microphone.refused"))
    assert dashboard.page.evaluate("sound.getTracks().map(({ readyState }) => readyState)") == ["ended"]
    expect(dashboard.button("intake.record")).to_be_enabled()


def test_the_sound_of_the_alarm_is_off_by_default_and_remembered(open_page: Open) -> None:
    dashboard = open_page()
    switch = dashboard.page.get_by_role("switch", name=dashboard.say("call.sound"))
    expect(switch).not_to_be_checked()
    switch.click()
    dashboard.page.reload()
    expect(switch).to_be_checked()

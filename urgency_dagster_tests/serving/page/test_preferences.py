"""Language, colours, token, and what the browser is allowed to do."""

import pytest
from playwright.sync_api import expect

from urgency_dagster.paths import StoragePaths
from urgency_dagster.serving import ServingConfig
from urgency_dagster_tests.serving.page.conftest import Open, serving
from urgency_dagster_tests.serving.page.dashboard import words_of

pytestmark = pytest.mark.slow

TOKEN = "a secret of this test/+"


def test_the_language_of_the_browser_is_taken_and_a_choice_is_remembered(open_page: Open) -> None:
    dashboard = open_page("ko")
    heading = dashboard.page.get_by_role("heading", level=1)
    expect(heading).to_have_text(words_of("ko")["call.title"])
    expect(dashboard.page.locator("html")).to_have_attribute("lang", "ko")
    dashboard.button("language.other").click()
    expect(heading).to_have_text(words_of("en")["call.title"])
    dashboard.page.reload()
    expect(heading).to_have_text(words_of("en")["call.title"])
    expect(dashboard.page.locator("html")).to_have_attribute("lang", "en")


def test_the_colours_of_the_system_are_taken_and_a_choice_is_remembered(open_page: Open) -> None:
    dashboard = open_page(color_scheme="dark")
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    dark = dashboard.page.evaluate(ground)
    dashboard.button("theme.to_light").click()
    light = dashboard.page.evaluate(ground)
    assert light != dark
    dashboard.page.reload()
    expect(dashboard.button("theme.to_dark")).to_be_visible()
    assert dashboard.page.evaluate(ground) == light


@pytest.mark.parametrize(("motion", "moves"), [("reduce", "none"), ("no-preference", "alarm")])
def test_only_an_alarm_moves_and_only_where_motion_is_welcome(open_page: Open, motion: str, moves: str) -> None:
    dashboard = open_page(reduced_motion=motion)
    found = dashboard.page.evaluate(
        """() => {
            const alarm = document.createElement("div");
            alarm.className = "message message-alarm";
            document.body.append(alarm);
            const of = (item) => getComputedStyle(item).animationName;
            const others = [...document.body.querySelectorAll("*")].filter((item) => item !== alarm).map(of);
            return [of(alarm), [...new Set(others)]];
        }"""
    )
    assert found == [moves, ["none"]]


def test_a_token_is_asked_for_once_and_kept_for_the_tab(open_page: Open, shown_root: StoragePaths) -> None:
    with serving(ServingConfig(shown_root.root, token=TOKEN)) as address:
        dashboard = open_page("ko", at=address)
        field = dashboard.page.get_by_label(dashboard.say("token.label"), exact=True)
        field.fill(TOKEN)
        dashboard.button("token.send").click()
        dashboard.sees(dashboard.say("footer.no_decision"))
        expect(dashboard.page.locator("#footer-model")).to_contain_text("모델")
        dashboard.page.reload()
        expect(dashboard.page.locator("#footer-model")).to_contain_text("모델")
        dashboard.go("reports")
        expect(dashboard.page.locator(".pictures img").first).to_be_visible()
        assert TOKEN not in dashboard.page.content()
        assert dashboard.page.evaluate("Object.values(localStorage)") == []
        assert ["401" in said for said in dashboard.errors] == [True]
        dashboard.errors.clear()


def test_a_wrong_token_is_asked_for_again(open_page: Open, shown_root: StoragePaths) -> None:
    with serving(ServingConfig(shown_root.root, token=TOKEN)) as address:
        dashboard = open_page("en", at=address)
        field = dashboard.page.get_by_label(dashboard.say("token.label"), exact=True)
        for token in ("wrong", TOKEN):
            expect(field).to_be_empty()
            field.fill(token)
            dashboard.button("token.send").click()
        expect(dashboard.page.locator("#footer-model")).to_contain_text("model")
        dashboard.errors.clear()


def test_scripts_and_styles_of_others_are_refused(open_page: Open) -> None:
    dashboard = open_page()
    dashboard.sees(dashboard.say("call.empty"))
    dashboard.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.injected = true";
            const button = document.createElement("button");
            button.setAttribute("onclick", "window.injected = true");
            document.body.append(script, button);
            button.click();
        }"""
    )
    assert dashboard.page.evaluate("window.injected") is None
    assert len(dashboard.errors) == 2
    assert all("Content Security Policy" in said for said in dashboard.errors)
    dashboard.errors.clear()

import base64
import copy
import struct
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from urgency_dagster.urgency.evaluation.report.document import report_text
from urgency_dagster.urgency.evaluation.report.html import html_page
from urgency_dagster.urgency.evaluation.report.summary import five_sentences
from urgency_dagster.urgency.package.model_folder import read_card
from urgency_dagster_tests.urgency.conftest import ARCHIVES, Trained

CONFUSIONS = {f"confusion_{task}_{unit}.png" for task in ("urgency", "sentiment") for unit in ("utterance", "call")}
OF_URGENCY = {"time_to_decision.png", "coverage.png", "high_urgency.png"}
RELIABILITIES = {"reliability_utterance.png", "reliability_call.png"}
PICTURES = CONFUSIONS | OF_URGENCY | RELIABILITIES | {"class_counts.png", "learning_curve.png"}
TEXTS = {"metrics.json", "classification_report.txt", "predictions.parquet", "report.md", "report.html"}


@pytest.fixture
def folder(trained: Trained) -> Path:
    return trained.paths.urgency.evaluation


@pytest.fixture
def card(trained: Trained) -> dict[str, Any]:
    return copy.deepcopy(read_card(trained.paths.urgency.model))


def test_the_evaluation_folder_holds_the_documented_files(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == PICTURES | TEXTS


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_pictures_are_readable_and_small(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    assert 300 < width < 1200
    assert 200 < height < 1200


def test_the_report_shows_the_stored_scores(folder: Path, trained: Trained) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    for unit in ("utterance", "call", "majority", "majority_call"):
        assert f"{trained.metrics[unit]['urgency']['f1_macro']:.3f}" in text
    assert f"{trained.metrics['call']['urgency']['recall_high']:.1%}" in text
    assert all(f"]({name})" in text for name in PICTURES)
    for parts in trained.metrics["slices"].values():
        assert all(f"| {scores['calls']} | {scores['accuracy']:.3f} " in text for scores in parts.values())
    for moment in trained.metrics["time_to_decision"]:
        low, high = moment["accuracy_interval"]
        accuracy = f"{moment['accuracy']:.1%} [{low:.1%}, {high:.1%}]"
        assert f"| {moment['seconds']} | {moment['decided']:.1%} | {accuracy} |" in text
    assert f"cost {trained.metrics['cost_per_1000_calls']['model']:.0f}" in text
    assert f"{trained.metrics['caller_only']['urgency']['f1_macro']:.3f}" in text


def test_the_classification_report_covers_both_tasks_and_units(folder: Path) -> None:
    text = (folder / "classification_report.txt").read_text(encoding="utf-8")
    for heading in ("urgency by utterance", "sentiment by utterance", "urgency by call", "sentiment by call"):
        assert heading in text
    assert text.count("상 (high)") == 2


def test_a_split_by_utterance_is_called_inflated(trained: Trained, card: dict[str, Any]) -> None:
    card["split"] = {"mode_asked": "utterance", "mode_used": "utterance", "sha256": "0"}
    assert "inflated" in report_text(trained.metrics, card, {})


def test_the_originals_protocol_is_named(trained: Trained, card: dict[str, Any]) -> None:
    assert "protocol: original" not in report_text(trained.metrics, card, {})
    card["protocol"] = "original"
    assert "**Trained with `protocol: original`" in report_text(trained.metrics, card, {})
    del card["protocol"]
    assert "protocol: original" not in report_text(trained.metrics, card, {})


def test_the_report_names_a_fallback_of_the_split(trained: Trained, card: dict[str, Any]) -> None:
    card["split"] = {"mode_asked": "official", "mode_used": "call", "sha256": "0"}
    assert "`call` instead of `official`" in report_text(trained.metrics, card, {})


def test_the_report_says_which_calls_chose_what(folder: Path, trained: Trained, card: dict[str, Any]) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    sizes = f"{card['utterances']['development']} utterances of {card['calls']['development']} calls"
    assert f"The development side has {sizes}. It chose the best epoch, the temperatures and the thresholds." in text
    assert f"- The best epoch ({card['epoch']} of {card['config']['epochs']}) was chosen on other calls." in text
    for split in (
        card["split"] | {"selection": "validation"},
        {"mode_asked": "call", "mode_used": "call", "sha256": "0"},
    ):
        text = report_text(trained.metrics, card | {"split": split}, {})
        assert "The validation side chose the best epoch too." in text
        assert "was chosen on the same rows, so the scores are slightly too high" in text


def test_a_class_that_is_absent_has_no_share(trained: Trained, card: dict[str, Any]) -> None:
    metrics = copy.deepcopy(trained.metrics)
    absent = ("recall_high", "high_read_as_low")
    metrics["call"]["urgency"] |= dict.fromkeys([*absent, *(f"{name}_interval" for name in absent)])
    assert "none present" in report_text(metrics, card, {})


def test_the_report_shows_the_thresholds_or_says_there_are_none(
    folder: Path, trained: Trained, card: dict[str, Any]
) -> None:
    found = trained.metrics["calibration"]["thresholds"]
    text = (folder / "report.md").read_text(encoding="utf-8")
    person, (low, high) = found["answer_from"], found["answer_from"]["to_person_interval"]
    assert (
        f"({person['threshold']:.3f}) {person['to_person']:.1%} [{low:.1%}, {high:.1%}] of the calls are deferred"
        in text
    )
    alarm, (low, high) = found["alarm_from"], found["alarm_from"]["false_alarms_interval"]
    assert f"{alarm['false_alarms']:.1%} [{low:.1%}, {high:.1%}] of the others" in text
    fit = card["threshold_fits"]["alarm_from"]
    assert f"Alarm threshold: {fit['threshold']:.3f}, fitted on {fit['calls']} calls of 상 (high): it raises" in text
    card["threshold_fits"]["alarm_from"]["offered"] = False
    assert "- Alarm threshold: not offered: the development side has only" in report_text(trained.metrics, card, {})
    metrics = copy.deepcopy(trained.metrics)
    metrics["calibration"]["thresholds"] = {}
    assert "has no thresholds" in report_text(metrics, card, {})


def test_the_report_shows_the_calibration_of_both_levels(folder: Path, trained: Trained) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    calibration = trained.metrics["calibration"]
    for level, of_level in (("utterance", calibration), ("call", calibration["call"])):
        for task in ("urgency", "sentiment"):
            assert f"| {task} by {level} | {of_level[task]['temperature']:.3f} |" in text
            for name in ("ece_before", "ece_after", "nll_before", "nll_after"):
                low, high = of_level[task][f"{name}_interval"]
                assert f"{of_level[task][name]:.3f} [{low:.3f}, {high:.3f}]" in text


def test_a_card_of_before_has_a_report(trained: Trained, card: dict[str, Any]) -> None:
    del card["threshold_fits"], card["config"]["min_development_calls"]
    assert "## Calibration" in report_text(trained.metrics, card, {})


def test_every_score_has_its_interval(folder: Path, trained: Trained) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    for unit in ("utterance", "call", "majority", "text_only", "audio_only_call"):
        for scores in (trained.metrics[unit]["urgency"], trained.metrics[unit]["sentiment"]):
            low, high = scores["f1_macro_interval"]
            assert f"{scores['f1_macro']:.3f} [{low:.3f}, {high:.3f}]" in text


def test_no_text_is_in_the_report(folder: Path, trained: Trained) -> None:
    texts = set()
    for archive in ARCHIVES:
        texts |= set(pq.read_table(trained.paths.archive(archive).utterances)["text"].to_pylist())
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not any(text.encode() in content for text in texts if len(text) > 4), path.name


class TestSentences:
    def test_the_report_begins_with_five_and_their_figures_are_the_stored_ones(
        self, folder: Path, trained: Trained, card: dict[str, Any]
    ) -> None:
        lines = (folder / "report.md").read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("# ")
        assert lines[2:7] == [f"- {sentence}" for sentence in five_sentences(trained.metrics, card)]
        assert lines[7] == ""
        good, against, high, people, not_to_conclude = lines[2:7]
        metrics = trained.metrics
        assert f"macro-F1 {metrics['call']['urgency']['f1_macro']:.3f} (95 % interval " in good
        assert f"on {metrics['call']['n']} validation calls, which chose nothing" in good
        for difference in metrics["differences"]["urgency"].values():
            low, upper = difference["f1_macro_interval"]
            assert f"{difference['f1_macro']:+.3f} (95 % interval {low:+.3f} to {upper:+.3f})" in against
        assert f"Of {metrics['high_urgency']['calls']} calls of 상" in high
        assert f"leaves {metrics['calibration']['thresholds']['answer_from']['to_person']:.1%} [" in people
        assert "that it may decide alone" in not_to_conclude

    @pytest.mark.parametrize(
        ("interval", "verdict", "named"),
        [([0.01, 0.2], "better", False), ([-0.2, -0.01], "worse", True), ([-0.1, 0.1], "no clear difference", True)],
    )
    def test_a_verdict_needs_the_whole_interval(
        self, trained: Trained, card: dict[str, Any], interval: list[float], verdict: str, named: bool
    ) -> None:
        metrics = copy.deepcopy(trained.metrics)
        for difference in metrics["differences"]["urgency"].values():
            difference |= {"f1_macro": sum(interval) / 2, "f1_macro_interval": interval}
        _, against, _, _, not_to_conclude = five_sentences(metrics, card)
        assert against.count(verdict) == len(metrics["differences"]["urgency"])
        assert ("that it needs more than" in not_to_conclude) is named

    def test_without_thresholds_no_call_is_left_to_people(self, trained: Trained, card: dict[str, Any]) -> None:
        metrics = copy.deepcopy(trained.metrics)
        metrics["calibration"]["thresholds"] = {}
        people = five_sentences(metrics, card)[3]
        calls = card["calls"]["development"]
        assert people == f"It leaves no call to a person: {calls} development calls give it no confidence threshold."

    def test_a_split_by_utterance_allows_no_conclusion_about_new_calls(
        self, trained: Trained, card: dict[str, Any]
    ) -> None:
        card["split"]["mode_used"] = "utterance"
        assert "Do not conclude anything about new calls" in five_sentences(trained.metrics, card)[4]


class Page(HTMLParser):
    """The elements of a page and the values of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


class TestPage:
    def test_it_holds_its_pictures_and_loads_and_runs_nothing(self, folder: Path) -> None:
        page = Page((folder / "report.html").read_text(encoding="utf-8"))
        assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
        pictures = page.of("img")
        assert len(pictures) == len(PICTURES)
        stored = {(folder / name).read_bytes() for name in PICTURES}
        assert {
            base64.b64decode((img["src"] or "").removeprefix("data:image/png;base64,")) for img in pictures
        } == stored
        assert all(img["alt"] for img in pictures)
        assert all(not name.startswith("on") and name != "href" for _, of in page.elements for name in of)
        policies = [of["content"] for of in page.of("meta") if of.get("http-equiv") == "Content-Security-Policy"]
        assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]

    def test_it_says_what_the_markdown_says(self, folder: Path, trained: Trained, card: dict[str, Any]) -> None:
        page = Page((folder / "report.html").read_text(encoding="utf-8"))
        assert all(sentence in page.text for sentence in five_sentences(trained.metrics, card))
        rows = [
            line for line in (folder / "report.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")
        ]
        separators = [line for line in rows if set(line) <= set("|- ")]
        assert len(page.of("tr")) == len(rows) - len(separators)
        assert len(page.of("table")) == len(separators)

    def test_markup_in_a_name_has_no_effect(self, tmp_path: Path) -> None:
        name = "<img src=x onerror=alert(1)><script>alert(1)</script>"
        page = Page(html_page(f"# {name}\n\n| a |\n| --- |\n| {name} |\n\n{name}", "title", tmp_path))
        assert not page.of("script")
        assert not page.of("img")
        assert page.text.count("alert(1)") == 6

    @pytest.mark.parametrize("name", ["![secret]({path})", "[secret](https://evil.example)", "<https://evil.example>"])
    def test_a_name_shows_no_other_file_and_links_nowhere(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "secret.png").write_bytes(b"secret")
        (tmp_path / "report").mkdir()
        for path in ("../secret.png", str(tmp_path / "secret.png"), "absent.png"):
            page = Page(html_page(name.format(path=path), "title", tmp_path / "report"))
            assert not page.of("img")
            assert not page.of("a")
            assert "secret" in page.text or "evil" in page.text

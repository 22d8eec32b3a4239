"""The pages of `docs/`, compared with the code."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from docs.generate.definitions import specs
from docs.generate.options import configurations
from urgency_dagster.calls import RejectReason
from urgency_dagster.configuration import checked_options
from urgency_dagster.scoring import RejectReason as ScoringReason
from urgency_dagster.scoring.recordings.file_types import AUDIO_SUFFIXES
from urgency_dagster.settings import AUTO, EXECUTORS, RECOGNISERS, SPEECH_MODEL, TEXT_MODEL, Settings
from urgency_dagster_tests.docs.markdown import PAGES, ROOT, blocks, code_spans, prose, read, tables
from urgency_dagster_tests.docs.test_readme import Finished

FOLDERS = ("urgency_dagster", "urgency_dagster_tests", "benchmarks", "docs")

SOURCES = "\n".join(
    file.read_text(encoding="utf-8")
    for folder in FOLDERS
    for file in (ROOT / folder).rglob("*.py")
    if "docs" not in file.relative_to(ROOT).parts
)


@pytest.fixture(params=PAGES, ids=lambda page: page.stem)
def page(request: pytest.FixtureRequest) -> str:
    return Path(request.param).read_text(encoding="utf-8")


def test_every_reject_reason_is_explained() -> None:
    table = next(table for table in tables(read("docs/data.md")) if "reason" in table[0])
    assert sorted(code_spans(row[0])[0] for row in table[1:]) == sorted(RejectReason)


def test_every_reject_reason_of_scoring_is_explained() -> None:
    table = next(table for table in tables(read("docs/scoring.md")) if "reason" in table[0])
    assert sorted(code_spans(row[0])[0] for row in table[1:]) == sorted(ScoringReason)


def test_every_suffix_of_a_recording_is_named() -> None:
    line = next(line for line in read("docs/scoring.md").splitlines() if line.startswith("- Recordings are"))
    assert code_spans(line) == list(AUDIO_SUFFIXES)


def test_the_level_of_every_reject_reason_is_named() -> None:
    table = next(table for table in tables(read("docs/data.md")) if "reason" in table[0])
    assert {row[1] for row in table[1:]} == {"member", "call", "utterance"}


def test_the_columns_of_the_utterance_table() -> None:
    from urgency_dagster.tables import UTTERANCES

    table = next(table for table in tables(read("docs/results.md")) if table[0] == ["column", "type", "meaning"])
    assert [(row[0].strip("`"), row[1]) for row in table[1:]] == [(field.name, str(field.type)) for field in UTTERANCES]


def test_settings_and_their_defaults() -> None:
    table = next(table for table in tables(read("docs/options.md")) if "variable" in table[0])
    defaults = {code_spans(row[0])[0]: code_spans(row[1])[0] for row in table[1:]}
    settings = Settings.load(environment={})
    assert defaults == {
        "URGENCY_STORAGE": settings.storage.name,
        "URGENCY_SPEECH_MODEL": SPEECH_MODEL,
        "URGENCY_TEXT_MODEL": TEXT_MODEL,
        "URGENCY_EXECUTOR": EXECUTORS[0],
        "URGENCY_GPUS": AUTO,
        "URGENCY_RECOGNISER": RECOGNISERS[0],
    }
    assert settings.environment().keys() == defaults.keys()


def test_every_make_target_is_explained() -> None:
    targets = set(re.findall(r"^(\w+):", read("Makefile"), flags=re.MULTILINE))
    explained = {span.removeprefix("make ") for span in code_spans(read("docs/getting-started.md"))}
    assert targets - explained == set()


def test_every_make_target_exists(page: str) -> None:
    targets = set(re.findall(r"^(\w+):", read("Makefile"), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake (\w+)", "\n".join([*blocks(page, "bash"), *code_spans(page)])))
    assert named - targets == set()


def test_every_extra_is_explained() -> None:
    import tomllib

    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    assert set(extras) - set(code_spans(read("docs/getting-started.md"))) == set()


def test_every_asset_is_drawn() -> None:
    from urgency_dagster.defs.catalogue import CATALOGUE

    graph = blocks(read("docs/architecture.md"), "text")[0]
    assets = {spec.key.path[0] for spec in CATALOGUE.specs}
    assert len(assets) > 10
    assert {asset for asset in assets if not re.search(rf"\b{asset}\b", graph)} == set()


def with_indirect(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows, and an arrow for each path along them."""
    longer = arrows | {(start, end) for start, middle in arrows for other, end in arrows if middle == other}
    return arrows if longer == arrows else with_indirect(longer)


def drawn_arrows() -> set[tuple[str, str]]:
    """The arrows of the graph of the architecture page, from input to output."""
    graph = re.sub(r"\(.*?\)|\*|/<model>", "", blocks(read("docs/architecture.md"), "text")[0])
    chains = [[re.findall(r"\w+", step) for step in line.split("→")] for line in graph.splitlines() if "→" in line]
    return {(start, end) for chain in chains for starts, ends in pairwise(chain) for start in starts for end in ends}


def test_the_arrows_are_the_inputs_of_the_assets() -> None:
    """An input that an asset has through another asset needs no arrow of its own."""
    inputs = {(dep.asset_key.path[0], spec.key.path[0]) for spec in specs() for dep in spec.deps}
    assert len(inputs) > 10
    assert with_indirect(drawn_arrows()) == with_indirect(inputs)


def test_names_in_code_spans_exist(page: str) -> None:
    """A name such as `audio_tokens` that is renamed in the code must be renamed in the pages.

    The names of metrics are compared with those of a server, see `test_serving_page.py`.
    """
    names = {span for span in code_spans(page) if re.fullmatch(r"(?!urgency_dagster_)[a-z0-9]+(_[a-z0-9]+)+", span)}
    assert {name for name in names if not re.search(rf"\b{name}\b", SOURCES)} == set()


def test_files_in_code_spans_exist(page: str) -> None:
    names = {span for span in code_spans(page) if re.fullmatch(r"[\w/]+\.py|[\w/]+/", span) and "storage" not in span}
    code = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    known = {file.relative_to(ROOT).as_posix().removeprefix("urgency_dagster/") for file in code}
    known |= {file.relative_to(ROOT).as_posix() for file in code} | {file.name for file in code}
    folders = {f"{parent.as_posix()}/" for file in known for parent in Path(file).parents}
    written = {
        "landing/",
        "calls/",
        "manifests/",
        "events/",
        "converted_models/",
        "dagster_home/",
        "bench/",
        "Wave/",
        "Label/",
        "site/",
    }
    written |= {"events/", "converted_models/", "landing/scoring/"}
    written |= {"urgency/training_set/", "urgency/model/", "landing/attention/", "models/attention/"}
    written |= {"urgency/evaluation/", "eval/attention/", "urgency/full_table/", "urgency/export/"}
    written |= {"urgency/label_free_gap/"}
    assert names - known - folders - written == set()


def test_options_in_yaml_are_valid(page: str) -> None:
    options = dict(configurations())
    for text in blocks(page, "yaml"):
        declared = yaml.safe_load(text)
        for asset, values in declared.items():
            if asset in options:
                checked_options(options[asset], values, asset)


def test_there_are_options_in_yaml() -> None:
    texts = [text for page in PAGES for text in blocks(page.read_text(encoding="utf-8"), "yaml")]
    assert {"urgency_model", "attention_cv"} <= {asset for text in texts for asset in yaml.safe_load(text)}


def test_sentences_are_short(page: str) -> None:
    """Readers whose first language is Korean read short sentences."""
    text = re.sub(r"^\|.*\|$|^#.*$|^<!--.*$", "", prose(page), flags=re.MULTILINE)
    text = re.sub(r"^\s*(?:[-*]|\d+\.) ", "\n\n", text, flags=re.MULTILINE)
    sentences = [sentence for paragraph in text.split("\n\n") for sentence in re.split(r"[.:;!?]\s", paragraph)]
    assert [sentence for sentence in sentences if len(sentence.split()) > 30] == []


@pytest.mark.slow
def test_the_python_examples_run(first_run: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "demo").symlink_to(first_run[0])
    monkeypatch.chdir(tmp_path)
    codes = [code for page in PAGES for code in blocks(page.read_text(encoding="utf-8"), "python")]
    examples = [code for code in codes if "storage/demo" in code]
    assert len(examples) >= 3
    for code in examples:
        exec(compile(code, "page", "exec"), {})

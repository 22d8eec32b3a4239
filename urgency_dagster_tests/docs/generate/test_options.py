from typing import Literal

from pydantic import BaseModel, Field

from docs.generate.options import LAUNCHPAD_ONLY, asset_options, configurations, type_of


def test_every_option_of_every_asset_is_described() -> None:
    page = asset_options()
    assert len(list(configurations())) >= 10
    for asset, config in configurations():
        section = page.partition(f"### `{asset}`\n")[2].partition("\n### ")[0]
        for name, field in config.model_fields.items():
            row = next(line for line in section.splitlines() if line.startswith(f"| `{name}` |"))
            assert field.description
            assert " ".join(field.description.split()).replace("|", r"\|") in row


def test_every_asset_with_options_is_there() -> None:
    from urgency_dagster.defs.catalogue import CATALOGUE

    assert {*CATALOGUE.options, "urgency_leak_gap", "label_free_gap"} == {asset for asset, _ in configurations()}


def test_options_that_run_config_refuses_say_so() -> None:
    sections = dict(section.split("`\n\n", 1) for section in asset_options().split("### `")[1:])
    refused = [asset for asset, text in sections.items() if text.startswith(LAUNCHPAD_ONLY)]
    assert sorted(refused) == ["label_free_gap", "urgency_leak_gap"]


def test_types_are_written_for_users() -> None:
    assert type_of(Literal["a", "b"]) == "`a`, `b`"
    assert type_of(float | None) == "float or empty"
    assert type_of(list[list[float]]) == "list of list of float"
    assert type_of(list[Literal["a", "b"]]) == "list of `a`, `b`"


def test_bounds_are_written_as_signs() -> None:
    from docs.generate.options import _bounds

    class Options(BaseModel):
        share: float = Field(0.5, ge=0, lt=1)
        names: list[str] = Field(["a"], min_length=1)

    assert _bounds(Options.model_fields["share"]) == "≥ 0, < 1"
    assert _bounds(Options.model_fields["names"]) == "length ≥ 1"

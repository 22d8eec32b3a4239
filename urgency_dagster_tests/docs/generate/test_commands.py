import click

from docs.generate.commands import command_reference
from urgency_dagster.cli import PORT, main
from urgency_dagster.demo.inputs import DEMO_CALLS


def test_every_option_of_every_command_is_described() -> None:
    page = command_reference()
    assert {"demo", "dev", "predict", "run"} <= main.commands.keys()
    for name, command in main.commands.items():
        section = page.partition(f"### `urgency-dagster {name}`\n")[2].partition("\n### ")[0]
        for parameter in command.params:
            name = parameter.opts[0] if isinstance(parameter, click.Option) else str(parameter.metavar)
            row = next(line for line in section.splitlines() if line.startswith(f"| `{name}`"))
            assert not row.endswith("|  |")


def test_defaults_are_those_of_the_code() -> None:
    page = command_reference()
    assert f"Number of synthetic calls. Default: {DEMO_CALLS}." in page
    assert f"Default: {PORT}." in page

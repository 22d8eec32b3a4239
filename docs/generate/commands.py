"""The command `urgency-dagster`: every subcommand with its options."""

from collections.abc import Iterator

import click

from docs.generate.tables import first_line, table
from urgency_dagster.cli import main


def command_reference() -> str:
    """A section for each subcommand."""
    return "\n\n".join(_section(command) for command in commands())


def commands() -> Iterator[click.Command]:
    """The subcommands, by name."""
    yield from (main.commands[name] for name in sorted(main.commands))


def _section(command: click.Command) -> str:
    rows = [_row(parameter) for parameter in command.params]
    return f"### `urgency-dagster {command.name}`\n\n{first_line(command.help)}\n\n" + table(
        ["argument", "value", "meaning"], rows
    )


def _row(parameter: click.Parameter) -> list[str]:
    if not isinstance(parameter, click.Option):
        return [f"`{_value(parameter)}`", "", "One or more." if parameter.nargs < 0 else "Required."]
    value = "none" if parameter.is_flag else f"`{_value(parameter)}`"
    return [f"`{parameter.opts[0]}`", value, parameter.help or ""]


def _value(parameter: click.Parameter) -> str:
    return parameter.make_metavar(click.Context(main))

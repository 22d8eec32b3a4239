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
    name = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name
    return [f"`{name}`", f"`{_value(parameter)}`", getattr(parameter, "help", None) or ""]


def _value(parameter: click.Parameter) -> str:
    return parameter.make_metavar(click.Context(main))

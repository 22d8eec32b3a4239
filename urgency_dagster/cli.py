"""The `urgency-dagster` command: `demo`, `run`, `dev`. What they do is in `demo` and `defs`."""

import os
import sys
from pathlib import Path

import click

from urgency_dagster.errors import UrgencyError
from urgency_dagster.extras import require_extra
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings, default_storage

GROUPS = ("calls", "urgency", "attention")
ADDRESS, PORT = "127.0.0.1", "3000"
SENSOR_TIMEOUT_S = "600"
"""A first look at 87 GB of archives hashes them all, which takes minutes."""

storage_option = click.option(
    "--storage",
    type=click.Path(file_okay=False, path_type=Path),
    help="Storage root; URGENCY_STORAGE or `storage` in the repository when not given.",
)


class _Commands(click.Group):
    """Shows the project's own errors as one sentence instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UrgencyError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Urgency of emergency calls and attention from wearables, as Dagster pipelines."""


@main.command()
@storage_option
@click.option("--only", type=click.Choice(GROUPS), help="One pipeline part; all when not given.")
def run(storage: Path | None, only: str | None) -> None:
    """Find what has landed and make exactly what is missing or out of date; exit 1 if anything failed."""
    require_extra("pipelines")
    settings = Settings.load(storage)
    _prepare(settings)
    from urgency_dagster.definitions import CATALOGUE, RUNNABLE
    from urgency_dagster.operations.run_command import run_all
    from urgency_dagster.operations.summary import summary_lines

    succeeded = run_all(settings, [only] if only else GROUPS, CATALOGUE, RUNNABLE, click.echo)
    click.echo()
    for line in summary_lines(StoragePaths(settings.storage)):
        click.echo(line)
    click.echo(f"UI            {_dev_command(settings)}")
    if not succeeded:
        raise click.ClickException("something failed; see FAILED above, or the run in the UI")


@main.command()
@storage_option
@click.option("--calls", type=click.IntRange(min=1), help="Calls to invent.")
def demo(storage: Path | None, calls: int | None) -> None:
    """Write the synthetic inputs and tiny models, and print the settings that use them."""
    require_extra("demo")
    from urgency_dagster.demo.inputs import DEMO_CALLS, write_demo
    from urgency_dagster.operations.environment import prepare_process

    prepare_process()
    root = Settings.load(storage).storage if storage else Settings.load().storage / "demo"
    written = write_demo(root, calls=calls or DEMO_CALLS)
    click.echo(
        f"{_shown(root)}: {written.calls} calls with {written.utterances} utterances in {', '.join(written.archives)}; "
        f"{written.samples} wearable samples; {written.written} files written"
    )
    click.echo(StoragePaths(root).settings_env.read_text(encoding="utf-8").rstrip())


@main.command()
@storage_option
@click.option("--port", default=PORT, show_default=True, help=f"Port of the UI on {ADDRESS}.")
def dev(storage: Path | None, port: str) -> None:
    """Open the Dagster UI with its daemon; runs start by themselves when something lands."""
    require_extra("pipelines")
    settings = _settings_of_interest(storage)
    _prepare(settings)
    from urgency_dagster.operations.instance import claim_server

    claim_server()
    os.environ.setdefault("DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS", SENSOR_TIMEOUT_S)
    click.echo(f"storage {settings.storage}; UI on http://{ADDRESS}:{port}")
    workspace = default_storage().parent / "workspace.yaml"
    source = ["-w", str(workspace)] if workspace.is_file() else ["-m", "urgency_dagster.definitions"]
    quiet = ["-W", "ignore:Function `dev_command` is superseded"]  # its successor needs another package
    command = [sys.executable, *quiet, "-m", "dagster", "dev", *source, "-h", ADDRESS, "-p", port]
    os.execv(sys.executable, command)  # noqa: S606 - the command is ours


def _prepare(settings: Settings) -> None:
    from urgency_dagster.operations.instance import prepare_environment

    prepare_environment(settings)


def _settings_of_interest(storage: Path | None) -> Settings:
    """The settings asked for; those of the demo when none were asked for, nothing has landed and a demo exists."""
    settings = Settings.load(storage)
    demo_root = settings.storage / "demo"
    landing = settings.storage / "landing"
    asked = storage or os.environ.get("URGENCY_STORAGE")
    if asked or _holds_a_file(landing) or not StoragePaths(demo_root).settings_env.is_file():
        return settings
    click.echo(f"nothing has landed in {_shown(landing)} yet: showing the demo")
    return Settings.load(demo_root)


def _holds_a_file(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _dev_command(settings: Settings) -> str:
    default = Settings.load(environment={}).storage
    if settings.storage in (default, default / "demo"):
        return "make dev" if settings.storage == default else "make dev URGENCY_STORAGE=storage/demo"
    return f"urgency-dagster dev --storage {settings.storage}"

"""The commands of `urgency-dagster`. Their work is in `operations`, `demo`, `scoring` and `serving`."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import click

from urgency_dagster.errors import UrgencyError
from urgency_dagster.extras import require_extra
from urgency_dagster.operations.groups import GROUPS
from urgency_dagster.paths import StoragePaths, shown
from urgency_dagster.progress import Progress, no_progress
from urgency_dagster.scoring import FORMATS, Format
from urgency_dagster.settings import UI_ADDRESS, Settings
from urgency_dagster.urgency import ENGINES, Engine

PORT = "3000"

DEFAULT_STORAGE = "URGENCY_STORAGE, or `storage` in the repository"


def _storage_option(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option `--storage` of a command; `default` names the folder without the option."""
    return click.option(
        "--storage", type=click.Path(file_okay=False, path_type=Path), help=f"Storage root. Default: {default}."
    )


class _Commands(click.Group):
    """Prints an error of the project as one sentence, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UrgencyError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Urgency of emergency calls and attention from wearables, as Dagster pipelines."""


@main.command()
@_storage_option(DEFAULT_STORAGE)
@click.option("--only", type=click.Choice(GROUPS), help="Run one pipeline only. Default: all.")
def run(storage: Path | None, only: str | None) -> None:
    """Run every step whose result is missing or out of date. Exit with 1 if a step failed."""
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
        raise click.ClickException("a step failed; see FAILED above, or the run in the UI")


@main.command()
@_storage_option("the folder `demo` in URGENCY_STORAGE, or `storage/demo` in the repository")
@click.option("--calls", type=click.IntRange(min=1), help="Number of synthetic calls. Default: 120.")
def demo(storage: Path | None, calls: int | None) -> None:
    """Write synthetic inputs and tiny models, and print the settings that use them."""
    require_extra("demo")
    from urgency_dagster.demo.inputs import DEMO_CALLS, write_demo
    from urgency_dagster.operations.environment import prepare_process

    prepare_process()
    root = Settings.load(storage).storage if storage else Settings.load().storage / "demo"
    written = write_demo(root, calls=calls or DEMO_CALLS)
    click.echo(
        f"{shown(root)}: {written.calls} calls with {written.utterances} utterances in {', '.join(written.archives)}; "
        f"{written.samples} wearable samples; {written.written} files written"
    )
    click.echo(StoragePaths(root).settings_env.read_text(encoding="utf-8").rstrip())


class _NothingPredicted(click.ClickException):
    """An error before the first answer of `predict`. Its exit code differs from that of a rejected file."""

    exit_code = 2


@main.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@_storage_option(DEFAULT_STORAGE)
@click.option(
    "--model", type=click.Path(path_type=Path), help="Model folder. Default: `urgency/model` in the storage root."
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="torch",
    help="What computes the network. With openvino, the model folder is an exported one: by default `urgency/export`.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", help="Default: table.")
@click.option("--text", is_flag=True, help="Print the text of the calls, too.")
def predict(
    paths: tuple[Path, ...], storage: Path | None, model: Path | None, engine: Engine, form: Format, text: bool
) -> None:
    """Predict urgency and sentiment of recordings: files, folders or ZIPs, with label JSON beside them or without.

    Exit with 1 if a file was rejected, and with 2 if nothing was predicted.
    """
    from urgency_dagster.operations.environment import prepare_process
    from urgency_dagster.scoring import (
        find_recordings,
        gap_line,
        load_predictor,
        precision_line,
        predict_recordings,
        write_answers,
    )

    prepare_process()
    try:
        require_extra("predict")
        predictor = load_predictor(storage, model, engine)
        found = find_recordings(paths)
        with _progress_bar(len(found)) as progress:
            answers = predict_recordings(predictor, found, progress)
            written = write_answers(answers, predictor, form, sys.stdout, text=text)
    except UrgencyError as error:
        raise _NothingPredicted(str(error)) from error
    for line in filter(None, (precision_line(predictor), gap_line(predictor, written.listening))):
        click.echo(line, err=True)
    if written.unused:
        click.get_current_context().exit(1)


@contextmanager
def _progress_bar(recordings: int) -> Iterator[Progress]:
    """Yields a progress bar on a terminal. There is none for a single recording, and none in the log of a script."""
    if recordings <= 1 or not sys.stderr.isatty():
        yield no_progress
        return
    with click.progressbar(length=recordings, label="recordings", file=sys.stderr) as bar:

        def report(done: int, total: int, **figures: float) -> None:  # noqa: ARG001 - the signature of `Progress`
            bar.update(1)

        yield report


@main.command()
@_storage_option(DEFAULT_STORAGE)
@click.option("--host", default=UI_ADDRESS, help=f"Address to listen on. Default: {UI_ADDRESS}, this machine only.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="Port. Default: 8000; 0 for any free one.")
@click.option(
    "--replicas", type=click.IntRange(1, 64), default=1, help="Processes. More than 1 need Ray and a token. Default: 1."
)
@click.option(
    "--speech-engine",
    type=click.Choice(["torch", "auto"]),
    default="torch",
    help="What computes the speech model: torch in float32, or the fastest way of this machine. Default: torch.",
)
def serve(storage: Path | None, host: str, port: int, replicas: int, speech_engine: Literal["torch", "auto"]) -> None:
    """Answer over HTTP with the trained models. Another address than this machine's needs URGENCY_API_TOKEN."""
    require_extra("serve")
    from urgency_dagster.operations.environment import prepare_process
    from urgency_dagster.serving import ServingConfig, serve

    prepare_process()
    token = os.environ.get("URGENCY_API_TOKEN", "").strip() or None  # a blank one is no secret
    config = ServingConfig(storage, host, port, token, speech_engine=speech_engine)
    serve(config, click.echo, replicas)


@main.command()
@_storage_option(f"{DEFAULT_STORAGE}; its folder `demo` while nothing has landed")
@click.option("--port", default=PORT, help=f"Port of the UI on {UI_ADDRESS}. Default: {PORT}.")
def dev(storage: Path | None, port: str) -> None:
    """Open the Dagster UI with its daemon. Runs start by themselves when files land."""
    require_extra("pipelines")
    settings = _dev_settings(storage)
    _prepare(settings)
    from urgency_dagster.operations.dev_server import serve

    click.echo(f"storage {settings.storage}; UI on http://{UI_ADDRESS}:{port}")
    serve(StoragePaths(settings.storage), port, click.echo)


def _prepare(settings: Settings) -> None:
    from urgency_dagster.operations.environment import close_former
    from urgency_dagster.operations.instance import prepare_environment

    prepare_environment(settings)
    if closed := close_former(StoragePaths(settings.storage)):
        click.echo(f"readable by you only from now on: {', '.join(closed)}; see docs/security.md")


def _dev_settings(storage: Path | None) -> Settings:
    """The settings of the storage root, or of the demo.

    The demo is opened when no root was named, no file has landed in the default root, and the demo exists.
    """
    settings = Settings.load(storage)
    demo_root = settings.storage / "demo"
    landing = settings.storage / "landing"
    named = storage or os.environ.get("URGENCY_STORAGE")
    if named or _holds_a_file(landing) or not StoragePaths(demo_root).settings_env.is_file():
        return settings
    click.echo(f"no file has landed in {shown(landing)}: showing the demo")
    return Settings.load(demo_root)


def _holds_a_file(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


def _dev_command(settings: Settings) -> str:
    default = Settings.load(environment={}).storage
    if settings.storage in (default, default / "demo"):
        return "make dev" if settings.storage == default else "make dev URGENCY_STORAGE=storage/demo"
    return f"urgency-dagster dev --storage {settings.storage}"

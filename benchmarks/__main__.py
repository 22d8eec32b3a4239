"""`python -m benchmarks [name ...]`: runs all benchmarks or some, prints the table, writes the JSON."""

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import click

from benchmarks.cv import CvSize, compare_cross_validation
from benchmarks.decode import DecodeSize, compare_decoding
from benchmarks.embed import EmbedSize, compare_embedding
from benchmarks.overhead import OverheadSize, compare_overhead
from benchmarks.report import HEADER, Comparison, machine, row, write_comparison
from benchmarks.score import ScoreSize, compare_scoring
from benchmarks.serve import ServeSize, compare_serving
from benchmarks.train import TrainSize, compare_training
from urgency_dagster.errors import UrgencyError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.settings import Settings

BENCHMARKS: Mapping[str, Callable[[], Comparison]] = {
    "decode": partial(compare_decoding, DecodeSize()),
    "embed": partial(compare_embedding, EmbedSize()),
    "train": partial(compare_training, TrainSize()),
    "cv": partial(compare_cross_validation, CvSize()),
    "score": partial(compare_scoring, ScoreSize()),
    "serve": partial(compare_serving, ServeSize()),
    "overhead": partial(compare_overhead, OverheadSize()),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
def main(names: tuple[str, ...]) -> None:
    """Time this project's way against the original's way; all benchmarks when none is named."""
    from urgency_dagster.operations.environment import prepare_process

    prepare_process()
    paths = StoragePaths(Settings.load().storage)
    click.echo(f"{machine()}\n{HEADER}")
    for name in names or BENCHMARKS:
        try:
            comparison = in_own_process(BENCHMARKS[name])
        except UrgencyError as error:
            raise click.ClickException(f"{name}: {error}") from error
        write_comparison(paths, comparison)
        click.echo(row(comparison))
    click.echo(f"figures in {paths.benchmark('*').parent}")


def in_own_process(benchmark: Callable[[], Comparison]) -> Comparison:
    """What a benchmark found in a fresh process, on which neither memory nor threads of the one before weigh."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(benchmark).result()


if __name__ == "__main__":
    main()

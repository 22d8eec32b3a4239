"""Connections to Ray clusters, private ones too, and what is said when a cluster does not answer or refuses."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from urgency_dagster.errors import SettingsError

DASHBOARD = "the address of a Ray dashboard, such as http://head:8265"

MISSING = "is missing"
WRONG = "is another one"

QUIET: Mapping[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
"""Options of a connection: Ray neither prints nor changes the logging of this process."""


def token_error(address: str, refusal: BaseException | None) -> SettingsError:
    """The error of a process whose Ray token is missing, or not that of the cluster.

    Args:
        address: the address of the cluster.
        refusal: what Ray raised.
    """
    state = WRONG if "nvalid" in str(refusal) else MISSING  # "Invalid authentication token", "InvalidAuthToken"
    return SettingsError(
        f"the token of this process for the Ray cluster at {address} {state}",
        "the token with which the cluster was started",
        "copy ~/.ray/auth_token from its head, and use the RAY_AUTH_MODE of the head",
    )


def unreachable(address: str) -> SettingsError:
    """The error of a dashboard that does not answer."""
    return SettingsError(f"no Ray cluster answers at {address}", DASHBOARD, "start the cluster")


@contextmanager
def connected(address: str | None, num_cpus: int | None = None) -> Iterator[None]:
    """A block in which this process is connected to Ray.

    An existing connection is used and stays open. Otherwise the block joins the cluster at `address`, or starts a
    private cluster on this machine if `address` is None. It disconnects at the end; a private cluster is stopped.

    Args:
        address: the address of a cluster, or None.
        num_cpus: the cores of a private cluster; None for all cores of the machine.

    Raises:
        SettingsError: the cluster refuses the token of this process.
        ConnectionError: the cluster does not answer.
    """
    import ray

    if ray.is_initialized():
        yield
    elif address is None:
        with _private_cluster(num_cpus):
            yield
    else:
        _join(address)
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _private_cluster(num_cpus: int | None = None) -> Iterator[None]:
    """A block in which this process is connected to a Ray cluster of its own on this machine.

    Args:
        num_cpus: its cores; None for all cores of the machine.
    """
    import ray

    with _home_without_cloud() as home:
        with _environment_home(home):
            # With None instead of "local", Ray would join a cluster that already runs on this machine.
            ray.init(address="local", num_cpus=num_cpus, include_dashboard=False, **QUIET)
        try:
            yield
        finally:
            ray.shutdown()


def _join(address: str) -> None:
    import ray
    from ray.exceptions import AuthenticationError

    try:
        ray.init(address=address, **QUIET)
    except AuthenticationError as error:
        raise token_error(address, error) from error
    except ConnectionError as error:
        if "InvalidAuthToken" in str(error.__cause__):
            raise token_error(address, error.__cause__) from error
        raise


@contextmanager
def _home_without_cloud() -> Iterator[Path]:
    """A temporary home directory, with which Ray's head node sends no request to a cloud metadata service.

    Ray's head node sends the request at every start, even with usage statistics off, unless its home directory holds a
    cluster's bootstrap file. The token in the real home directory is linked: later starts need the same token. The
    folder lasts as long as the cluster: a worker that starts later reads the token, too, or dies and is started again
    for ever.
    """
    real = Path.home()
    (real / ".ray").mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="ray-home-") as folder:
        (Path(folder) / "ray_bootstrap_config.yaml").write_text("{}\n")
        (Path(folder) / ".ray").symlink_to(real / ".ray")
        yield Path(folder)


@contextmanager
def _environment_home(home: Path) -> Iterator[None]:
    """A block in which HOME names another folder."""
    before = os.environ.get("HOME")
    os.environ["HOME"] = str(home)
    try:
        yield
    finally:
        os.environ.pop("HOME") if before is None else os.environ.update(HOME=before)

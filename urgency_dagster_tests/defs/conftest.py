"""Storage roots with the smallest demo in them, and whole processes that work on them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock

from urgency_dagster.operations.environment import STEP_ENVIRONMENT
from urgency_dagster.paths import StoragePaths
from urgency_dagster.provenance.keys import ATTENTION_SOURCE, CALL_ARCHIVE
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.provenance.manifests import read_manifest
from urgency_dagster.settings import Settings
from urgency_dagster.writing import replacing
from urgency_dagster_tests.defs.command_server import CommandServer
from urgency_dagster_tests.defs.materialising import materialise
from urgency_dagster_tests.defs.ray_cluster import RayCluster
from urgency_dagster_tests.operations.modes import watched

COMMAND = Path(sys.executable).parent / "urgency-dagster"

OPEN = "open.json"
"""The file beside the finished storage root: what was open to others at some moment of the run."""

FirstRun = tuple[Path, subprocess.CompletedProcess[str]]

AUDIT = """
import os, sys, threading

def _watch(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple):
        host = args[1][0]
        if not (host.startswith("127.") or host in ("localhost", "::1", "0.0.0.0", "::", os.environ["OWN_ADDRESS"])):
            _note(f"connect {host}")
    elif event == "socket.getaddrinfo" and args[0] not in (None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"):
        if args[0] not in (os.environ["OWN_ADDRESS"], os.environ["OWN_NAME"]):
            _note(f"look up {args[0]}")

def _note(line):
    with open(os.environ["AUDIT_FILE"], "a") as file:
        file.write(f"{line} by {sys.argv[:3]}\\n")

sys.addaudithook(_watch)
"""
"""A sitecustomize module: every Python process notes each connection that leaves this machine."""


@pytest.fixture
def storage_root(demo_root: Path, tmp_path: Path) -> Path:
    """A copy of the smallest demo."""
    root = tmp_path / "storage"
    shutil.copytree(demo_root, root)
    return root


@pytest.fixture(scope="session")
def materialised(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dg.ExecuteInProcessResult]:
    """The smallest demo with one complete archive, and what Dagster noted meanwhile. Not to be changed."""
    root = tmp_path_factory.mktemp("made") / "storage"
    shutil.copytree(demo_root, root)
    return root, materialise(Settings.load(root, environment={}))


def copied(source: Path, target: Path) -> None:
    """Copies a storage root and hashes its landed files, because a copy has other inodes."""
    shutil.copytree(source, target)
    landed = LandedContent(StoragePaths(target))
    for archive in list(landed.calls.pairs):
        if read_manifest(landed.paths, "call_recordings", archive):
            landed.content_hash(CALL_ARCHIVE, archive)
    if read_manifest(landed.paths, "attention_features"):
        landed.content_hash(ATTENTION_SOURCE, None)


@pytest.fixture
def made(materialised: tuple[Path, dg.ExecuteInProcessResult], storage_root: Path) -> Settings:
    """The settings of a copy with one complete archive."""
    shutil.rmtree(storage_root)
    copied(materialised[0], storage_root)
    return Settings.load(storage_root, environment={})


@pytest.fixture
def paths(storage_root: Path) -> StoragePaths:
    """The paths of the copy."""
    return StoragePaths(storage_root)


@pytest.fixture
def settings(storage_root: Path) -> Settings:
    """The settings of the copy, without those of the environment."""
    return Settings.load(storage_root, environment={})


def environment(root: Path, **more: str) -> dict[str, str]:
    """The environment of a command on `root`, without this process's own settings and what the project sets."""
    own = {name for name in os.environ if name.startswith(("URGENCY_", "DAGSTER_", "RAY_"))}
    kept = {name: value for name, value in os.environ.items() if name not in own.union(STEP_ENVIRONMENT)}
    return {**kept, "URGENCY_STORAGE": str(root), **more}


def run_command(root: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`urgency-dagster run` on a storage root, as a user calls it, with the umask of Linux distributions."""
    command, variables = [str(COMMAND), "run", *arguments], environment(root, **more)
    return subprocess.run(command, env=variables, umask=0o022, capture_output=True, text=True, timeout=560)


@pytest.fixture(params=[["--num-gpus=1"]])
def ray_cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RayCluster]:
    """A cluster whose head says that it has one GPU."""
    cluster = RayCluster(tmp_path, request.param)
    try:
        yield cluster
    finally:
        cluster.close()


def ray_run(root: Path, cluster: RayCluster, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`urgency-dagster run` with every step as a job on the cluster."""
    variables = {"URGENCY_EXECUTOR": "ray", "RAY_ADDRESS": cluster.address, **cluster.variables, **more}
    return run_command(root, *arguments, **variables)


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandServer]:
    """Runs commands without their start-up, for tests that run many."""
    server = CommandServer(environment, tmp_path_factory.mktemp("commands"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def audit(shared: Path) -> dict[str, str]:
    """Variables that make every Python process note its outgoing connections in AUDIT_FILE."""
    import socket

    import ray.util

    folder = shared / "audit"
    folder.mkdir(exist_ok=True)
    with replacing(folder / "sitecustomize.py") as module:  # processes that are at work may be reading it
        module.write_text(AUDIT)
    own = {"OWN_ADDRESS": ray.util.get_node_ip_address(), "OWN_NAME": socket.gethostname()}
    search_path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": search_path, "AUDIT_FILE": str(folder / "connections.txt"), **own}


@pytest.fixture(scope="session")
def first_run(demo_root: Path, audit: dict[str, str], shared: Path) -> FirstRun:
    """A storage root on which `urgency-dagster run` went through once, and what the command said. Not to be changed."""
    root, said = shared / "finished", shared / "said.json"
    with FileLock(shared / "finished.lock"):
        if not said.exists():
            shutil.copytree(demo_root, root)
            with watched(root) as seen:
                done = run_command(root, **audit)
            root.with_name(OPEN).write_text(json.dumps(seen))
            said.write_text(json.dumps([done.returncode, done.stdout, done.stderr]))
    return root, subprocess.CompletedProcess("run", *json.loads(said.read_text()))


@pytest.fixture
def finished_root(first_run: FirstRun, tmp_path: Path) -> Path:
    """A copy of a storage root on which everything is made."""
    root = tmp_path / "storage"
    copied(first_run[0], root)
    return root


def instance_of(root: Path) -> dg.DagsterInstance:
    """The Dagster instance of a storage root."""
    return dg.DagsterInstance.from_config(str(StoragePaths(root).dagster_home))


def executed_steps(root: Path) -> list[str]:
    """The step keys of all runs on a storage root, in the order they started, with their archive."""
    with instance_of(root) as instance:
        steps = []
        for run in reversed(instance.get_runs()):
            archive = run.tags.get("dagster/partition")
            for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START):
                steps.append(f"{entry.step_key}[{archive}]" if archive else str(entry.step_key))
        return steps

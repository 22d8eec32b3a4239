"""A real Ray cluster of one or several nodes on this machine, with GPUs that exist by name only."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil

BIN = Path(sys.executable).parent
TOKEN = "0123456789abcdef" * 4
START_S = 120


class RayCluster:
    """A head, and nodes that join it. Every process of it asks for a token of its own, not for the user's."""

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        self._folder = folder
        self._nodes: list[subprocess.Popen[bytes]] = []
        token = folder / "token"
        token.write_text(TOKEN)
        self.variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        ports = {name: free_port() for name in ("port", "dashboard-port")}
        self.gcs = f"127.0.0.1:{ports['port']}"
        self.address = f"http://127.0.0.1:{ports['dashboard-port']}"
        self._start(["--head", *(f"--{name}={port}" for name, port in ports.items()), *options])

    def add_node(self, *options: str) -> subprocess.Popen[bytes]:
        """Starts another node. It is part of the cluster when this returns."""
        expected = self.alive() + 1
        node = self._start([f"--address={self.gcs}", *options])
        self.wait_for_nodes(expected)
        return node

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """Kills every process of a node."""
        kill_tree(psutil.Process(node.pid))
        node.wait()

    def occupy(self, cpus: int) -> None:
        """Submits a job that holds some processors until the cluster ends."""
        job = {"entrypoint": "sleep 600", "entrypoint_num_cpus": cpus}
        self._ask("/api/jobs/", json.dumps(job).encode())

    def close(self) -> None:
        """Kills every process of the cluster that still lives."""
        for node in reversed(self._nodes):
            if node.poll() is None:
                self.kill(node)

    def alive(self) -> int:
        """Number of nodes that Ray counts as alive."""
        return sum(node["state"] == "ALIVE" for node in self.nodes())

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes, dead ones too, as the dashboard lists them."""
        listed: list[dict[str, Any]] = self._ask("/api/v0/nodes")["data"]["result"]["result"]
        return listed

    def jobs(self) -> list[dict[str, Any]]:
        """The submitted jobs, with the node of each."""
        listed: list[dict[str, Any]] = self._ask("/api/jobs/")
        return listed

    def wait_for_nodes(self, expected: int) -> None:
        """Waits until so many nodes are alive."""
        deadline = time.monotonic() + START_S
        while self.alive() != expected:
            assert time.monotonic() < deadline, self._log()
            time.sleep(0.2)

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        with urlopen(Request(self.address + path, body, headers), timeout=20) as answer:
            return json.load(answer)

    def _start(self, options: Sequence[str]) -> subprocess.Popen[bytes]:
        agent = free_port()
        fixed = ["--num-cpus=3", "--disable-usage-stats", "--block", f"--dashboard-agent-listen-port={agent}"]
        env = {**os.environ, **self.variables, "PATH": f"{BIN}:{os.environ['PATH']}"}
        with (self._folder / "ray.log").open("a") as log:
            node = subprocess.Popen(
                [BIN / "ray", "start", *fixed, *options], env=env, stdout=log, stderr=log, start_new_session=True
            )
        self._nodes.append(node)
        deadline = time.monotonic() + START_S
        while agent not in listening_ports():  # jobs can be submitted once the node's agent listens
            assert time.monotonic() < deadline, self._log()
            time.sleep(0.2)
        return node

    def _log(self) -> str:
        return (self._folder / "ray.log").read_text()


def kill_tree(parent: psutil.Process) -> None:
    for process in (parent, *parent.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # Ray's processes end when they miss one that was killed before
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening_ports() -> set[int]:
    connections = psutil.net_connections("tcp")
    return {item.laddr.port for item in connections if item.laddr and item.status == psutil.CONN_LISTEN}

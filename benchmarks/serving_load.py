"""A server as a process, and clients that ask it at the same time: latencies, processor time and memory."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from urgency_dagster.errors import BenchmarkError

TOKEN = "benchmark"  # noqa: S105 - of servers on loopback that live for the benchmark

START_S = 300.0
"""Maximum seconds until a server answers."""


@dataclass(frozen=True)
class Load:
    """What some requests came to.

    Attributes:
        latencies_s: seconds of each request.
        wall_s: seconds of all.
        processor_s: processor seconds of the processes of the server.
    """

    latencies_s: Sequence[float]
    wall_s: float
    processor_s: float

    def figures(self) -> dict[str, float]:
        """Throughput, percentiles of the latency, and processor time, as JSON values."""
        p50, p95, p99 = np.percentile(self.latencies_s, [50, 95, 99]) * 1000
        count = len(self.latencies_s)
        return {
            "requests_per_s": round(count / self.wall_s, 1),
            "p50_ms": round(float(p50), 1),
            "p95_ms": round(float(p95), 1),
            "p99_ms": round(float(p99), 1),
            "processor_ms_per_request": round(self.processor_s / count * 1000, 3),
        }


class ServerProcess:
    """A server that is ready.

    Args:
        command: its arguments after Python; it listens on `port`.
        port: a free port of loopback.
        environment: variables of the process beyond those of this one.
    """

    def __init__(self, command: Sequence[str], port: int, environment: Mapping[str, str]) -> None:
        self.address = f"http://127.0.0.1:{port}"
        variables = {name: value for name, value in os.environ.items() if not name.startswith("URGENCY_")}
        self._process = psutil.Popen(
            [sys.executable, *command], env={**variables, **environment}, stdout=subprocess.DEVNULL
        )

    def wait(self) -> None:
        """Returns when the server is ready.

        Raises:
            BenchmarkError: it ended, or is not ready in time.
        """
        import httpx2

        for _ in range(int(START_S * 10)):
            if self._process.poll() is not None:
                break
            try:
                if httpx2.get(f"{self.address}/readyz", timeout=START_S).is_success:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.1)
        raise BenchmarkError("a server is not ready", f"within {START_S:.0f} s", "start it by hand")

    def processor_s(self) -> float:
        """Processor seconds of its processes so far."""
        times = [process.cpu_times() for process in self._tree()]
        return sum(each.user + each.system for each in times)

    def memory_bytes(self) -> int:
        """Memory that is only its own (Linux: unique set size)."""
        return sum(process.memory_full_info().uss for process in self._tree())

    def _tree(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def stop(self) -> None:
        """Ends it and its processes."""
        tree = self._tree()
        self._process.terminate()
        _, alive = psutil.wait_procs(tree, timeout=30)
        for process in alive:
            process.kill()


def free_port() -> int:
    """A port of loopback that was free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(command: Sequence[str], port: int, environment: Mapping[str, str]) -> Iterator[ServerProcess]:
    """A server for the length of the block."""
    server = ServerProcess(command, port, environment)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def ask(server: ServerProcess, questions: Sequence[Mapping[str, Any]], requests: int, at_once: int) -> Load:
    """Asks the questions in turn, so many at a time.

    Raises:
        BenchmarkError: an answer is not 200.
    """
    processor_s, start = server.processor_s(), time.perf_counter()
    latencies_s = asyncio.run(_ask(server.address, questions, requests, at_once))
    return Load(latencies_s, time.perf_counter() - start, server.processor_s() - processor_s)


async def _ask(address: str, questions: Sequence[Mapping[str, Any]], requests: int, at_once: int) -> list[float]:
    import httpx2

    numbers, latencies_s = iter(range(requests)), list[float]()
    headers = {"authorization": f"Bearer {TOKEN}"}

    async def client() -> None:
        async with httpx2.AsyncClient(base_url=address, headers=headers, timeout=START_S) as session:
            for number in numbers:
                start = time.perf_counter()
                answer = await session.post("/v1/utterances", json=questions[number % len(questions)])
                latencies_s.append(time.perf_counter() - start)
                if answer.status_code != 200:
                    raise BenchmarkError(f"the status {answer.status_code}", "200", "ask the server by hand")

    await asyncio.gather(*(client() for _ in range(at_once)))
    return latencies_s

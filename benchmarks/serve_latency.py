"""How long a call in progress waits for a score: from the end of an utterance to its score, at full size.

`python -m benchmarks.serve_latency` writes models of the real architectures with random weights, serves them, and sends
one utterance after another over the stream. It takes minutes, so it is no part of `make bench`.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from benchmarks.embed import SpeechShape
from benchmarks.serve import write_served_root
from benchmarks.serving_load import TOKEN, free_port, running
from benchmarks.train import TextShape
from urgency_dagster.serving.stream.messages import PROTOCOL

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

SAMPLE_RATE = 8_000

PIECE_MS = 100
"""Milliseconds of audio in a message after the utterance."""

SEED = 7


@dataclass(frozen=True)
class LatencySize:
    """The size of the measurement.

    Attributes:
        utterances: number of utterances, after one that is not counted.
        min_ms: length of the shortest utterance.
        max_ms: length of the longest one.
    """

    utterances: int = 60
    min_ms: int = 500
    max_ms: int = 3_000


@dataclass(frozen=True)
class Latency:
    """Milliseconds from the end of an utterance to its score.

    Attributes:
        p50_ms: median.
        p95_ms: 95th percentile.
        max_ms: maximum.
        utterances: number of utterances.
        processor_ms: processor time of the server for an utterance.
        engine: the option `--speech-engine` of the server.
    """

    p50_ms: float
    p95_ms: float
    max_ms: float
    utterances: int
    processor_ms: float
    engine: str


def measure_latency(
    engine: str, size: LatencySize, speech: SpeechShape | None = None, text: TextShape | None = None
) -> Latency:
    """Measures a server with random weights.

    Args:
        engine: the option `--speech-engine` of the server: `torch` or `auto`.
        size: the utterances.
        speech: shape of the speech model; None for the tiny one of the demo.
        text: shape of the text encoder; None for the tiny one of the demo.

    Raises:
        BenchmarkError: the server does not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        root, port = write_served_root(Path(folder), speech, text), free_port()
        command = ["-c", "from urgency_dagster.cli import main; main()", "serve", "--speech-engine", engine]
        options = ["--storage", str(root), "--port", str(port)]
        with running([*command, *options], port, {"URGENCY_API_TOKEN": TOKEN}) as server:
            asyncio.run(_latencies_ms(port, [size.max_ms]))
            before = server.processor_s()
            found = asyncio.run(_latencies_ms(port, _lengths_ms(size)))
            processor_ms = (server.processor_s() - before) * 1000 / size.utterances
    p50, p95 = np.percentile(found, [50, 95])
    return Latency(float(p50), float(p95), max(found), size.utterances, processor_ms, engine)


def _lengths_ms(size: LatencySize) -> list[int]:
    generator = np.random.default_rng(SEED)
    return [int(length) for length in generator.integers(size.min_ms, size.max_ms, size.utterances, endpoint=True)]


async def _latencies_ms(port: int, lengths_ms: Sequence[int]) -> list[float]:
    """The time from the turn, sent when its audio has ended, to `utterance.scored`. Audio arrives meanwhile."""
    from websockets.asyncio.client import connect
    from websockets.typing import Subprotocol

    url, headers = f"ws://127.0.0.1:{port}/v1/calls/stream", {"Authorization": f"Bearer {TOKEN}"}
    found, sent_ms = list[float](), 0
    async with connect(url, subprotocols=[Subprotocol(PROTOCOL)], additional_headers=headers, proxy=None) as socket:
        await socket.send(json.dumps({"type": "session.start", "sample_rate": SAMPLE_RATE, "listening": "turns"}))
        for length_ms in lengths_ms:
            await socket.send(_noise(length_ms))
            turn = {"type": "turn", "start_ms": sent_ms, "end_ms": sent_ms + length_ms, "text": "불이 났어요"}
            await asyncio.sleep(PIECE_MS / 1000)  # all but the end of its audio arrived while it was spoken
            start = time.perf_counter()
            await socket.send(json.dumps(turn))
            scored = asyncio.create_task(_scored(socket))
            sent_ms += length_ms
            while not scored.done():
                await socket.send(_noise(PIECE_MS))
                sent_ms += PIECE_MS
                await asyncio.wait([scored], timeout=PIECE_MS / 1000)
            found.append((await scored - start) * 1000)
        await socket.send(json.dumps({"type": "finish"}))
    return found


async def _scored(socket: "ClientConnection") -> float:
    """When the score of the utterance arrives."""
    while json.loads(await socket.recv())["type"] != "utterance.scored":
        pass
    return time.perf_counter()


def _noise(length_ms: int) -> bytes:
    """PCM16."""
    samples = np.random.default_rng(length_ms).normal(0, 3_000, length_ms * SAMPLE_RATE // 1_000)
    return samples.astype("<i2").tobytes()


@click.command()
@click.option("--speech-engine", type=click.Choice(["torch", "auto"]), default="auto")
@click.option("--utterances", type=click.IntRange(min=1), default=LatencySize.utterances)
def main(speech_engine: str, utterances: int) -> None:
    """Measures the latency of the real architectures on this machine."""
    latency = measure_latency(speech_engine, LatencySize(utterances), SpeechShape(), TextShape())
    click.echo(json.dumps(asdict(latency), indent=1))


if __name__ == "__main__":
    main()

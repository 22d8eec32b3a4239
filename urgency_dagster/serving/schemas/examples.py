"""The examples of the OpenAPI document. A test compares each with its schema."""

SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

URGENCY = {"label": "상", "probabilities": {"하": 0.08, "중": 0.21, "상": 0.71}}

SENTIMENT = {"label": "불안/걱정", "probabilities": {"기타부정": 0.1, "불안/걱정": 0.9}}

URGENCY_MODEL = {
    "sha256": SHA256,
    "data_sha256": SHA256,
    "speech_model": {"name": "kresnik/wav2vec2-large-xlsr-korean", "revision": "1a2b3c", "weights_sha256": SHA256},
}

TURN = {"start_ms": 1200, "end_ms": 4800, "text": "사람이 쓰러졌어요", "speaker": "caller"}

CALL_ANSWER = {
    "file": "64a1_20230101.wav",
    "_id": "64a1",
    "urgency": URGENCY,
    "sentiment": SENTIMENT,
    "abstain": False,
    "alarm": True,
    "listening": "label",
    "utterances": [{"start_ms": 1200, "end_ms": 4800, "speaker": "caller", "urgency": URGENCY, "sentiment": SENTIMENT}],
    "duration_ms": 61500,
    "rejected": [{"start_ms": 5000, "end_ms": 5100, "reason": "too_short"}],
    "model": URGENCY_MODEL,
}

UTTERANCES = {"utterances": [{"text": "사람이 쓰러졌어요", "vector": [0.12, -0.5, 0.03], "call": "64a1"}]}

UTTERANCES_ANSWER = {
    "utterances": [{"urgency": URGENCY, "sentiment": SENTIMENT}],
    "calls": [{"call": "64a1", "urgency": URGENCY, "sentiment": SENTIMENT, "abstain": False, "alarm": True}],
    "listening": "label",
    "model": URGENCY_MODEL,
}

ATTENTION = {"rows": [{"HRT#AVG#M05": 71.5, "DST_MOT#VAL=WALKING": False}], "models": ["lgbm"], "reasons": 1}

ATTENTION_ANSWER = {
    "models": {
        "lgbm": {
            "rows": [
                {
                    "label": 1,
                    "probability": 0.64,
                    "reasons": [{"feature": "HRT#AVG#M05", "value": 71.5, "contribution": 0.31}],
                }
            ],
            "threshold": 0.5,
            "unknown_columns": [],
            "explanation": {"method": "TreeSHAP", "unit": "log-odds", "baseline": 0.02},
            "model": {"sha256": SHA256, "data_sha256": SHA256},
        }
    }
}

MODELS_ANSWER = {
    "urgency": {
        **URGENCY_MODEL,
        "audio_width": 1024,
        "audio_tokens": 1,
        "classes": {"urgency": ["하", "중", "상"], "sentiment": ["기타부정", "불안/걱정"]},
        "thresholds": {"label": {"confidence": 0.55, "alarm": 0.3}},
        "versions": {"torch": "2.13.0"},
    },
    "attention": {
        "lgbm": {
            "sha256": SHA256,
            "data_sha256": SHA256,
            "threshold": 0.5,
            "columns": ["HRT#AVG#M05", "DST_MOT#VAL=WALKING"],
            "versions": {"lightgbm": "4.6.0"},
        }
    },
}

READY_ANSWER = {"status": "ready", "models": ["urgency", "attention/lgbm"], "missing": []}

INFERENCE = {
    "id": "42",
    "inputs": [
        {"name": "HRT#AVG#M05", "shape": [2], "datatype": "FP64", "data": [71.5, 68.0]},
        {"name": "DST_MOT#VAL=WALKING", "shape": [2], "datatype": "BOOL", "data": [False, True]},
    ],
    "outputs": [{"name": "probability"}],
}

INFERENCE_ANSWER = {
    "model_name": "lgbm",
    "model_version": SHA256,
    "id": "42",
    "parameters": {"data_sha256": SHA256},
    "outputs": [{"name": "probability", "shape": [2], "datatype": "FP64", "data": [0.64, 0.31]}],
}

MODEL_METADATA = {
    "name": "lgbm",
    "versions": [SHA256],
    "platform": "sklearn_pickle",
    "inputs": [{"name": "HRT#AVG#M05", "datatype": "FP64", "shape": [-1]}],
    "outputs": [{"name": "probability", "datatype": "FP64", "shape": [-1]}],
}

"""The code version of each urgency asset. Raise it when the same input would give another result."""

CODE_VERSIONS = {
    "training_set": "5",
    "urgency_model": "6",
    "urgency_evaluation": "5",
    "urgency_leak_gap": "2",
    "urgency_export": "2",
    "full_table": "1",
}

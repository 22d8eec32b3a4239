"""The code version of each urgency asset. Raise it when the same input would give another result."""

CODE_VERSIONS = {
    "training_set": "4",
    "urgency_model": "5",
    "urgency_evaluation": "4",
    "urgency_leak_gap": "1",
    "urgency_export": "1",
    "full_table": "1",
}

"""The code version of each scoring asset. Raise it when the same input would give another result."""

CODE_VERSIONS = {
    "scoring_recordings": "1",
    "scored_utterances": "1",
    "scored_calls": "1",
    "label_free_gap": "1",
}

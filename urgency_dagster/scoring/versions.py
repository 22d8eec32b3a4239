"""The code version of each scoring asset. Raise it when the same input would give another result."""

CODE_VERSIONS = {
    "scoring_recordings": "1",
    "scored_utterances": "2",
    "scored_calls": "2",
    "label_free_gap": "2",
}

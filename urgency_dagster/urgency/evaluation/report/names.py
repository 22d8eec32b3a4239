"""What a reader calls the baselines."""

BASELINE_NAMES = {
    "majority": "the majority class",
    "text_only": "text alone",
    "audio_only": "audio alone",
}
"""The name of each baseline in the report, by its name in `metrics.json`."""

"""Recordings without labels, for scoring: a few calls that are in no archive pair.

They have a random source of their own, so the other files of the demo are the same with or without them.
"""

import numpy as np

from urgency_dagster.demo.conversations import SENTIMENT_SHARES, draw_conversation, pick
from urgency_dagster.demo.recordings import record, script, wav_bytes
from urgency_dagster.demo.speech import speak
from urgency_dagster.tables import URGENCY_LEVELS

FOLDER = "demo"
"""The folder of the recordings below `landing/scoring`, and the name of their archive."""

SOURCE = 119
"""The second part of the seed. Those of the archive pairs are their numbers."""


def unlabelled_recordings(seed: int) -> dict[str, bytes]:
    """One WAV file for each urgency level, by its path below `landing/scoring`; the same seed, the same bytes."""
    rng = np.random.default_rng([seed, SOURCE])
    conversations = [draw_conversation(rng, "구급", level, pick(rng, [*SENTIMENT_SHARES])) for level in URGENCY_LEVELS]
    scripts = [script(rng, conversation) for conversation in conversations]
    spoken = iter(speak([line for lines in scripts for line in lines]))
    recordings = [
        record(rng, conversation, [next(spoken) for _ in lines])
        for conversation, lines in zip(conversations, scripts, strict=True)
    ]
    names = (f"{FOLDER}/recording{number}.wav" for number in range(1, len(recordings) + 1))
    return {name: wav_bytes(recording.samples) for name, recording in zip(names, recordings, strict=True)}

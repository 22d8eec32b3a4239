"""The asset keys and names that records, plans and assets share."""

import dagster as dg

CALL_ARCHIVE = dg.AssetKey("call_archive")
ATTENTION_SOURCE = dg.AssetKey("attention_source")
SCORING_ARCHIVE = dg.AssetKey("scoring_archive")

LANDED = (CALL_ARCHIVE, ATTENTION_SOURCE, SCORING_ARCHIVE)
"""The assets that only read what a user put into a landing folder. Their version is the hash of its content."""

LANDED_OF_GROUP = {"calls": CALL_ARCHIVE, "attention": ATTENTION_SOURCE, "scoring": SCORING_ARCHIVE}
"""The landed input of each asset group that has one."""

PROCESSED_DATA = dg.AssetKey("processed_data")

OF_A_TABLE = (CALL_ARCHIVE, PROCESSED_DATA)
"""The assets of an archive that landed as a table of the original's scripts."""

URGENCY_MODEL = dg.AssetKey("urgency_model")

FIRST_READER = {
    CALL_ARCHIVE: dg.AssetKey("call_recordings"),
    ATTENTION_SOURCE: dg.AssetKey("attention_features"),
    SCORING_ARCHIVE: dg.AssetKey("scoring_recordings"),
}
"""The asset that is made first of a landed input."""

CALL_ARCHIVES, SCORING_ARCHIVES = "call_archives", "scoring_archives"
"""The names of the partitions definitions.

One has a partition per archive pair, e.g. `T_광주_구급`; the other one per ZIP or folder of recordings to score.
"""

PARTITIONS = {
    CALL_ARCHIVES: (
        "call_archive", "call_recordings", "utterances", "utterance_embeddings", "processed_data", "prosody",
    ),
    SCORING_ARCHIVES: ("scoring_archive", "scoring_recordings", "scored_utterances", "scored_calls"),
}  # fmt: skip
"""The assets of each partitions definition."""

LANDED_OF_PARTITIONS = {CALL_ARCHIVES: CALL_ARCHIVE, SCORING_ARCHIVES: SCORING_ARCHIVE}
"""The landed input of each partitions definition."""

PARTITIONED = frozenset(dg.AssetKey(name) for names in PARTITIONS.values() for name in names)
"""The assets with one partition per archive. Every other asset reads all complete archives."""

LABEL_FREE_GAP = dg.AssetKey("label_free_gap")

USED_IF_MADE = frozenset({LABEL_FREE_GAP})
"""Assets on demand that others use once they are made. Nothing waits for them."""

PRETRAINED = {
    "utterance_embeddings": ("speech",),
    "urgency_model": ("text",),
    "label_free_gap": ("speech", "recogniser"),
    "scored_utterances": ("speech", "recogniser"),
}
"""The kinds of the pretrained models that an asset depends on, by asset."""

PRETRAINED_INPUT = "pretrained"
"""The name of the pretrained model among the inputs of an asset."""

ABSENT = "absent"
"""The version of an input that does not exist."""

NOT_MADE = "not made"
"""The version of an input that does not exist and is not needed, see USED_IF_MADE."""


def name_of(key: dg.AssetKey) -> str:
    """The parts of an asset key joined by slashes, as in the manifests."""
    return key.to_user_string()

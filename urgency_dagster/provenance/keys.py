"""The asset keys and names that records, plans and assets share."""

import dagster as dg

CALL_ARCHIVE = dg.AssetKey("call_archive")
ATTENTION_SOURCE = dg.AssetKey("attention_source")

LANDED = (CALL_ARCHIVE, ATTENTION_SOURCE)
"""The assets that only read what a user put into a landing folder. Their version is the hash of its content."""

PROCESSED_DATA = dg.AssetKey("processed_data")

OF_A_TABLE = (CALL_ARCHIVE, PROCESSED_DATA)
"""The assets of an archive that landed as a table of the original's scripts."""

FIRST_READER = {CALL_ARCHIVE: dg.AssetKey("call_recordings"), ATTENTION_SOURCE: dg.AssetKey("attention_features")}
"""The asset that is made first of a landed input."""

CALL_ARCHIVES = "call_archives"
"""The name of the partitions definition. One partition per archive pair, e.g. `T_광주_구급`."""

PARTITIONED = frozenset(
    dg.AssetKey(name)
    for name in ("call_archive", "call_recordings", "utterances", "utterance_embeddings", "processed_data", "prosody")
)
"""The assets with one partition per archive. Every other asset reads all complete archives."""

PRETRAINED = {"utterance_embeddings": "speech", "urgency_model": "text"}
"""The kind of the pretrained model that an asset depends on, by asset."""

PRETRAINED_INPUT = "pretrained"
"""The name of the pretrained model among the inputs of an asset."""

ABSENT = "absent"
"""The version of an input that does not exist."""


def name_of(key: dg.AssetKey) -> str:
    """The parts of an asset key joined by slashes, as in the manifests."""
    return key.to_user_string()

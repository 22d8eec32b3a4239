"""The partitions of the calls pipeline. Which keys exist is decided by `sensors` and the `run` command."""

import dagster as dg

call_archives = dg.DynamicPartitionsDefinition(name="call_archives")
"""One key per archive pair: the pair's name less its S/L letter, e.g. `T_광주_구급`."""

PARTITIONED = frozenset(
    dg.AssetKey(name)
    for name in ("call_archive", "call_recordings", "utterances", "utterance_embeddings", "processed_data")
)
"""The assets with one partition per archive. Every other asset reads all archives that are complete."""

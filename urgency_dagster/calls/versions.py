"""The versions that stored artefacts depend on.

"The code changed" means: a version in this file was increased. Increase the version of an artefact when the same input
and the same options give other bytes. Comments, names and speed do not count.
"""

from collections.abc import Mapping

CODE_VERSIONS: Mapping[str, str] = {
    "call_recordings": "3",
    "utterances": "3",
    "utterance_embeddings": "2",
    "processed_data": "1",
    "prosody": "1",
}
"""The code version of each artefact."""

RECIPE = str(int(CODE_VERSIONS["utterance_embeddings"]) - 1)
"""The version of the vectors, in the metadata of `embeddings.parquet` and in the identity of a shard.

Vectors of another recipe are not reused. Version 2 of the artefact was the first one to store a recipe, as 1.
"""

"""The processor time of the prosodic features, next to that of embedding the same archive."""

import time
from collections.abc import Callable

from benchmarks.memory import ARCHIVE
from urgency_dagster.calls.prosody.archive import write_prosody
from urgency_dagster.calls.prosody.configuration import ProsodyConfig
from urgency_dagster.paths import StoragePaths


def processor_s(work: Callable[[], object]) -> float:
    """The processor time in seconds that all threads of this process spend on the work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def prosody_cost(paths: StoragePaths, embedding_s: float, audio_s: float) -> dict[str, float]:
    """What the features of the benchmark's archive cost, in one process that is warm.

    Args:
        paths: the storage root, with the utterance table of the archive.
        embedding_s: the processor time of embedding the archive, in seconds.
        audio_s: seconds of audio of the archive.

    Returns:
        The processor time of both per second of audio, the share of the features, and the processor time that the
        start of a worker adds once, which is the import of librosa.
    """
    first_s, again_s = (processor_s(lambda: write_prosody(paths, ARCHIVE, ProsodyConfig(workers=1))) for _ in range(2))
    return {
        "processor_s_per_audio_s": again_s / audio_s,
        "embedding_processor_s_per_audio_s": embedding_s / audio_s,
        "share_of_embedding": again_s / embedding_s,
        "start_processor_s": first_s - again_s,
    }

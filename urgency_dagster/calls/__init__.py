"""The calls subject: a pair of AI Hub ZIPs becomes a table of utterances and their wav2vec2 vectors.

These names are the public API; everything below `calls` is internal. Importing this module loads no room.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from urgency_dagster.calls.audio import load_waveform
    from urgency_dagster.calls.embedding.archive import EmbeddingSummary, embed_archive
    from urgency_dagster.calls.embedding.configuration import EmbeddingConfig
    from urgency_dagster.calls.embedding.throughput import draw_throughput
    from urgency_dagster.calls.embedding.verification import Verification
    from urgency_dagster.calls.landing.cache import LandingCache
    from urgency_dagster.calls.landing.pairs import ArchivePair, Landing, scan_landing
    from urgency_dagster.calls.landing.parts import file_fingerprint
    from urgency_dagster.calls.processed import write_processed_data
    from urgency_dagster.calls.table.configuration import UtteranceConfig
    from urgency_dagster.calls.table.funnel import FUNNEL_LEVELS, Funnel, draw_funnel, read_funnel, total_funnel
    from urgency_dagster.calls.table.utterances import build_utterance_table
    from urgency_dagster.calls.tables import RejectReason
    from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
    from urgency_dagster.calls.unpacking.extraction import extract_pair

__all__ = [
    "FUNNEL_LEVELS",
    "ArchivePair",
    "EmbeddingConfig",
    "EmbeddingSummary",
    "ExtractionConfig",
    "Funnel",
    "Landing",
    "LandingCache",
    "RejectReason",
    "UtteranceConfig",
    "Verification",
    "build_utterance_table",
    "draw_funnel",
    "draw_throughput",
    "embed_archive",
    "extract_pair",
    "file_fingerprint",
    "load_waveform",
    "read_funnel",
    "scan_landing",
    "total_funnel",
    "write_processed_data",
]

_MODULES = {
    "audio": ("load_waveform",),
    "embedding.archive": ("EmbeddingSummary", "embed_archive"),
    "embedding.configuration": ("EmbeddingConfig",),
    "embedding.throughput": ("draw_throughput",),
    "embedding.verification": ("Verification",),
    "landing.cache": ("LandingCache",),
    "landing.pairs": ("ArchivePair", "Landing", "scan_landing"),
    "landing.parts": ("file_fingerprint",),
    "processed": ("write_processed_data",),
    "table.configuration": ("UtteranceConfig",),
    "table.funnel": ("FUNNEL_LEVELS", "Funnel", "draw_funnel", "read_funnel", "total_funnel"),
    "table.utterances": ("build_utterance_table",),
    "tables": ("RejectReason",),
    "unpacking.configuration": ("ExtractionConfig",),
    "unpacking.extraction": ("extract_pair",),
}
"""The module of each public name. A module is imported when one of its names is first used (PEP 562)."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

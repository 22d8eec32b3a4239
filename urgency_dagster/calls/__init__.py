"""The calls subject: a pair of AI Hub ZIPs becomes a table of utterances, their wav2vec2 vectors and prosody.

These names are the public API; everything below `calls` is internal. Importing this module loads no room.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from urgency_dagster.calls.audio import load_waveform
    from urgency_dagster.calls.embedding.archive import embed_archive
    from urgency_dagster.calls.embedding.configuration import EmbeddingConfig
    from urgency_dagster.calls.embedding.summary import EmbeddingSummary
    from urgency_dagster.calls.embedding.throughput import draw_throughput
    from urgency_dagster.calls.embedding.verification import Verification
    from urgency_dagster.calls.landing.cache import LandingCache
    from urgency_dagster.calls.landing.pairs import ArchivePair, Landing, scan_landing
    from urgency_dagster.calls.landing.parts import file_fingerprint
    from urgency_dagster.calls.processed import write_processed_data
    from urgency_dagster.calls.prosody.archive import ProsodySummary, write_prosody
    from urgency_dagster.calls.prosody.configuration import ProsodyConfig
    from urgency_dagster.calls.prosody.schema import prosody_schema
    from urgency_dagster.calls.prosody.verification import ProsodyVerification, verify_prosody
    from urgency_dagster.calls.table.configuration import UtteranceConfig
    from urgency_dagster.calls.table.funnel import FUNNEL_LEVELS, Funnel, draw_funnel, read_funnel, total_funnel
    from urgency_dagster.calls.table.utterances import build_utterance_table
    from urgency_dagster.calls.tables import RejectReason
    from urgency_dagster.calls.unpacking.configuration import ExtractionConfig
    from urgency_dagster.calls.unpacking.extraction import extract_pair
    from urgency_dagster.calls.versions import CODE_VERSIONS

__all__ = [
    "CODE_VERSIONS",
    "FUNNEL_LEVELS",
    "ArchivePair",
    "EmbeddingConfig",
    "EmbeddingSummary",
    "ExtractionConfig",
    "Funnel",
    "Landing",
    "LandingCache",
    "ProsodyConfig",
    "ProsodySummary",
    "ProsodyVerification",
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
    "prosody_schema",
    "read_funnel",
    "scan_landing",
    "total_funnel",
    "verify_prosody",
    "write_processed_data",
    "write_prosody",
]

_MODULES = {
    "CODE_VERSIONS": "versions",
    "FUNNEL_LEVELS": "table.funnel",
    "ArchivePair": "landing.pairs",
    "EmbeddingConfig": "embedding.configuration",
    "EmbeddingSummary": "embedding.summary",
    "ExtractionConfig": "unpacking.configuration",
    "Funnel": "table.funnel",
    "Landing": "landing.pairs",
    "LandingCache": "landing.cache",
    "ProsodyConfig": "prosody.configuration",
    "ProsodySummary": "prosody.archive",
    "ProsodyVerification": "prosody.verification",
    "RejectReason": "tables",
    "UtteranceConfig": "table.configuration",
    "Verification": "embedding.verification",
    "build_utterance_table": "table.utterances",
    "draw_funnel": "table.funnel",
    "draw_throughput": "embedding.throughput",
    "embed_archive": "embedding.archive",
    "extract_pair": "unpacking.extraction",
    "file_fingerprint": "landing.parts",
    "load_waveform": "audio",
    "prosody_schema": "prosody.schema",
    "read_funnel": "table.funnel",
    "scan_landing": "landing.pairs",
    "total_funnel": "table.funnel",
    "verify_prosody": "prosody.verification",
    "write_processed_data": "processed",
    "write_prosody": "prosody.archive",
}
"""The module of each public name. It is imported when the name is first used (PEP 562)."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

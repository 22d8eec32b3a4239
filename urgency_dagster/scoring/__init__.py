"""Scoring: recordings, with labels or without, become scored utterances and calls.

These names are the public API; everything below `scoring` is internal. Importing this module loads no room.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Listening: a recording becomes turns with text, speaker and vectors.

These names are the public API; everything below `listening` is internal. Importing this module loads no room.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

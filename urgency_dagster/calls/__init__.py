"""The calls subject: a pair of AI Hub ZIPs becomes a table of utterances, their wav2vec2 vectors and prosody.

These names are the public API; everything below `calls` is internal. Importing this module loads no room.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

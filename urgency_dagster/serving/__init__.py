"""Serving: the trained models answer over HTTP and WebSocket, and a dashboard shows what they answer.

These names are the public API; everything below `serving` is internal. Importing this module loads no room.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""The urgency subject: rows and vectors of all archives become a trained and evaluated model that predicts.

This is the public door of the subject. Names are imported on first use, so that importing the door is cheap.
Rooms from top to bottom: `evaluation`, `training`, `package`, `network`, `data`. They are private.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

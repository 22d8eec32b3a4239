"""Attention from wearables: a K-EmoPhone pickle becomes cross-validated, audited and exported models.

This is the public door of the subject. Names are imported on first use, so that importing the door is cheap.
Modules below it are private. Nothing here knows Dagster.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

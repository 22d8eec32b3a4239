"""An untrusted pickle becomes checked features, in a process of its own."""

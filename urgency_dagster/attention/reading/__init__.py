"""Reading an untrusted pickle in a sandbox process, and storing its checked features."""

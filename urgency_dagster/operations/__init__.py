"""Planning of missing and outdated artefacts, and the `run` command that makes them without the UI."""

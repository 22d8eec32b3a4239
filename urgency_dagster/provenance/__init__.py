"""The inputs, code and options of each artefact, and whether it is up to date."""

"""Benchmarks: the ways of this project against the original pipelines' ways, timed in one run on one machine."""

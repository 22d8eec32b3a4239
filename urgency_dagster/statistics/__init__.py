"""Scores and their uncertainty: confusion matrices, bootstrap, intervals, calibration. It knows no subject."""

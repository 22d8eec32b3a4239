"""Emergency-call urgency and wearable attention, as a Dagster code location.

`calls`, `urgency` and `attention` hold the three subjects in plain Python; `defs` wires them to Dagster.
"""

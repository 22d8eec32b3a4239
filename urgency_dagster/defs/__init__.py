"""The Dagster definitions: assets, checks, jobs, sensors, resources, executors. `definitions.py` lists them."""

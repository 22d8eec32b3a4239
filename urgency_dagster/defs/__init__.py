"""All Dagster glue. `definitions.py` lists explicitly what is loaded from here."""

"""A pair of ZIPs becomes rows and vectors. Nothing here knows Dagster or models that judge."""

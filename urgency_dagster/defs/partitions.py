"""The partitions of the calls pipeline. The sensor and the `run` command add the keys."""

import dagster as dg

from urgency_dagster.provenance.keys import CALL_ARCHIVES

call_archives = dg.DynamicPartitionsDefinition(name=CALL_ARCHIVES)
"""One key per archive pair: the pair's name without its S or L, e.g. `T_광주_구급`."""

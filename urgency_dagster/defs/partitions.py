"""The partitions of the calls pipeline. The sensor and the `run` command add partition keys."""

import dagster as dg

from urgency_dagster.provenance.keys import CALL_ARCHIVES

call_archives = dg.DynamicPartitionsDefinition(name=CALL_ARCHIVES)
"""One partition per archive pair. The key is the name of the pair without S or L, e.g. `T_광주_구급`."""

"""The partitions of the calls and the scoring pipeline. The sensor and the `run` command add partition keys."""

import dagster as dg

from urgency_dagster.provenance.keys import CALL_ARCHIVES, SCORING_ARCHIVES

call_archives = dg.DynamicPartitionsDefinition(name=CALL_ARCHIVES)
"""One partition per archive pair. The key is the name of the pair without S or L, e.g. `T_광주_구급`."""

scoring_archives = dg.DynamicPartitionsDefinition(name=SCORING_ARCHIVES)
"""One partition per ZIP or folder in `landing/scoring`. The key is its name, for a ZIP without `.zip`."""

ARCHIVES_OF_GROUP = {"calls": call_archives, "scoring": scoring_archives}
"""The partitions of each group that has some."""

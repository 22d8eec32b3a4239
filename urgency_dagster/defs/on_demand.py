"""Assets on demand: *Materialize all* leaves them out."""

import dagster as dg

LEFT_OUT = "Left out: this asset is made on demand only. To make it, materialize it alone."
"""What the log of a run says that makes other assets as well."""


def is_alone(context: dg.AssetExecutionContext) -> bool:
    """Whether the run makes this asset and no other."""
    steps = context.run.step_keys_to_execute or [node.name for node in context.job_def.nodes]
    return set(steps) == {context.op_def.name}

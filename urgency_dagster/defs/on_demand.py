"""Assets on demand: *Materialize all* leaves them out."""

import dagster as dg

LEFT_OUT = "Left out: this asset is made on demand only. To make it, materialize it alone."
"""What the log of a run says that makes other assets as well."""

UNNAMED = "__"
"""The start of Dagster's names of jobs that nobody defined, such as that of the Materialize button."""


def is_asked_for(context: dg.AssetExecutionContext) -> bool:
    """Whether the run makes this asset alone, or a job makes it that was defined with it."""
    run = context.run
    steps = run.step_keys_to_execute or [node.name for node in context.job_def.nodes]
    return set(steps) == {context.op_def.name} or not run.job_name.startswith(UNNAMED)

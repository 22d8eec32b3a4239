"""The asset groups, and the jobs that make assets of them."""

GROUPS = ("calls", "urgency", "attention", "scoring")
"""The asset groups, in the order in which the `run` command makes them."""

EVALUATION_JOB = "full_evaluation_job"
"""The job that evaluates all models again."""

GROUPS_OF_JOB = {**{f"{group}_job": (group,) for group in GROUPS}, EVALUATION_JOB: ("urgency", "attention")}
"""The groups of which each job makes assets."""

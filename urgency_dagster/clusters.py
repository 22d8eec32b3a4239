"""What is said when a Ray cluster does not answer, or refuses this process."""

from urgency_dagster.errors import SettingsError

DASHBOARD = "the address of a Ray dashboard, such as http://head:8265"

MISSING = "is missing"
WRONG = "is another one"


def token_error(address: str, refusal: BaseException | None) -> SettingsError:
    """The error of a process whose Ray token is missing, or not that of the cluster.

    Args:
        address: the address of the cluster.
        refusal: what Ray raised.
    """
    state = WRONG if "nvalid" in str(refusal) else MISSING  # "Invalid authentication token", "InvalidAuthToken"
    return SettingsError(
        f"the token of this process for the Ray cluster at {address} {state}",
        "the token with which the cluster was started",
        "copy ~/.ray/auth_token from its head, and use the RAY_AUTH_MODE of the head",
    )


def unreachable(address: str) -> SettingsError:
    """The error of a dashboard that does not answer."""
    return SettingsError(f"no Ray cluster answers at {address}", DASHBOARD, "start the cluster")

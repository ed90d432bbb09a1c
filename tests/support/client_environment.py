"""The real client in a virtual environment of its own, kept for all runs."""

from pathlib import Path

from tests.support.environments import kept_environment

BUILD_TOOLS = ("setuptools<81", "wheel", "poetry-core<2")
"""What pendulum 2 is built with; Python 3.12 and later lack the distutils it wants, but setuptools brings one."""

PENDULUM = "pendulum==2.1.2"

PINS = (
    # Releases after these broke prefect 1.4.1, which does not limit what it depends on (client-operations.md §9).
    "prefect==1.4.1",
    PENDULUM,
    "marshmallow==3.19.0",
    "marshmallow-oneofschema==3.0.1",
    "croniter==1.3.8",
    "python-dateutil==2.8.2",
    "python-box==6.1.0",
    "urllib3==1.26.20",
    "requests==2.34.2",
    "setuptools<81",
)

CHECK = "import prefect, sys; sys.exit(prefect.__version__ != '1.4.1')"


def client_environment() -> Path:
    """Return the folder of the virtual environment; see kept_environment."""
    installs = (BUILD_TOOLS, ("--no-build-isolation", PENDULUM), PINS)
    return kept_environment((*BUILD_TOOLS, *PINS), installs, CHECK)

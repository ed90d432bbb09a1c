"""Where the migrations are. Called by db/revisions and db/legacy."""

from pathlib import Path

from server_core.errors import ConfigError


def migrations_folder() -> Path:
    """Return the folder of both chains: beside the package in a wheel, at the root of a checkout.

    Raises:
        ConfigError: there is none; the installation is broken.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_migrations", package.parents[1] / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise ConfigError(f"The migrations are missing beside {package}; install prefect-server again.")

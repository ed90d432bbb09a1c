"""`prefect-server database`: made, upgraded, checked, taken back, emptied, dropped; with a question first."""

import logging
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from server_core.cli.main import app
from server_core.config_values import environment_name
from server_core.errors import ServerError
from tests.support.cluster import Cluster

runner = CliRunner()


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A home without settings; the commands' own logging ends with the test."""
    monkeypatch.setenv(environment_name("home"), str(tmp_path))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def said(dsn: str, *words: str, code: int = 0) -> list[str]:
    """Run a verb of `database` on a database and return its lines, or the one line of its error."""
    result = runner.invoke(app, ["database", *words, "--database-url", dsn])
    assert result.exit_code == code, (result.output, result.exception)
    if isinstance(result.exception, ServerError):
        return [result.exception.message]
    return result.stdout.splitlines()


def test_a_database_from_its_making_to_its_end(cluster: Cluster) -> None:
    dsn = cluster.url(f"{cluster.run}_{uuid4().hex[:12]}")
    assert said(dsn, "create")[-1].endswith("was created")
    assert said(dsn, "create")[-1].endswith("is there already")
    assert any("ac5747fb571c" in line for line in said(dsn, "upgrade", "-n"))
    assert "none (legacy schema) and none (additions), this release needs" in said(dsn, "current")[-1]
    said(dsn, "upgrade", "-y")
    assert said(dsn, "check")[-1].endswith("its schema is that of this release")

    refused = said(dsn, "downgrade", code=1)
    assert refused[-1].endswith("Nothing was changed: say --yes where nobody can be asked.")
    would = said(dsn, "downgrade", "-n")
    assert len(would) > 5
    assert all(line.startswith("would take back ") for line in would)
    assert said(dsn, "check")[-1].endswith("its schema is that of this release")
    assert said(dsn, "downgrade", "-y")[-1].endswith("ac5747fb571c (legacy schema) and none (additions)")
    assert said(dsn, "downgrade", "-y")[-1].endswith("nothing to do")
    assert "table flow_plan is missing" in said(dsn, "check", code=1)

    assert said(dsn, "reset", "-y")[-1].endswith("(additions)")
    assert said(dsn, "check")[-1].endswith("its schema is that of this release")
    assert said(dsn, "destroy", "-y")[-1].endswith("was dropped")
    assert said(dsn, "destroy", "-y")[-1].endswith("is not there")


@pytest.mark.parametrize("verb", ["reset", "destroy"])
def test_what_is_not_on_this_machine_is_not_lost_by_mistake(verb: str) -> None:
    (refused,) = said("postgresql://u:hush@db.example.com/d", verb, "-y", code=1)
    assert refused.startswith("postgresql://u:***@db.example.com/d is not on this machine")


@pytest.mark.parametrize("verb", ["reset", "destroy"])
def test_what_is_lost_is_asked_for(database_url: str, verb: str) -> None:
    """Where nobody can be asked, nothing is lost."""
    refused = said(database_url, verb, "--unsafe", code=1)
    assert refused[-1].endswith("Nothing was changed: say --yes where nobody can be asked.")
    assert said(database_url, "check")[-1].endswith("its schema is that of this release")


def test_a_direct_url_of_the_settings_is_not_that_of_a_database_named(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the database of the settings would be upgraded in place of the one that was asked for."""
    monkeypatch.setenv(environment_name("database.direct_url"), "mysql://elsewhere/never-looked-at")
    dsn = cluster.url(f"{cluster.run}_{uuid4().hex[:12]}")
    said(dsn, "create")
    assert said(dsn, "upgrade")[-1].endswith("(additions)")
    assert said(dsn, "check")[-1].endswith("its schema is that of this release")
    said(dsn, "destroy", "-y")

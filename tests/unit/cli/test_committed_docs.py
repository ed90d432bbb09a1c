"""The committed reference pages are what the code says now."""

from pathlib import Path

from server_core.cli import reference
from server_core.cli.main import app
from server_core.cli.settings_reference import reference as settings_reference

DOCS = Path(__file__).parents[3] / "docs"


def test_the_settings_table_is_current() -> None:
    """If not: python -m server_core.cli.settings_reference > docs/settings.md"""
    assert (DOCS / "settings.md").read_text("utf-8") == settings_reference()


def test_the_command_reference_is_current() -> None:
    """If not: python -m server_core.cli.reference > docs/cli.md"""
    assert (DOCS / "cli.md").read_text("utf-8") == reference.reference(app)

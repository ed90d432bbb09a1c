"""The door of the command line: versions, mistakes."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from server_core.cli.main import app, main

runner = CliRunner()


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    monkeypatch.setenv("PREFECT_SERVER__HOME", str(tmp_path))


def test_version() -> None:
    result = runner.invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.startswith("prefect-server ")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["start", "--port", "x"], ["services", "ui"], ["tenant", "create"]]
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str]) -> None:
    assert runner.invoke(app, arguments).exit_code == 2


def test_an_error_is_one_line_and_code_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["prefect-server", "config", "show"])
    monkeypatch.setenv("APOLLO_API_PORT", "x")
    with pytest.raises(SystemExit) as left:
        main()
    assert (
        left.value.code
        == "prefect-server: gateway.port: 'x' is not a whole number (environment variable APOLLO_API_PORT)"
    )

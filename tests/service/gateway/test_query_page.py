"""GraphiQL in a real browser, headless: its scripts run under the page's policy and ask the URL of the page."""

import asyncio
import shutil
from pathlib import Path

import pytest

from server_core.wire import GraphQLRequest
from services.gateway.app import create_app
from tests.support.gateway import actions_service, data_service
from tests.support.servers import listening
from tests.support.settings import gateway_settings, server_settings

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


async def shown(url: str, folder: Path) -> tuple[str, str]:
    """Return the document that a browser has made of a page after its scripts ran, and what it logged."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs the program chromium")
    process = await asyncio.create_subprocess_exec(
        *(browser, *QUIET, f"--user-data-dir={folder}", "--enable-logging=stderr", "--virtual-time-budget=10000"),
        *("--dump-dom", url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(90):
        document, said = await process.communicate()
    return document.decode(), said.decode(errors="replace")


@pytest.mark.parametrize("path", ["/prefect", "/prefect/graphql"])
async def test_the_page_comes_alive(tmp_path: Path, path: str) -> None:
    """The query of the URL is in the editor, and nothing was refused by the policy or missing."""
    asked: list[str] = []

    async def note(request: GraphQLRequest) -> None:
        asked.append(request.query)

    app = create_app(
        server_settings(gateway=gateway_settings(base_path="/prefect")),
        data=data_service(note),
        actions=actions_service(note),
    )
    async with listening(app) as url:
        document, said = await shown(f"{url}{path}?query=%7B%20hello%20%7D", tmp_path)
    assert "graphiql-container" in document
    assert "graphiql-execute-button" in document
    assert ">hello<" in document
    complaints = [line for line in said.splitlines() if "CONSOLE" in line]
    assert not [line for line in complaints if "Security Policy" in line or "Failed to load" in line], complaints

"""nginx with files of examples/nginx, on free ports of this machine."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.processes import free_ports
from tests.support.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples" / "nginx"
_MAIN = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/*.conf;
}}
"""


@asynccontextmanager
async def nginx(
    folder: Path, server_url: str, *names: str, files: Mapping[str, Path] | None = None
) -> AsyncIterator[Mapping[str, str]]:
    """Run nginx with example files before a server, after `nginx -t`; skips where there is no nginx.

    Args:
        folder: for its files.
        server_url: of the server.
        names: example files to use, without `.conf`.
        files: what stands for paths that they name.

    Yields:
        The base URL of each, by name.
    """
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("needs the program nginx")
    upstream = urlsplit(server_url).netloc
    shutil.copy(EXAMPLES / "prefect-server.inc", folder)
    _copy("common", folder, {"127.0.0.1:4200": upstream})
    urls = {}
    for name, port in zip(names, free_ports(len(names)), strict=True):
        secure = "ssl" in (EXAMPLES / f"{name}.conf").read_text()
        listen = "listen 443 ssl;" if secure else "listen 80;"
        changes = {listen: listen.replace("443" if secure else "80", f"127.0.0.1:{port}")}
        _copy(name, folder, changes | {path: str(given) for path, given in (files or {}).items() if secure})
        urls[name] = f"{'https' if secure else 'http'}://127.0.0.1:{port}"
    main = folder / "main"
    main.write_text(_MAIN.format(folder=folder, user="user root;" if os.geteuid() == 0 else ""))
    command = (program, "-p", str(folder), "-c", str(main), "-e", str(folder / "error.log"))
    checked = await asyncio.create_subprocess_exec(*command, "-t", stderr=asyncio.subprocess.PIPE)
    _, said = await checked.communicate()
    assert checked.returncode == 0, said.decode()
    process = await asyncio.create_subprocess_exec(*command)
    try:
        for url in urls.values():
            await wait_until(lambda url=url: _listens(url), seconds=20, what=f"nginx at {url}")  # type: ignore[misc]
        yield urls
    finally:
        process.terminate()
        await process.wait()


def _copy(name: str, folder: Path, changes: Mapping[str, str]) -> None:
    text = (EXAMPLES / f"{name}.conf").read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, f"{name}.conf does not say {old!r} once"
        text = text.replace(old, new)
    (folder / f"{name}.conf").write_text(text)


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0

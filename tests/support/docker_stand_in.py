"""A stand-in for the `docker` program, for machines without an engine: notes its calls, and runs "Postgres" as a way
through to a Postgres that the test has. Run by its own file name; see install.

    info, compose version      succeed
    compose ps -q              prints an id where STAND_IN_RUNS is set
    compose pull               succeeds
    compose up                 listens on POSTGRES_PORT until `compose down`
    whatever STAND_IN_FAILS names ends with exit code 18
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path


def install(folder: Path) -> Path:
    """Put it as `docker` into a folder for PATH, and return the file of its calls."""
    folder.mkdir()
    program = folder / "docker"
    program.write_text(f"#!{sys.executable}\n" + Path(__file__).read_text("utf-8"))
    program.chmod(0o755)
    return folder / "calls"


def calls(path: Path) -> list[list[str]]:
    """Return what it was called with, in order."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def serve(port: int, place: str) -> None:
    """Pass every connection on to a unix socket or a `host:port`."""

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, other = place.rpartition(":")
        there = await (asyncio.open_unix_connection(place) if not host else asyncio.open_connection(host, int(other)))
        await asyncio.gather(copied(reader, there[1]), copied(there[0], writer))

    async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.start_server(passed_on, "127.0.0.1", port)
    await stop.wait()


def main(arguments: list[str]) -> int:
    """Do what a call asks for and return the exit code."""
    here = Path(sys.argv[0]).parent
    words = ["compose", *arguments[3:]] if arguments[1:2] == ["-f"] else arguments
    with (here / "calls").open("a") as file:
        file.write(json.dumps([*words, os.environ.get("POSTGRES_TAG")]) + "\n")
    name = "info" if words[0] == "info" else words[0] if words[0] != "compose" else words[1]
    if name == os.environ.get("STAND_IN_FAILS"):
        return 18
    if name == "ps" and "STAND_IN_RUNS" in os.environ:
        print("0123456789ab")
    if name == "up":
        (here / "pid").write_text(str(os.getpid()))
        asyncio.run(serve(int(os.environ["POSTGRES_PORT"]), os.environ["STAND_IN_PLACE"]))
    if name == "down" and (here / "pid").exists():
        os.kill(int((here / "pid").read_text()), signal.SIGTERM)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

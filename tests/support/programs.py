"""A program of the client's environment as a child process: its output is kept, and all it started ends with it.

The server's own processes are in tests/support/processes.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support.waiting import wait_until


class Program:
    """A running program in a process group of its own.

    An agent starts runs and these start heartbeats, all of which would keep a pipe open; so output goes to a file.

    Args:
        command: program and arguments.
        env: its whole environment.
        output: file that receives what it prints.
        cwd: its working directory.
    """

    def __init__(self, command: Sequence[str | Path], *, env: Mapping[str, str], output: Path, cwd: Path) -> None:
        self.name = " ".join([Path(command[0]).name, *map(str, command[1:])])
        self._output = output
        with output.open("wb") as sink:
            self._child = subprocess.Popen(
                [str(word) for word in command],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def exit_code(self) -> int | None:
        """Exit code, or None while it runs."""
        return self._child.poll()

    @property
    def output(self) -> str:
        """What it has printed so far, both streams."""
        return self._output.read_text(errors="replace")

    async def wait(self, *, seconds: float) -> int:
        """Wait for its end and return the exit code.

        Raises:
            AssertionError: it is still running at the deadline.
        """
        await wait_until(
            lambda: self.exit_code is not None,
            seconds=seconds,
            what=f"end of `{self.name}`",
            detail=lambda: self.output,
        )
        return self._child.returncode

    async def wait_for_text(self, text: str, *, seconds: float) -> str:
        """Wait until it has printed a text; return the output.

        Raises:
            AssertionError: it has not at the deadline, or it ended without.
        """

        def printed() -> bool:
            if text in self.output:
                return True
            assert self.exit_code is None, f"`{self.name}` ended with {self.exit_code}:\n{self.output}"
            return False

        await wait_until(printed, seconds=seconds, what=f"{text!r} from `{self.name}`", detail=lambda: self.output)
        return self.output

    def kill(self) -> None:
        """End it and everything in its group, now."""
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._child.wait()

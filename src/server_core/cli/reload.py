"""Edits of the source tree → which services run that code. Called by `dev services`.

    services/<name>/…   that service alone
    migrations/…        those that need the database: they compare its revisions with these
    server_core/…       all of them: the command line that starts each of them imports it

A file that cannot be compiled stops nothing: what runs goes on, and is started anew when all its files are whole again.
"""

import warnings
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from watchfiles import Change as Kind
from watchfiles import DefaultFilter, awatch

from server_core.cli.assemble import NEED_DATABASE, SERVICES
from server_core.db.folders import migrations_folder
from server_core.errors import ConfigError

SUFFIXES = frozenset({".py", ".yaml", ".html", ".js", ".css", ".graphql", ".sql", ".txt"})
"""Files that make a difference to what runs."""

QUIET_MS = 150
"""Files written within so long of each other are one change: an editor's save, a branch that is checked out."""

LONGEST_MS = 2000
"""A change is acted on after this long even if files are still being written."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an edit means.

    Attributes:
        services: those to start anew.
        cause: which files changed, for people.
        problems: files that cannot be compiled, and why; the services that run them are left alone.
    """

    services: Collection[str]
    cause: str
    problems: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Where the code is.

    Attributes:
        services: folder of the services.
        core: folder of server_core.
        migrations: folder of both chains of revisions.
    """

    services: Path
    core: Path
    migrations: Path

    def services_of(self, path: Path) -> Collection[str]:
        """Return the services that run a file of the tree."""
        if path.is_relative_to(self.migrations):
            return NEED_DATABASE
        if path.is_relative_to(self.services):
            room = path.relative_to(self.services).parts[0]
            return (room,) if room in SERVICES else SERVICES
        return SERVICES if path.is_relative_to(self.core) else ()

    def name(self, path: Path) -> str:
        """Return a file's name for people: from the folder that holds the package on."""
        for folder in (self.migrations, self.services, self.core):
            if path.is_relative_to(folder):
                return str(path.relative_to(folder.parent))
        return str(path)


def source_tree() -> Tree:
    """Return where the code is that this interpreter runs; nothing of the services is imported.

    Raises:
        ConfigError: there are no services; the installation is broken.
    """
    spec = find_spec("services")
    if spec is None or spec.origin is None:
        raise ConfigError("The services are missing; install prefect-server again.")
    core = Path(__file__).resolve().parents[1]
    return Tree(services=Path(spec.origin).resolve().parent, core=core, migrations=migrations_folder().resolve())


class Edits:
    """Judges which services to start anew; remembers which files cannot be compiled.

    Args:
        tree: where the code is.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._broken: dict[Path, Collection[str]] = {}

    def judge(self, sources: Mapping[Path, str | None]) -> Change:
        """Return what an edit means.

        Args:
            sources: the files that changed, with their text if they are Python and there.
        """
        held: dict[str, None] = {}
        wanted: dict[str, None] = {}
        problems = []
        for path, text in sources.items():
            runs_it = self._tree.services_of(path)
            wanted.update(dict.fromkeys((*self._broken.pop(path, ()), *runs_it)))
            problem = None if text is None else syntax_problem(text)
            if problem is not None:
                self._broken[path] = runs_it
                problems.append(f"{self._tree.name(path)}, {problem}")
        for runs_it in self._broken.values():
            held.update(dict.fromkeys(runs_it))
        names = sorted(map(self._tree.name, sources))
        cause = f"{names[0]} was changed" if len(names) == 1 else f"{len(names)} files were changed ({names[0]}, …)"
        return Change(services=[name for name in wanted if name not in held], cause=cause, problems=problems)


def syntax_problem(text: str) -> str | None:
    """Return where and why a Python text cannot be compiled, or None if it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "", "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except ValueError as error:
        return str(error)
    return None


async def changes(tree: Tree) -> AsyncIterator[Change]:
    """Yield what each edit of the tree means, from now on.

    Raises:
        OSError, RuntimeError: the system cannot watch so many files.
    """
    folders = {tree.services, tree.core, tree.migrations}
    edits = Edits(tree)
    async for found in awatch(*folders, watch_filter=_Code(), debounce=LONGEST_MS, step=QUIET_MS):
        yield edits.judge(_read(Path(path) for _, path in sorted(found, key=lambda each: each[1])))


class _Code(DefaultFilter):
    """Lets files through that make a difference, and nothing that editors and compilers leave."""

    def __call__(self, change: Kind, path: str) -> bool:
        return Path(path).suffix in SUFFIXES and super().__call__(change, path)


def _read(paths: Iterable[Path]) -> dict[Path, str | None]:
    return {path: _text(path) if path.suffix == ".py" else None for path in paths}


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):  # deleted again, or for the interpreter to complain about
        return None

"""What benchmarks measured → rows beside their targets: a table, JSON, bench/RESULTS.md. Called by bench.__main__."""

import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from os import cpu_count, sysconf
from pathlib import Path
from typing import Final, Literal

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "asyncpg", "orjson", "graphql-core", "strawberry-graphql")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One target and what was measured.

    Attributes:
        section: what it is about.
        what: the figure.
        figure: its value; None if it was not measured.
        target: what it should be, by `kind`.
        kind: `at least` or `at most`.
        unit: of both.
        detail: the figures it comes from, or why there is none.
    """

    section: str
    what: str
    figure: float | None
    target: float | None
    kind: Literal["at least", "at most"] = "at least"
    unit: str = "×"
    detail: str = ""

    @property
    def verdict(self) -> str:
        """Whether the target is reached."""
        if self.figure is None:
            return "not measured"
        if self.target is None:
            return ""
        reached = self.figure >= self.target if self.kind == "at least" else self.figure <= self.target
        return "holds" if reached else "MISSED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A run.

    Attributes:
        rows: what was measured, in order.
        about: machine, versions and options, by name.
    """

    rows: Sequence[Row]
    about: dict[str, str]

    def json(self) -> str:
        """Return all of it for programs."""
        rows = [{**asdict(row), "verdict": row.verdict} for row in self.rows]
        return json.dumps({"about": self.about, "rows": rows}, indent=1)

    def markdown(self) -> str:
        """Return all of it for people."""
        ratios = "Ratios are medians of the ratios within each round; what is compared was measured in turn in one run."
        lines = ["# Results of the last full run", "", f"Made by `just bench`; do not edit. {ratios}"]
        lines += ["", *(f"- {name}: {value}" for name, value in self.about.items())]
        section = ""
        for row in self.rows:
            if row.section != section:
                section = row.section
                lines += ["", f"## {section}", "", "| what | measured | target | | figures |", "|--|--:|--:|--|--|"]
            cells = (row.what, _figure(row.figure, row.unit), _target(row), row.verdict, row.detail)
            lines.append("| " + " | ".join(cells) + " |")
        missed = [row for row in self.rows if row.verdict == "MISSED"]
        measured = [row for row in self.rows if row.verdict in ("holds", "MISSED")]
        lines += ["", f"{len(measured) - len(missed)} of {len(measured)} targets hold."]
        return "\n".join(lines) + "\n"


def about(**options: str) -> dict[str, str]:
    """Return what a reader must know of a run: the machine, the versions, the options."""
    memory = sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "commit": _said("git", "describe", "--always", "--dirty"),
        "machine": f"{cpu_count()} cores ({_processor()}), {memory:.0f} GB, {platform.system()} {platform.release()}",
        "Python": sys.version.split()[0],
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        **options,
    }


def _figure(figure: float | None, unit: str) -> str:
    if figure is None:
        return "–"
    digits = 0 if abs(figure) >= 100 else 1 if abs(figure) >= 10 else 2
    return f"{figure:.{digits}f} {unit}"


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    return f"{'≥' if row.kind == 'at least' else '≤'} {row.target:g} {row.unit}"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=RESULTS.parent)
    return done.stdout.strip()

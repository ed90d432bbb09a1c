"""The documentation: it can be built, and no link in it leads nowhere."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    """Strict: a page or anchor that is linked to and missing, or a page that the navigation lacks, is an error."""
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert "legacy" in (tmp_path / "site" / "upgrading" / "index.html").read_text()


def test_links_between_files_of_the_repository() -> None:
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")]
    assert len(files) > 5
    lost = [
        f"{file.relative_to(ROOT)}: {target}"
        for file in files
        for target in re.findall(r"\]\(([^)#\s]+)", file.read_text())
        if "://" not in target and not (file.parent / target).exists()
    ]
    assert not lost

"""The query page and its files: what they are, where they are asked for, how they may be kept (data-api.md §3.1)."""

import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from services.gateway.playground import Playground

FOLDER = Path(str(files("services.gateway"))) / "graphiql"
MANIFEST: dict[str, Any] = json.loads((FOLDER / "manifest.json").read_text("utf-8"))
OWN = {"index.html", "page.css", "page.js", "manifest.json"}


def links(prefix: str) -> list[str]:
    """Return what the page loads."""
    found: list[str] = re.findall(r'(?:src|href)="([^"]*)"', Playground().page(prefix).body.decode())
    return [link for link in found if link != "data:,"]


def test_the_files_are_those_of_the_manifest() -> None:
    """Each comes unchanged from a release, whose licence lies beside it; nothing else is there."""
    there = {path.name: path for path in FOLDER.iterdir()}
    known = set(OWN)
    for package in MANIFEST["packages"]:
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert package["license"] in there[package["license_file"]].read_text("utf-8")
        known.add(package["license_file"])
        for name, file in package["files"].items():
            assert hashlib.sha256(there[name].read_bytes()).hexdigest() == file["sha256"], name
            known.add(name)
    assert there.keys() == known


def test_the_page_loads_its_own_files_only() -> None:
    playground = Playground()
    assert len(links("")) == 7
    for link in links(""):
        assert link.startswith("./_graphiql/")
        assert playground.file("/graphql/" + link.removeprefix("./")) is not None


def test_a_known_prefix_leads_the_links() -> None:
    """`/prefect` without a slash at the end would lead `./` outside of it."""
    assert all(link.startswith("/prefect/_graphiql/") for link in links("/prefect"))
    assert "<b>" not in Playground().page('/"><b>').body.decode()


def test_a_file_is_found_by_its_content_alone() -> None:
    playground = Playground()
    link = links("")[0].removeprefix("./")
    reply = playground.file(f"/any/path/{link}")
    assert reply is not None
    assert dict(reply.headers)["cache-control"] == "public, max-age=31536000, immutable"
    assert dict(reply.headers)["x-content-type-options"] == "nosniff"
    folder, hashed, name = link.split("/")
    assert playground.file(f"/{folder}/{'0' * len(hashed)}/{name}") is None
    assert playground.file(f"/{folder}/{hashed}/../{hashed}/{name}") is None
    assert playground.file(f"/{folder}/manifest.json") is None
    assert playground.file("/") is None


def test_the_policy_of_the_page_names_nobody_else() -> None:
    headers = dict(Playground().page("").headers)
    assert "//" not in headers["content-security-policy"]
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert "unsafe-eval" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-cache"

"""Turns the files of graphiql/ into the query page and what it loads. Called by edge for browsers.

Everything comes from this package (graphiql/manifest.json says which releases of what), and its URLs carry a piece of
each file's hash, so browsers may keep the files for good. They are asked for below the folder of the page itself, or
below the prefix that a proxy told of; the server answers them below any path.
"""

import hashlib
import html
from dataclasses import dataclass
from pathlib import Path

from services.gateway.reply import Reply

_FOLDER = Path(__file__).with_name("graphiql")
_BELOW = "_graphiql/"
_MEDIA = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
_NO_SNIFF = ("x-content-type-options", "nosniff")
_FOREVER = ("cache-control", "public, max-age=31536000, immutable")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""Nothing from elsewhere; the editor sets styles, and its fonts and pictures are in the style sheet."""


@dataclass(frozen=True, slots=True)
class _File:
    place: str
    reply: Reply


class Playground:
    """GraphiQL, read once."""

    def __init__(self) -> None:
        self._template = (_FOLDER / "index.html").read_text("utf-8")
        files = {path.name: _read(path) for path in sorted(_FOLDER.iterdir()) if path.suffix in _MEDIA}
        self._places = {name: file.place for name, file in files.items()}
        self._replies = {file.place: file.reply for file in files.values()}

    def file(self, path: str) -> Reply | None:
        """Return the file that a path names, or None."""
        _, mark, place = path.rpartition(_BELOW)
        return self._replies.get(place) if mark else None

    def page(self, prefix: str) -> Reply:
        """Return the page.

        Args:
            prefix: where a proxy has put the server, without a slash at the end; empty: unknown, or nowhere.
        """
        base = html.escape(f"{prefix}/" if prefix else "./") + _BELOW
        text = self._template
        for name, place in self._places.items():
            text = text.replace(f"{{{name}}}", base + place)
        headers = (
            _NO_SNIFF,
            ("content-security-policy", _POLICY),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-cache"),
            ("vary", "Accept"),
        )
        return Reply(body=text.encode(), media="text/html; charset=utf-8", headers=headers)


def _read(path: Path) -> _File:
    content = path.read_bytes()
    place = f"{hashlib.sha256(content).hexdigest()[:12]}/{path.name}"
    return _File(place, Reply(body=content, media=_MEDIA[path.suffix], headers=(_NO_SNIFF, _FOREVER)))

"""Database URLs: any spelling people use → the plain libpq-style DSN that asyncpg reads. Called by db and the CLI."""

import re
from urllib.parse import urlsplit, urlunsplit

from server_core.errors import ConfigError

_SCHEME = re.compile(r"^(?:postgres|postgresql|pgsql)(?:\+[a-z0-9_]+)?://", re.IGNORECASE)


def plain_dsn(url: str) -> str:
    """Return the URL with the scheme `postgresql`, whatever driver suffix it had.

    Raises:
        ConfigError: it is not a Postgres URL.
    """
    url = url.strip()
    match = _SCHEME.match(url)
    if match is None:
        raise ConfigError("database.connection_url must start with postgresql://")
    return "postgresql://" + url[match.end() :]


def redacted(url: str) -> str:
    """Return the URL without its password, for messages."""
    parts = urlsplit(plain_dsn(url))
    credentials, at, place = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return urlunsplit(parts._replace(netloc=f"{user}{':***' if colon else ''}{at}{place}"))

"""Database URLs: any spelling people use → the plain libpq-style DSN that asyncpg reads. Called by db and the CLI."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

from server_core.errors import ConfigError

_SCHEME = re.compile(r"^(?:postgres|postgresql|pgsql)(?:\+[a-z0-9_]+)?://", re.IGNORECASE)

_LIBPQ_ONLY = frozenset(
    {
        "channel_binding",
        "connect_timeout",
        "fallback_application_name",
        "gssencmode",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "prepared_statement_cache_size",
        "require_auth",
        "requirepeer",
        "sslcertmode",
        "sslcompression",
        "sslsni",
        "tcp_user_timeout",
    }
)
"""Parameters about the connection that other drivers take. asyncpg would send them to Postgres, which refuses them."""

_VALUE = re.compile(r"(?<=[?&])([^=&]*)=[^&]*")
_SECRETS = frozenset({"password", "sslpassword"})


def plain_dsn(url: str) -> str:
    """Return the URL with the scheme `postgresql`, whatever driver suffix it had, without what asyncpg cannot read.

    What is left is unchanged, to the letter: percent-encoding is the driver's business.

    Raises:
        ConfigError: it is not a Postgres URL.
    """
    url = url.strip()
    match = _SCHEME.match(url)
    if match is None:
        raise ConfigError("database.connection_url must start with postgresql://")
    place, mark, query = url[match.end() :].partition("?")
    try:
        _ = urlsplit("postgresql://" + place).port
    except ValueError:
        if "," not in place:  # several hosts are legal, and only the driver can read them
            raise ConfigError(
                "database.connection_url cannot be read: write special characters in the user name and the password"
                " percent-encoded (/ as %2F, # as %23, ? as %3F, [ as %5B)"
            ) from None
    parameters = [_parameter(text) for text in query.split("&") if text]
    kept = "&".join(text for text in parameters if text is not None)
    return f"postgresql://{place}{mark if kept else ''}{kept}"


def redacted(url: str) -> str:
    """Return the URL without its password, for messages. Rather hides too much than too little."""
    match = _SCHEME.match(url.strip())
    if match is None:
        return "***"
    rest = _VALUE.sub(_hidden, url.strip()[match.end() :])
    credentials, at, place = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return f"postgresql://{user}{':***' if colon else ''}{at}{place}"


def _hidden(parameter: re.Match[str]) -> str:
    return f"{parameter[1]}=***" if unquote(parameter[1]).lower() in _SECRETS else parameter[0]


def database_name(url: str) -> str | None:
    """Return the name of the database of a URL, or None if it names none."""
    place, _, query = plain_dsn(url).removeprefix("postgresql://").partition("?")
    name = unquote(place.partition("/")[2])
    parameters = parse_qs(query)
    return name or next((parameters[key][-1] for key in ("database", "dbname") if key in parameters), None)


def is_local(url: str, environ: Mapping[str, str]) -> bool:
    """Tell whether every host of a URL is this machine: a unix socket, `localhost` or a loopback address.

    Args:
        url: of the database.
        environ: the environment, which names the host where the URL does not (PGHOST, or PGSERVICE, whose file is not
            looked up: it may lead anywhere).
    """
    place, _, query = plain_dsn(url).removeprefix("postgresql://").partition("?")
    if "#" in place + query:  # the driver reads no further, so the host may stand before it
        return False
    places = place.partition("/")[0].rpartition("@")[2]
    parameters = parse_qs(query)
    hosts = [_host(each) for each in places.split(",") if _host(each)]
    hosts = hosts or [each for value in parameters.get("host", []) for each in value.split(",")]
    if not hosts and ("service" in parameters or environ.get("PGSERVICE")):
        return False
    hosts = hosts or [each for each in (environ.get("PGHOST") or "").split(",") if each]
    return all(map(_is_this_machine, hosts))


def _host(place: str) -> str:
    place = unquote(place)
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place if place.startswith("/") else place.partition(":")[0]


def _is_this_machine(host: str) -> bool:
    if host.startswith(("/", "@")) or host.lower() in ("localhost", "localhost."):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _parameter(text: str) -> str | None:
    """Return one `name=value` as asyncpg reads it, None to leave it out."""
    name, _, value = text.partition("=")
    name = unquote(name)
    if name == "ssl":  # SQLAlchemy's word for it
        return f"sslmode={'require' if value.lower() in ('true', '1') else value}"
    return None if name in _LIBPQ_ONLY else text

"""Environment and user file → one checked Settings value. Called once at every door (CLI, services' __main__).

Implements actions.md §8.2. A setting may be given under several names; the first of these that is there wins:

    PREFECT_SERVER__GATEWAY__PORT              environment, its key
    PREFECT_SERVER__SERVICES__GATEWAY__PORT    environment, alias keys
    APOLLO_API_PORT                            environment, legacy names
    [gateway] port                             user file, its key
    [services.apollo] port                     user file, alias keys

An environment value is true/false in any case, else a Python literal, else a string; an empty one counts as not given.
Names are case-sensitive. `${other.key}` stands for the value of another key, `$${` for a plain `${`.
"""

import difflib
import logging
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from server_core.config import Settings
from server_core.config_values import PREFIX, Setting, all_settings, convert, environment_name, from_text
from server_core.errors import ConfigError

logger = logging.getLogger(__name__)

USER_FILE_VARIABLE = "PREFECT_SERVER__USER_CONFIG_PATH"

TOLERATED = ("hasura", "telemetry", "state_colors", "services", "env", "dev", "debug", "user_config_path")
"""First parts of keys of the legacy server that are read without complaint, whether or not they mean something here."""

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z0-9_.]+)\}")


@dataclass(frozen=True, slots=True)
class _Given:
    value: Any
    source: str
    is_text: bool


def load_settings(*, environ: Mapping[str, str] = os.environ, user_file: Path | None = None) -> Settings:
    """Read the settings of this process.

    Args:
        environ: the environment.
        user_file: the TOML file to read, instead of the one that the environment names or
            `config.toml` under the home of the server, which need not exist.

    Raises:
        ConfigError: a value cannot be used, or the file cannot be read; the message names the key and where it is from.
    """
    reading = read_settings(environ=environ, user_file=user_file)
    for line in reading.unknown:
        logger.warning("%s", line)
    if reading.settings is None:
        raise ConfigError(reading.problems[0])
    return reading.settings


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was found where, and what is wrong with it.

    Attributes:
        settings: the settings; None if there are problems.
        sources: where each setting comes from, by its key; those that are not here have their default.
        problems: values that cannot be used, and files that cannot be read; a line each.
        unknown: names that mean nothing; a line each.
    """

    settings: Settings | None
    sources: Mapping[str, str]
    problems: Sequence[str]
    unknown: Sequence[str]


def read_settings(*, environ: Mapping[str, str] = os.environ, user_file: Path | None = None) -> Reading:
    """Read the settings of this process, and go on where something is wrong; for those who want to know it all.

    Args:
        environ: the environment.
        user_file: as of load_settings.
    """
    path, must_exist = _user_file(environ, user_file)
    try:
        document = _flatten(_read_toml(path, must_exist=must_exist))
    except ConfigError as error:
        return Reading(settings=None, sources={}, problems=[error.message], unknown=[])
    reader = _Reader(environ, document, path)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    problems = []
    for setting in all_settings():
        given = reader.find(setting)
        if given is not None:
            sources[setting.key] = given.source
        try:
            values[setting.key] = reader.value_of(setting)
        except ConfigError as error:
            problems.append(error.message)
    unknown = list(_unknown(document, environ, path))
    if problems:
        return Reading(settings=None, sources=sources, problems=problems, unknown=unknown)
    sources |= _derive(values, set(sources), reader)
    return Reading(settings=_build(values), sources=sources, problems=[], unknown=unknown)


class _Reader:
    """Finds where a setting is given and turns it into its declared type."""

    def __init__(self, environ: Mapping[str, str], document: Mapping[str, Any], path: Path) -> None:
        self._environ = environ
        self._document = document
        self._path = path

    def find(self, setting: Setting) -> _Given | None:
        """Return the first of a setting's names that is there, or None."""
        for name in setting.environment_names:
            if self._environ.get(name):
                return _Given(self._environ[name], f"environment variable {name}", True)
        for key in (setting.key, *setting.aliases):
            if key in self._document:
                return _Given(self._document[key], f"`{key}` in {self._path}", False)
        return None

    def value_of(self, setting: Setting) -> Any:
        """Return a setting's value as its declared type; see load_settings."""
        given = self.find(setting)
        if given is None:
            return setting.default
        value = given.value
        try:
            if isinstance(value, str):
                text = self.interpolate(value, (setting.key,))
                value = from_text(text, setting) if given.is_text or setting.type is not str else text
            return convert(value, setting)
        except ValueError as error:
            raise ConfigError(f"{setting.key}: {error} ({given.source})") from None

    def interpolate(self, text: str, path: tuple[str, ...]) -> str:
        """Return a text with its references filled in; `path`: the keys that led here.

        Raises:
            ValueError: a reference names nothing, or leads back to where it came from.
        """

        def stand_in(match: re.Match[str]) -> str:
            return "${" if match[1] is None else self._text_of(match[1], path)

        return _REFERENCE.sub(stand_in, text)

    def _text_of(self, key: str, path: tuple[str, ...]) -> str:
        setting = _by_key().get(key)
        canonical = setting.key if setting is not None else key
        if canonical in path:
            raise ValueError(f"refers to itself through ${{{key}}}")
        if setting is not None:
            given = self.find(setting)
            value = setting.default if given is None else given.value
        else:
            value = self.other(key)
            if value is None:
                raise ValueError(f"refers to ${{{key}}}, which is not set; write $${{ for a plain ${{")
        return self.interpolate(value, (*path, canonical)) if isinstance(value, str) else str(value)

    def other(self, key: str) -> Any:
        """Return what is given for a key that is no setting of ours, or None."""
        return self._environ.get(environment_name(key)) or self._document.get(key)


@cache
def _by_key() -> dict[str, Setting]:
    """Return settings by every dotted name that means one setting only (`services.host` means several)."""
    found: dict[str, Setting] = {setting.key: setting for setting in all_settings()}
    for setting in all_settings():
        for alias in setting.aliases:
            if alias != "services.host":
                found.setdefault(alias, setting)
    return found


def _derive(values: dict[str, Any], given: set[str], reader: _Reader) -> dict[str, str]:
    """Fill in what follows from other settings; return from which, by key."""
    sources = {}
    values["home"] = values["home"].expanduser().absolute()
    parts = [f"database.{part}" for part in ("host", "port", "name", "username", "password")]
    if values["database.connection_url"] is None and given.intersection(parts):
        values["database.connection_url"] = compose_dsn(**{part.partition(".")[2]: values[part] for part in parts})
        sources["database.connection_url"] = "made of " + ", ".join(part for part in parts if part in given)
    if "gateway.data_url" not in given:
        host = reader.other("hasura.host") or "127.0.0.1"
        values["gateway.data_url"] = f"http://{host}:{values['data.port']}/v1alpha1/graphql"
        if "data.port" in given or host != "127.0.0.1":
            sources["gateway.data_url"] = "made of data.port and hasura.host"
    if "gateway.graphql_url" not in given:
        path = "/" + values["graphql.path"].lstrip("/")
        values["gateway.graphql_url"] = f"http://127.0.0.1:{values['graphql.port']}{path}"
        if given.intersection(("graphql.port", "graphql.path")):
            sources["gateway.graphql_url"] = "made of graphql.port and graphql.path"
    return sources


def compose_dsn(
    *,
    host: str | None = None,
    port: int | None = None,
    name: str | None = None,
    username: str | None = None,
    password: str | None = None,
) -> str:
    """Return the DSN of a database given in parts, each quoted; a host that starts with `/` is a socket folder."""
    user = quote(username or "prefect", safe="")
    credentials = f"{user}:{quote(password, safe='')}" if password else user
    place = host or "localhost"
    database = quote(name or "prefect_server", safe="")
    if place.startswith("/"):
        return f"postgresql://{credentials}@/{database}?host={quote(place, safe='')}&port={port or 5432}"
    bracketed = f"[{place}]" if ":" in place and not place.startswith("[") else place
    return f"postgresql://{credentials}@{bracketed}:{port or 5432}/{database}"


def _build(values: Mapping[str, Any]) -> Settings:
    settings = Settings()
    sections: dict[str, dict[str, Any]] = {}
    top: dict[str, Any] = {}
    for key, value in values.items():
        section, dot, name = key.partition(".")
        if dot:
            sections.setdefault(section, {})[name] = value
        else:
            top[section] = value
    built = {name: replace(getattr(settings, name), **members) for name, members in sections.items()}
    return replace(settings, **top, **built)


def _user_file(environ: Mapping[str, str], user_file: Path | None) -> tuple[Path, bool]:
    if user_file is not None:
        return user_file, True
    if environ.get(USER_FILE_VARIABLE):
        return Path(environ[USER_FILE_VARIABLE]).expanduser(), True
    home = environ.get(environment_name("home")) or str(Settings().home)
    return Path(home).expanduser() / "config.toml", False


def _read_toml(path: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise ConfigError(f"The user file {path} does not exist.") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The user file {path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The user file {path} is not valid TOML: {error}") from None


def _flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def _unknown(document: Mapping[str, Any], environ: Mapping[str, str], path: Path) -> Iterator[str]:
    known = {key for setting in all_settings() for key in (setting.key, *setting.aliases)}
    for key in document:
        if key not in known and key.partition(".")[0] not in TOLERATED:
            yield f"{path}: unknown key `{key}`{_suggestion(key, known)}"
    names = {name for setting in all_settings() for name in setting.environment_names}
    tolerated = tuple(environment_name(first) for first in TOLERATED)
    for name in environ:
        if name.startswith(PREFIX) and name not in names and not name.startswith(tolerated):
            yield f"unknown environment variable {name}{_suggestion(name, names)}"


def _suggestion(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""

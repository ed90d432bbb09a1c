"""Declarations of config.py → Setting values, and what a user wrote → the declared type. Called by config_loader.

Conversion is table-driven by the type of the field; every refusal is a ValueError whose text completes
"<key>: <text> (<where it came from>)".
"""

import ast
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from server_core.config import Settings

PREFIX = "PREFECT_SERVER__"
_SERVICE_SECTIONS = ("gateway.", "data.", "graphql.", "towel.")
_SIZE = re.compile(r"\+?(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4, "p": 1024**5}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting as config.py declares it.

    Attributes:
        key: dotted name.
        type: bool, int, float, str or Path.
        optional: whether it may be None.
        default: its value when it is not given.
        doc: what it does.
        aliases: other dotted names for it, best first.
        env: legacy environment names for it, best first.
        least, most, choices: which values it takes.
        secret: whether its value stays out of messages.
    """

    key: str
    type: type
    optional: bool
    default: Any
    doc: str
    aliases: tuple[str, ...]
    env: tuple[str, ...]
    least: float | None
    most: float | None
    choices: tuple[str, ...]
    secret: bool

    @property
    def environment_names(self) -> tuple[str, ...]:
        """Return every environment name of the setting, best first."""
        return (*(environment_name(key) for key in (self.key, *self.aliases)), *self.env)


def environment_name(key: str) -> str:
    """Return the environment name of a dotted key."""
    return PREFIX + key.upper().replace(".", "__")


@cache
def all_settings() -> tuple[Setting, ...]:
    """Return every setting in the order of their declaration, top level first."""
    own = tuple(_declared(Settings, ""))
    return tuple(sorted(own, key=lambda setting: "." in setting.key))


def _declared(section: type, prefix: str) -> Iterator[Setting]:
    hints = get_type_hints(section)
    for each in fields(section):
        declared = hints[each.name]
        if is_dataclass(declared):
            assert isinstance(declared, type)  # noqa: S101 - for mypy: a field's type is never an instance
            yield from _declared(declared, f"{each.name}.")
            continue
        optional = get_origin(declared) in (Union, types.UnionType)
        base = next(kind for kind in get_args(declared) if kind is not type(None)) if optional else declared
        metadata = dict(each.metadata)
        aliases = metadata.pop("keys")
        if prefix in _SERVICE_SECTIONS:
            aliases = (f"services.{prefix}{each.name}", *(key for key in aliases))
        yield Setting(
            key=prefix + each.name,
            type=base,
            optional=optional,
            default=each.default,
            aliases=tuple(dict.fromkeys(aliases)),
            **metadata,
        )


def from_text(text: str, setting: Setting) -> Any:
    """Return what a text stands for: true/false in any case, else a Python literal, else the text itself."""
    if setting.type in (str, Path):
        # A password of 0012 or 1_000 is those characters, not a number.
        if text == "None":
            return None
        literal = _literal(text)
        return literal if isinstance(literal, str) else text
    lowered = text.strip().lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    literal = _literal(text.strip())
    return from_text(literal, setting) if isinstance(literal, str) and literal != text else literal


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def convert(value: Any, setting: Setting) -> Any:
    """Return the value as the type the setting declares.

    Raises:
        ValueError: it cannot be, or is out of range; the text never shows a secret.
    """
    shown = "the value given" if setting.secret else repr(value)
    if value is None or (value == "" and setting.optional):
        if setting.optional:
            return None
        raise ValueError("needs a value")
    if isinstance(value, (list, tuple, dict, set)):
        raise ValueError(f"{shown} is not {_KINDS[setting.type]}")
    converted: Any = _CONVERTERS[setting.type](value, setting, shown)
    if setting.choices:
        spelled = {choice.upper(): choice for choice in setting.choices}
        converted = spelled.get(converted.upper(), converted)
        if converted not in setting.choices:
            raise ValueError(f"{shown} is none of {', '.join(setting.choices)}")
    if setting.least is not None and converted < setting.least:
        raise ValueError(f"{shown} is less than {setting.least:g}")
    if setting.most is not None and converted > setting.most:
        raise ValueError(f"{shown} is more than {setting.most:g}")
    return converted


def _to_bool(value: Any, setting: Setting, shown: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise ValueError(f"{shown} is not true or false")


def _to_int(value: Any, setting: Setting, shown: str) -> int:
    if isinstance(value, str) and setting.key.endswith("_bytes") and (size := _SIZE.fullmatch(value.strip())):
        return int(float(size[1]) * _UNITS[size[2].lower()])
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError(f"{shown} is not a whole number")


def _to_float(value: Any, setting: Setting, shown: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf"):
        return float(value)
    raise ValueError(f"{shown} is not a number")


def _to_str(value: Any, setting: Setting, shown: str) -> str:
    return str(value)


def _to_path(value: Any, setting: Setting, shown: str) -> Path:
    if not isinstance(value, str):
        raise ValueError(f"{shown} is not a path")
    return Path(value)


_CONVERTERS: dict[type, Any] = {bool: _to_bool, int: _to_int, float: _to_float, str: _to_str, Path: _to_path}
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}

"""A retry delay as clients write it (a number of seconds, or duration text) → a timedelta. Called by rules.flows."""

import math
import re
from datetime import timedelta

_CLOCK = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<days>\d+)\s*(?:days?,?|\s)\s*)?"
    r"(?:(?P<hours>\d+):)?(?:(?P<minutes>\d+):)?(?P<seconds>\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
_DAYS = re.compile(r"(?P<sign>[+-]?)(?P<days>\d+)\s*days?", re.IGNORECASE)
_ISO_8601 = re.compile(
    r"(?P<sign>[+-]?)P(?:(?P<weeks>\d+(?:\.\d+)?)W)?(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)


def parse_duration(value: object) -> timedelta | None:
    """Return the length of time a value names, or None if it names none.

    Args:
        value: a number of seconds, or text: `90`, `1:30`, `0:01:30.5`, `2 days, 3:00:00`, `P1DT2H`.
    """
    try:
        if isinstance(value, bool):
            return None
        if isinstance(value, int | float):
            return timedelta(seconds=value) if math.isfinite(value) else None
        if isinstance(value, str):
            return _from_text(value.strip())
    except (OverflowError, ValueError):
        pass
    return None


def _from_text(text: str) -> timedelta | None:
    for pattern in (_CLOCK, _DAYS, _ISO_8601):
        match = pattern.fullmatch(text)
        if match is None:
            continue
        parts = {name: float(part) for name, part in match.groupdict().items() if part and name != "sign"}
        if not parts:
            return None
        if "hours" in parts and pattern is _CLOCK and "minutes" not in parts:
            parts["minutes"] = parts.pop("hours")
        length = timedelta(**parts)
        return -length if match["sign"] == "-" else length
    return None

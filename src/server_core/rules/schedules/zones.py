"""Wall time and a zone → an instant, by the reference's rule for times a clock change repeats or skips.

The reference (pendulum 2) takes the later of two equal wall times and moves a skipped one forward. All times here are
standard datetimes whose tzinfo is a ZoneInfo; two of the same zone compare by wall time, as in the reference.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from server_core.errors import InvalidInput

UTC_ZONE = ZoneInfo("UTC")


@lru_cache(maxsize=1024)
def load_zone(name: str) -> ZoneInfo:
    """Return the zone with this IANA name.

    Raises:
        InvalidInput: no such zone; the text names it.
    """
    if name.lower() == "utc":
        return UTC_ZONE
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        raise InvalidInput(f"Unknown timezone {name!r}.") from error


def resolve(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return a naive wall time in its zone: the later of two, or moved forward over a gap (actions.md §6.2)."""
    return _settled(wall.replace(tzinfo=zone, fold=0), zone)


def in_zone(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the same instant as the wall clock of `zone` shows it."""
    return moment.astimezone(UTC).astimezone(zone)


def shift(moment: datetime, amount: timedelta) -> datetime:
    """Return a time moved by `amount`: whole days make it step on the wall clock, less than one elapses.

    The reference splits every amount into days and seconds and leaves elapsed time as soon as there are days; hence an
    hourly interval anchored long ago repeats no hour when clocks go back (actions.md §6.2).
    """
    zone = moment.tzinfo
    if not isinstance(zone, ZoneInfo) or zone is UTC_ZONE:
        return moment + amount
    if amount.days:
        # A sum keeps the zone and counts on its wall clock, without a fold.
        return _settled(moment + amount, zone)
    return elapse(moment, amount)


def elapse(moment: datetime, amount: timedelta) -> datetime:
    """Return the time when `amount` has passed since, in the same zone.

    A wall time that comes twice is read as the reference does: the first is the one in summer time. That moves ticks in
    zones whose winter time counts as the exception (Europe/Dublin).
    """
    moved = (moment.astimezone(UTC) + amount).astimezone(moment.tzinfo)
    return moved.replace(fold=0 if moved.dst() else 1)


def _settled(early: datetime, zone: ZoneInfo) -> datetime:
    """Return what `resolve` does for a time that already has the zone, with fold 0."""
    if zone is UTC_ZONE:
        return early
    late = early.replace(fold=1)
    before, after = _offset(early), _offset(late)
    if before == after:
        return early
    return in_zone(early, zone) if before < after else late


def _offset(moment: datetime) -> timedelta:
    offset = moment.utcoffset()
    assert offset is not None  # noqa: S101 - every time here has a zone
    return offset

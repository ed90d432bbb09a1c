"""Which runs are due? The client's schedule documents → events, exactly as its own library computes them.

document (JSON → values) · clocks, cron, recurrence (streams of times) · cron_expression (parses) · filters · schedule
(merges) · planning (what is new) · keys (idempotency) · groups (what a flow group stores) · zones (wall time). All are
pure; the actions call them.
"""

from server_core.rules.schedules.clocks import Clock
from server_core.rules.schedules.document import parse_clock, parse_schedule
from server_core.rules.schedules.groups import CronClockInput, IntervalClockInput, group_schedule_document
from server_core.rules.schedules.keys import has_own_attributes, idempotency_key
from server_core.rules.schedules.schedule import Event, Schedule
from server_core.rules.schedules.zones import load_zone

__all__ = [
    "Clock",
    "CronClockInput",
    "Event",
    "IntervalClockInput",
    "Schedule",
    "group_schedule_document",
    "has_own_attributes",
    "idempotency_key",
    "load_zone",
    "parse_clock",
    "parse_schedule",
]

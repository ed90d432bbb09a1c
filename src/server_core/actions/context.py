"""What every verb is given: the database, the time and the settings. Built once by a service or a loop."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from server_core.actions.flow_memory import FlowMemory
from server_core.clock import Clock, utc_now
from server_core.config import Settings
from server_core.db.session import Database

if TYPE_CHECKING:
    from server_core.actions.hook_delivery import HookDelivery


@dataclass(frozen=True, kw_only=True)
class ActionContext:
    """The seams of the actions; tests pass their own.

    Attributes:
        database: where transactions are opened.
        settings: limits and defaults.
        clock: returns the current time in UTC.
        flows: what runs take from their flows, as it was read last.
        hook_delivery: delivers what is queued for cloud hooks; None: another process does. Whoever makes it stops it.
    """

    database: Database
    settings: Settings = field(default_factory=Settings)
    clock: Clock = utc_now
    flows: FlowMemory = field(default_factory=FlowMemory)
    hook_delivery: "HookDelivery | None" = None

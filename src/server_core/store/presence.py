"""SQL on table service_presence: since when clients have been able to reach the server. Called by actions.presence.

The gateway is the way in. Where none was seen for a day, clients speak to the GraphQL service itself.

All times are the database's, so that no two machines need agree on one.
"""

from datetime import timedelta
from typing import Final, Literal

from server_core.db.session import ReadSession, WriteSession

GAP: Final = timedelta(seconds=30)
"""Nobody heard of for so long was away. Clients beat as often: a shorter absence ages no heartbeat by much."""

FORGOTTEN: Final = timedelta(days=1)
"""Who has been away for so long may never come back: another server, of an older release, has the database."""

Service = Literal["gateway", "graphql"]


async def mark_presence(session: WriteSession, *, service: Service) -> None:
    """Note that a service is there; after an absence, or a change of the clock, its presence begins anew."""
    await session.execute(
        """
        INSERT INTO service_presence AS known (service, since, seen)
        VALUES ($1, clock_timestamp(), clock_timestamp())
        ON CONFLICT (service) DO UPDATE SET
            since = CASE
                WHEN known.seen BETWEEN excluded.seen - $2::interval AND excluded.seen + $2::interval THEN known.since
                ELSE excluded.since
            END,
            seen = excluded.seen
        """,
        service,
        GAP,
    )


async def fetch_presence(session: ReadSession) -> timedelta | None:
    """Return how long the server has been reachable without a gap: 0 if it is not now, None if nobody can say."""
    presence: timedelta | None = await session.fetch_value(
        """
        SELECT CASE
            WHEN seen < clock_timestamp() - $1::interval THEN interval '0'
            ELSE greatest(clock_timestamp() - since, interval '0')
        END
        FROM service_presence
        WHERE service IN ('gateway', 'graphql') AND seen >= clock_timestamp() - $2::interval
        ORDER BY service
        LIMIT 1
        """,
        GAP,
        FORGOTTEN,
    )
    return presence

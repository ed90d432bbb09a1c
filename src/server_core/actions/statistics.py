"""The verb that keeps Postgres's knowledge of our tables fit for their plans. Called by the towel.

Postgres does so itself, after a minute or later, in the order of its own work, and on some servers not at all. A server
that was just installed fills empty tables within that minute, and one whose database was just restored knows nothing of
it: what sessions plan then reads whole tables, and is kept.
"""

from server_core.actions.context import ActionContext
from server_core.store import statistics as store


async def analyze_outgrown_tables(context: ActionContext) -> int:
    """Analyze the tables that have outgrown what is known of them; return how many: one statement if there are none.

    Raises:
        Unavailable: the database cannot be reached, or somebody holds a table; the next pass goes on.
    """
    async with context.database.read() as session:
        names = await store.find_outgrown_tables(session)
    for name in names:
        async with context.database.transaction() as session:
            await store.analyze_table(session, name)
    return len(names)

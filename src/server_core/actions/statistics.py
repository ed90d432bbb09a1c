"""The verb that keeps Postgres's knowledge of our tables fit for their plans. Called by the towel.

Postgres does so itself, after a minute or later, in the order of its own work, and on some servers not at all. A server
that was just installed fills empty tables within that minute, and one whose database was just restored knows nothing of
it: what sessions plan then reads whole tables, and is kept.
"""

import logging

from server_core.actions.context import ActionContext
from server_core.errors import Unavailable
from server_core.store import statistics as store

logger = logging.getLogger(__name__)


async def analyze_outgrown_tables(context: ActionContext) -> int:
    """Analyze the tables that have outgrown what is known of them; return how many: two statements if there are none.

    Raises:
        Unavailable: the database cannot be reached, or somebody holds a table; the next pass goes on.
    """
    async with context.database.transaction() as session:
        names = await store.find_outgrown_tables(session)
    analyzed = 0
    for name in names:
        try:
            async with context.database.transaction() as session:
                await store.analyze_table(session, name)
            analyzed += 1
        except Unavailable:
            raise
        except Exception as error:  # such as an index on what a function makes of a row that it does not take
            logger.warning("table %s cannot be analyzed: %s", name, error)
    return analyzed

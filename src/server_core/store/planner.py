"""How Postgres is to plan the statements of a transaction. Called by store.tasks and actions.schedules."""

from server_core.db.session import WriteSession


async def prefer_indexes(session: WriteSession) -> None:
    """Let this transaction use indexes whatever the statistics say.

    A young database fills tables that the planner believes to be empty; the plans it then makes, inside of triggers
    too, read the whole table for each new row, and stay until someone analyzes the table.
    """
    await session.execute("SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)")

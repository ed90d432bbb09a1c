"""Advisory locks of a transaction: who comes second waits until the first has committed. Called by actions."""

from server_core.db.session import WriteSession


async def wait_for(session: WriteSession, name: str) -> None:
    """Take the lock of a name until this transaction ends, waiting for whoever has it."""
    await session.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name)

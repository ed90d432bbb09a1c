"""Scripts → answers: plays a mutation on a connection that may write, in one transaction. Called by app.

Nothing is ever written twice: what is tried again is a transaction that Postgres has undone, or one that did not begin
because its connection was dead.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import asyncpg

from services.data.errors import DataError
from services.data.execute import LOST, NotBegun, Postgres, check_number
from services.data.sql.script import Call, Records, Script

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

ATTEMPTS: Final = 3
_UNDONE: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class Writer:
    """Runs mutations.

    Args:
        postgres: connections that may write; opened and closed by the caller.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def run(self, script: Script, variables: Mapping[str, Any]) -> dict[str, bytes]:
        """Do everything a mutation says, or nothing; return the answer of each root field as JSON.

        Raises:
            DataError: Postgres refuses a statement or cannot be reached, or a row that others need is not there.
        """
        attempt = 1
        while True:
            try:
                return await self._once(script, variables)
            except (*_UNDONE, NotBegun) as error:
                if attempt == ATTEMPTS:
                    cause = error.cause if isinstance(error, NotBegun) else error
                    raise self._postgres.translated(cause) from error
            attempt += 1

    async def _once(self, script: Script, variables: Mapping[str, Any]) -> dict[str, bytes]:
        playing = script.play(variables)
        try:
            call = next(playing)
        except StopIteration as end:
            return dict(end.value)
        try:
            async with self._postgres.transaction() as connection:
                while True:
                    rows = await self._call(connection, call)
                    try:
                        call = playing.send(rows)
                    except StopIteration as end:
                        answer = dict(end.value)
                        break
            return answer
        except (DataError, NotBegun, *_UNDONE):
            raise
        except Exception as error:
            raise self._postgres.translated(error) from error

    async def _call(self, connection: "Connection", call: Call) -> Records:
        check_number(call.parameters)
        try:
            return cast("Records", await connection.fetch(call.text, *call.parameters))
        except (*_UNDONE, *LOST):
            raise
        except Exception as error:
            raise self._postgres.translated(error, path=call.path) from error

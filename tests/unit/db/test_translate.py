"""Driver errors → our error tree."""

import asyncpg
import pytest

from server_core.db.session import translate
from server_core.errors import (
    ConstraintViolation,
    ForeignKeyViolation,
    InvalidInput,
    NotFound,
    Unavailable,
    UniquenessViolation,
)


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (asyncpg.UniqueViolationError("key tenant_slug_key"), UniquenessViolation, "Uniqueness violation."),
        (asyncpg.ForeignKeyViolationError("fk"), ForeignKeyViolation, "Foreign key violation."),
        (asyncpg.NotNullViolationError("null"), ConstraintViolation, "Not-NULL violation."),
        (asyncpg.DataError("invalid input for query argument $1"), InvalidInput, "Invalid value: "),
        (asyncpg.StringDataRightTruncationError("value too long"), InvalidInput, "Invalid value: "),
        (asyncpg.CharacterNotInRepertoireError("0x00"), InvalidInput, "Invalid value: "),
        (asyncpg.ProgramLimitExceededError("index row too big"), InvalidInput, "Invalid value: it is too"),
        (asyncpg.StatementTooComplexError("stack depth limit exceeded"), InvalidInput, "Invalid value: it is too"),
    ],
)
def test_what_a_client_caused(raised: Exception, expected: type[Exception], message: str) -> None:
    translated = translate(raised)
    assert type(translated) is expected
    assert str(translated).startswith(message)


@pytest.mark.parametrize(
    "raised",
    [
        ConnectionRefusedError("refused"),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError("gone"),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.AdminShutdownError("terminating"),
        asyncpg.TooManyConnectionsError("too many"),
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.QueryCanceledError("statement timeout"),
        asyncpg.ReadOnlySQLTransactionError("a standby after a fail-over"),
        asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
        asyncpg.ObjectNotInPrerequisiteStateError('database "x" is not currently accepting connections'),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InterfaceError("pool is closing"),
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    ],
)
def test_what_another_attempt_may_mend(raised: Exception) -> None:
    translated = translate(raised)
    assert isinstance(translated, Unavailable)
    assert translated.code == "API_ERROR"
    assert str(raised) not in translated.message or not str(raised)


def test_a_statement_that_was_stopped() -> None:
    """actions.md §0.3: in the words that the UI compares."""
    assert str(translate(asyncpg.QueryCanceledError("canceling statement due to statement timeout"))) == (
        "Operation timed out"
    )


@pytest.mark.parametrize(
    "raised",
    [
        asyncpg.UndefinedColumnError("a defect"),
        asyncpg.PostgresSyntaxError("a defect"),
        asyncpg.InterfaceError("the server expects 1 argument for this query, 2 were passed"),
        NotFound("ours already"),
        KeyError("unrelated"),
    ],
)
def test_everything_else_is_left_alone(raised: Exception) -> None:
    assert translate(raised) is None

"""What can go wrong in the data API, in the shape clients of Hasura know (data-api.md §2.6). Translated once, in app.

DataError                    code                  status at /v1alpha1
├── ValidationFailed         validation-failed     400   the document or its variables
├── ParseFailed              parse-failed          400   a value out of range
├── NotSupported             not-supported         400   a required function argument is missing
├── UnexpectedPayload        unexpected-payload    400   a subscription over HTTP
├── DataException            data-exception        400   Postgres could not read a value
├── BadRequest               bad-request           400   … an escape sequence in it
├── ConstraintViolation      constraint-violation  400   what would be written breaks a key
├── CheckViolation           permission-error      400   … or a check
├── ConstraintError          constraint-error      400   names something the database does not have
├── TimedOut                 timeout               400   the statement took longer than the setting allows
├── ConnectionFailed         postgres-error        500   the database cannot be reached
│   └── Busy                 API_ERROR             503   too many wait for it; nothing was asked
└── Unexpected               unexpected            500   anything else Postgres complains about; masked
"""

from typing import Any, ClassVar

from server_core.errors import ServerError


class DataError(ServerError):
    """A failure of one operation; `path` says where in the request, as a JSON path."""

    status: ClassVar[int] = 400

    def __init__(self, message: str, *, path: str = "$") -> None:
        super().__init__(message)
        self.path = path

    def entry(self) -> dict[str, Any]:
        """Return the error as it stands in a response."""
        return {"extensions": {"path": self.path, "code": self.code}, "message": self.message}


class ValidationFailed(DataError):
    """The document or its variables do not fit the schema."""

    code = "validation-failed"


class ParseFailed(DataError):
    """A value is of the right kind but out of range."""

    code = "parse-failed"


class NotSupported(DataError):
    """A function argument without a default is missing."""

    code = "not-supported"


class UnexpectedPayload(DataError):
    """A subscription that did not come over a WebSocket."""

    code = "unexpected-payload"


class DataException(DataError):
    """Postgres could not read or compute a value (SQLSTATE class 22)."""

    code = "data-exception"


class BadRequest(DataError):
    """A value has a bad escape sequence (SQLSTATE 22025)."""

    code = "bad-request"


class ConstraintViolation(DataError):
    """A row would break a constraint: a key, a reference, NOT NULL (SQLSTATE class 23)."""

    code = "constraint-violation"


class CheckViolation(DataError):
    """A row would break a check constraint, or not be visible in the view it is written to."""

    code = "permission-error"


class ConstraintError(DataError):
    """The statement named something that is not there, or one row twice in an upsert (SQLSTATE 42704, 42P10, 21000)."""

    code = "constraint-error"


class TimedOut(DataError):
    """Postgres stopped the statement after the time that settings allow."""

    code = "timeout"


class ConnectionFailed(DataError):
    """The database cannot be reached."""

    code = "postgres-error"
    status = 500

    def __init__(self, message: str = "connection error") -> None:
        super().__init__(message)


class Busy(ConnectionFailed):
    """No connection to the database was free in time; the code makes the 1.x client send the request again."""

    code = "API_ERROR"
    status = 503


class Unexpected(DataError):
    """Postgres or this service failed; the cause is in the log under `id`, not in the message."""

    code = "unexpected"
    status = 500

    def __init__(self, message: str = "database query error", *, id: str = "", path: str = "$") -> None:
        super().__init__(message, path=path)
        self.id = id

    def entry(self) -> dict[str, Any]:
        """Return the error with the id under which its cause was logged."""
        entry = super().entry()
        if self.id:
            entry["extensions"]["id"] = self.id
        return entry

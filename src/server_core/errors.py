"""The one error tree: what can go wrong, with a stable code and a message that a client may read.

Every door (a GraphQL resolver, the data API, the CLI) translates this tree once. An error outside the tree is a
defect: it is masked for the client and logged with an id.

    ServerError                     INTERNAL_SERVER_ERROR
    ├── ConfigError                 CONFIG_ERROR            a setting is wrong; names the key
    ├── InvalidInput                INVALID_INPUT           a value the client sent cannot be used
    │   └── PayloadTooLarge         PAYLOAD_TOO_LARGE
    ├── NotFound                    NOT_FOUND               an id names nothing
    ├── StateUpdateFailed           STATE_UPDATE_FAILED     text holds "State update failed" (agents match on it)
    │   └── VersionLocked           VERSION_LOCKING_ERROR   the run has moved on; clients adopt what it is now
    ├── ConstraintViolation         constraint-violation    Postgres refused the row
    │   ├── UniquenessViolation                             exactly "Uniqueness violation."
    │   └── ForeignKeyViolation                             exactly "Foreign key violation."
    └── Unavailable                 API_ERROR               the database is away; the client sends again
        ├── Overloaded              API_ERROR               turned away, not begun; the client sends again
        └── OutcomeUnknown          OUTCOME_UNKNOWN         it went away while it committed; sending again may double

Clients send again whatever has the code API_ERROR, so it stands only for what was not carried out or may be repeated.
"""

from typing import ClassVar


class ServerError(Exception):
    """A failure whose message may be shown to a client.

    Args:
        message: the text for the client; plain, no internals.
    """

    code: ClassVar[str] = "INTERNAL_SERVER_ERROR"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(ServerError):
    """A setting cannot be used; the message names its key."""

    code = "CONFIG_ERROR"


class InvalidInput(ServerError):
    """The client sent a value that cannot be used; nothing was changed."""

    code = "INVALID_INPUT"


class PayloadTooLarge(InvalidInput):
    """A document, state or artifact is over its size limit."""

    code = "PAYLOAD_TOO_LARGE"


class NotFound(ServerError):
    """An id names nothing."""

    code = "NOT_FOUND"


class StateUpdateFailed(ServerError):
    """A state was refused; the text always begins with the words agents look for (actions.md §3.4, §3.5)."""

    code = "STATE_UPDATE_FAILED"

    def __init__(self, reason: str) -> None:
        super().__init__(f"State update failed: {reason}")


class VersionLocked(StateUpdateFailed):
    """A state was meant for a version that the run no longer has; clients match on the code (actions.md §3.7)."""

    code = "VERSION_LOCKING_ERROR"


class ConstraintViolation(ServerError):
    """Postgres refused the row."""

    code = "constraint-violation"


class UniquenessViolation(ConstraintViolation):
    """A unique key is taken; clients compare the whole message (actions.md §0.3)."""

    def __init__(self) -> None:
        super().__init__("Uniqueness violation.")


class ForeignKeyViolation(ConstraintViolation):
    """A row refers to something that does not exist."""

    def __init__(self) -> None:
        super().__init__("Foreign key violation.")


class Unavailable(ServerError):
    """The database cannot be reached; code API_ERROR makes the 1.x client send the request again."""

    code = "API_ERROR"


class Overloaded(Unavailable):
    """There is more to do than can be done in time; this was turned away before it was begun."""


class OutcomeUnknown(Unavailable):
    """The connection was lost while a change was being committed that must not be made twice.

    Its code keeps the 1.x client from sending the request again by itself (actions.md §0.3).
    """

    code = "OUTCOME_UNKNOWN"

    def __init__(self) -> None:
        super().__init__(
            "The connection to the database was lost; the change may have been made or not. Look before trying again."
        )

"""The error tree: each class has the code that clients and operators know it by (actions.md §0.3)."""

from collections.abc import Iterator

from server_core import errors

CODES = {
    "ServerError": "INTERNAL_SERVER_ERROR",
    "ConfigError": "CONFIG_ERROR",
    "InvalidInput": "INVALID_INPUT",
    "PayloadTooLarge": "PAYLOAD_TOO_LARGE",
    "NotFound": "NOT_FOUND",
    "StateUpdateFailed": "STATE_UPDATE_FAILED",
    "VersionLocked": "VERSION_LOCKING_ERROR",
    "ConstraintViolation": "constraint-violation",
    "UniquenessViolation": "constraint-violation",
    "ForeignKeyViolation": "constraint-violation",
    "Unavailable": "API_ERROR",
    "OutcomeUnknown": "OUTCOME_UNKNOWN",
    "Overloaded": "API_ERROR",
}


def family(kind: type[errors.ServerError]) -> Iterator[type[errors.ServerError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


def test_codes_are_stable() -> None:
    """A client may rely on a code: none changes, and a new class says here what its code is."""
    found = {kind.__name__: kind.code for kind in family(errors.ServerError) if kind.__module__ == errors.__name__}
    assert found == CODES


def test_only_what_was_not_carried_out_makes_clients_send_again() -> None:
    """§0.3: they look for API_ERROR anywhere in the errors, so no other code and no fixed text may hold it."""
    for name, code in CODES.items():
        assert ("API_ERROR" in code) is (name in ("Unavailable", "Overloaded"))
    assert "API_ERROR" not in str(errors.OutcomeUnknown())


def test_the_tree_is_drawn_as_it_is() -> None:
    """The module's docstring shows every class with its code."""
    drawn = errors.__doc__ or ""
    assert all(name in drawn and code in drawn for name, code in CODES.items())

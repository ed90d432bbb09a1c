"""Refuses arguments that no client can send but a Python caller can: ids that are missing. Called by the verbs."""

from server_core.errors import InvalidInput


def require(**arguments: object) -> None:
    """Check that every argument has a value (actions.md §0.4).

    Raises:
        InvalidInput: one is None or empty; the message names it.
    """
    for name, value in arguments.items():
        if value is None or value == "":
            raise InvalidInput(f"Invalid {name}: a value is required.")

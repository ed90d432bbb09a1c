"""SQL → run on the connection of a revision, or written down where alembic writes it only. Called by migrations/."""

from pathlib import Path

from alembic import op


def run_script(path: Path) -> None:
    """Run a file of several statements; only the driver takes more than one at a time."""
    text = path.read_text(encoding="utf-8")
    if writes_only():
        op.get_context().impl.static_output(text)
        return
    driver = op.get_bind().connection.dbapi_connection
    driver.run_async(lambda connection: connection.execute(text))  # type: ignore[union-attr]


def run_statement(statement: str) -> None:
    """Run one statement as it is written."""
    if writes_only():
        op.get_context().impl.static_output(f"{statement};\n")
        return
    op.get_bind().exec_driver_sql(statement)


def writes_only() -> bool:
    """Tell whether there is no database: the statements are only written (`alembic upgrade --sql`, a dry run)."""
    return bool(op.get_context().as_sql)

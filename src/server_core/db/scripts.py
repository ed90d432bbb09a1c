"""SQL → run on the connection of a revision, or written down where alembic writes it only. Called by migrations/."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from alembic import op

from server_core.db.folders import migrations_folder


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


def renew_functions(made_before: Mapping[str, Sequence[str]]) -> None:
    """Give functions of `public` the text that migrations/sql has now, if the one they have is ours.

    A function that somebody set options of stays as it is, and one of a role whose rights we do not have.

    Args:
        made_before: function → MD5 of the texts that we gave it.
    """
    for name, digests in made_before.items():
        text = (migrations_folder() / f"sql/functions/{name}.sql").read_text(encoding="utf-8")
        text = text.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
        ours = ", ".join(f"'{digest}'" for digest in digests)
        run_statement(f"""
DO $do$
BEGIN
    IF EXISTS (
        SELECT FROM pg_proc
        WHERE oid = to_regproc('public.{name}')
            AND md5(prosrc) IN ({ours})
            AND pg_has_role(proowner, 'USAGE')
            AND proconfig IS NULL
            AND NOT prosecdef
    ) THEN
        EXECUTE $text${text}$text$;
    END IF;
END
$do$""")


def writes_only() -> bool:
    """Tell whether there is no database: the statements are only written (`alembic upgrade --sql`, a dry run)."""
    return bool(op.get_context().as_sql)

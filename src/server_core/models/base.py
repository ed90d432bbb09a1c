"""What all tables share: one MetaData, the names of keys, the columns that every table has.

Called by every file of models and by migrations/env.py. Tables, not mapped classes: the store speaks SQL, so there is
nothing to load lazily.
"""

from sqlalchemy import TIMESTAMP, UUID, Column, ForeignKey, Index, MetaData, text

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)
"""All tables. Keys and indexes that do not follow the pattern are named where they stand (schema.md §5)."""


def identity() -> Column[object]:
    """The primary key `id`, a random UUID."""
    return Column("id", UUID, primary_key=True, server_default=text("gen_random_uuid()"))


def created() -> Column[object]:
    """When the row was inserted: the start of that transaction."""
    return Column("created", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()"))


def updated(*, index: bool = False) -> Column[object]:
    """When the row was last changed; a trigger sets it."""
    return Column("updated", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()"), index=index)


def owner(*, nullable: bool = True) -> Column[object]:
    """The tenant the row belongs to and disappears with."""
    return reference("tenant_id", "tenant", nullable=nullable)


def reference(
    column: str, table: str, *, name: str | None = None, ondelete: str = "CASCADE", nullable: bool = True
) -> Column[object]:
    """A column that holds the id of a row of another table, with an index of its own.

    Args:
        column: its name.
        table: the other table.
        name: name of the key where it does not follow the pattern.
        ondelete: what becomes of the row when the other one is deleted.
        nullable: whether it may be empty.
    """
    key = ForeignKey(f"{table}.id", name=name, ondelete=ondelete)
    return Column(column, UUID, key, index=True, nullable=nullable)


def trigram_index(name: str, column: str, *, where: str | None = None) -> Index:
    """An index for searches by part of a name; not there where Postgres has no pg_trgm."""
    return Index(
        name,
        column,
        postgresql_using="gin",
        postgresql_ops={column: "gin_trgm_ops"},
        postgresql_where=None if where is None else text(where),
        info={"extension": "pg_trgm"},
    )

"""Writes → INSERT, UPDATE and DELETE, each one statement. Called by script.

A statement returns either what later ones need (a row of texts for each row written), or one row: how many rows were
written and, read from a WITH that holds them, what is to be answered.
"""

from typing import Final, LiteralString

from services.data.catalog.model import Column
from services.data.plan.changes import Assignment, Conflict, Delete, Insert, Step, Update, Write
from services.data.plan.tree import Query
from services.data.plan.values import TEXT, Items, Source, Value
from services.data.sql.aliases import Aliases
from services.data.sql.conditions import where_sql
from services.data.sql.fragment import EMPTY, Fragment, cast, column, identifier, join, qualified, sql, value
from services.data.sql.queries import query_sql
from services.data.sql.rows import WRITTEN

ASSIGNMENTS: Final[dict[str, LiteralString]] = {
    "_set": "{value}",
    "_inc": "{column} + {value}",
    "_append": "{column} || {value}",
    "_prepend": "{value} || {column}",
    "_delete_key": "{column} - {value}",
    "_delete_elem": "{column} - {value}",
    "_delete_at_path": "{column} #- {value}",
}


def step_sql(step: Step) -> Fragment:
    """Return the statement of a step."""
    aliases = Aliases()
    alias = aliases.next()
    write = _write(step.write, alias, aliases)
    if step.columns or step.image:
        texts = [sql("({column})::text", column=column(alias, name)) for name in step.columns]
        if step.image:
            texts.append(sql("({alias}.*)::text", alias=identifier(alias)))
        return sql("{write} RETURNING {texts}", write=write, texts=join(", ", texts))
    answers = [sql(", ({query})", query=query_sql(query, "", aliases)) for query in step.answers]
    return sql(
        "WITH {written} AS ({write} RETURNING {rows}) SELECT (SELECT count(*) FROM {written}){answers}",
        written=identifier(WRITTEN),
        write=write,
        rows=sql("{alias}.*", alias=identifier(alias)) if answers else sql("1"),
        answers=join("", answers),
    )


def reads_sql(reads: tuple[Query, ...]) -> Fragment:
    """Return a SELECT of one row with a column for each query."""
    aliases = Aliases()
    return sql("SELECT {columns}", columns=join(", ", [sql("({q})", q=query_sql(each, "", aliases)) for each in reads]))


def _write(write: Write, alias: str, aliases: Aliases) -> Fragment:
    match write:
        case Insert():
            return _insert(write, alias, aliases)
        case Update(table=table, assignments=assignments, where=where):
            return sql(
                "UPDATE {table} AS {alias} SET {assignments}{where}",
                table=qualified(table),
                alias=identifier(alias),
                assignments=join(", ", [_assignment(each, alias) for each in assignments]),
                where=_where(where_sql((), where, outer="", inner=alias, aliases=aliases)),
            )
        case Delete(table=table, where=where):
            return sql(
                "DELETE FROM {table} AS {alias}{where}",
                table=qualified(table),
                alias=identifier(alias),
                where=_where(where_sql((), where, outer="", inner=alias, aliases=aliases)),
            )


def _insert(write: Insert, alias: str, aliases: Aliases) -> Fragment:
    return sql(
        "INSERT INTO {table} AS {alias} ({columns}) {rows}{conflict}",
        table=qualified(write.table),
        alias=identifier(alias),
        columns=join(", ", [identifier(each.name) for each in write.columns]),
        rows=_rows(write),
        conflict=_conflict(write.conflict, alias, aliases) if write.conflict else EMPTY,
    )


def _rows(write: Insert) -> Fragment:
    """Return rows: a list of values for each; or, if all have the same columns, an array for each column.

    With arrays the text does not depend on the number of rows.
    """
    if len(write.rows) > 1 and all(cell is not None for row in write.rows for cell in row):
        names = [f"c{number}" for number, _ in enumerate(write.columns, 1)]
        arrays = [
            Items(items=tuple(cell for cell in cells if cell is not None)) for cells in zip(*write.rows, strict=True)
        ]
        return sql(
            "SELECT {cells} FROM unnest({arrays}) WITH ORDINALITY AS k ({names}, n) ORDER BY k.n",
            cells=join(
                ", ",
                [cast(column("k", name), each.type) for name, each in zip(names, write.columns, strict=True)],
            ),
            arrays=join(", ", [value(Value(source=array, type=TEXT, many=True)) for array in arrays]),
            names=join(", ", [identifier(name) for name in names]),
        )
    rows = [
        join(", ", [_cell(cell, each) for cell, each in zip(row, write.columns, strict=True)]) for row in write.rows
    ]
    return sql("VALUES {rows}", rows=join(", ", [sql("({row})", row=row) for row in rows]))


def _cell(cell: Source | None, of: Column) -> Fragment:
    return sql("DEFAULT") if cell is None else value(Value(source=cell, type=of.type))


def _conflict(conflict: Conflict, alias: str, aliases: Aliases) -> Fragment:
    constraint = identifier(conflict.constraint)
    if not conflict.columns:
        return sql(" ON CONFLICT ON CONSTRAINT {constraint} DO NOTHING", constraint=constraint)
    taken = [
        sql("{name} = {given}", name=identifier(name), given=column("excluded", name)) for name in conflict.columns
    ]
    return sql(
        " ON CONFLICT ON CONSTRAINT {constraint} DO UPDATE SET {taken}{where}",
        constraint=constraint,
        taken=join(", ", taken),
        where=_where(where_sql((), conflict.where, outer="", inner=alias, aliases=aliases)),
    )


def _assignment(assignment: Assignment, alias: str) -> Fragment:
    target = assignment.column
    computed = sql(ASSIGNMENTS[assignment.operator], column=column(alias, target.name), value=value(assignment.value))
    return sql("{name} = {computed}", name=identifier(target.name), computed=computed)


def _where(condition: Fragment | None) -> Fragment:
    return sql(" WHERE {condition}", condition=condition) if condition else EMPTY

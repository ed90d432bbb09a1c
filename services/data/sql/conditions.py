"""Conditions and joins → boolean SQL. Every operator's spelling stands here."""

from typing import Final, LiteralString

from services.data.catalog.model import Column
from services.data.plan.tree import And, Compare, Condition, Exists, IsNull, Join, Not, Or
from services.data.sql.aliases import Aliases
from services.data.sql.fragment import Fragment, cast, column, identifier, join, qualified, sql, value

COMPARISONS: Final[dict[str, LiteralString]] = {
    "_eq": "{column} = {value}",
    "_neq": "{column} <> {value}",
    "_gt": "{column} > {value}",
    "_gte": "{column} >= {value}",
    "_lt": "{column} < {value}",
    "_lte": "{column} <= {value}",
    "_in": "{column} = ANY ({value})",
    "_nin": "NOT ({column} = ANY ({value}))",
    "_like": "{column} LIKE {value}",
    "_nlike": "{column} NOT LIKE {value}",
    "_ilike": "{column} ILIKE {value}",
    "_nilike": "{column} NOT ILIKE {value}",
    "_similar": "{column} SIMILAR TO {value}",
    "_nsimilar": "{column} NOT SIMILAR TO {value}",
    "_regex": "{column} ~ {value}",
    "_iregex": "{column} ~* {value}",
    "_nregex": "{column} !~ {value}",
    "_niregex": "{column} !~* {value}",
    "_contains": "{column} @> {value}",
    "_contained_in": "{column} <@ {value}",
    "_has_key": "{column} ? {value}",
    "_has_keys_any": "{column} ?| {value}",
    "_has_keys_all": "{column} ?& {value}",
}

TRUE: Final = sql("true")
FALSE: Final = sql("false")


def condition_sql(condition: Condition, alias: str, aliases: Aliases) -> Fragment:
    """Return a condition on the row that `alias` stands for."""
    match condition:
        case And(items=()):
            return TRUE
        case And(items=items):
            return join(" AND ", [_operand(item, alias, aliases) for item in items])
        case Or(items=()):
            return FALSE
        case Or(items=items):
            return join(" OR ", [_operand(item, alias, aliases) for item in items])
        case Not(item=item):
            return sql("NOT ({item})", item=condition_sql(item, alias, aliases))
        case Compare(column=compared, operator=operator, value=operand):
            return sql(COMPARISONS[operator], column=_compared(alias, compared), value=value(operand))
        case IsNull(column=tested, null=True):
            return sql("{column} IS NULL", column=column(alias, tested.name))
        case IsNull(column=tested):
            return sql("{column} IS NOT NULL", column=column(alias, tested.name))
        case Exists(name=name, join=pairs, where=where):
            inner = aliases.next()
            return sql(
                "EXISTS (SELECT 1 FROM {table} AS {alias} WHERE {where})",
                table=qualified(name),
                alias=identifier(inner),
                where=where_sql(pairs, where, outer=alias, inner=inner, aliases=aliases) or TRUE,
            )


def where_sql(pairs: Join, condition: Condition, *, outer: str, inner: str, aliases: Aliases) -> Fragment | None:
    """Return the join to the outer row and the condition; None if every row qualifies."""
    terms = [sql("{inner} = {outer}", inner=column(inner, remote), outer=column(outer, own)) for own, remote in pairs]
    if condition != And(items=()):
        terms.append(_operand(condition, inner, aliases) if terms else condition_sql(condition, inner, aliases))
    return join(" AND ", terms) if terms else None


def _compared(alias: str, compared: Column) -> Fragment:
    """Return a column to compare; operators of enums do not see through a domain."""
    own = column(alias, compared.name)
    return cast(own, compared.type) if compared.domain and compared.type.kind == "e" else own


def _operand(condition: Condition, alias: str, aliases: Aliases) -> Fragment:
    """Return a condition as part of a larger one."""
    fragment = condition_sql(condition, alias, aliases)
    match condition:
        case Or(items=(_, _, *_)) | And(items=(_, _, *_)):
            return sql("({condition})", condition=fragment)
    return fragment

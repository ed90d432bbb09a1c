"""Turns the introspection results of the two upstreams into one schema that knows who answers each root field.

Called by schemas whenever both upstreams are known. Works on introspection results because names, not objects, tie
their types together: a union of names is the whole of stitching (data-api.md §3.2).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from graphql import GraphQLSchema, OperationType, build_client_schema, validate_schema

Introspection = Mapping[str, Any]
"""The `data` of an answer to the introspection query: `{"__schema": {…}}`."""

_ROOTS = {
    OperationType.QUERY: ("queryType", "Query"),
    OperationType.MUTATION: ("mutationType", "Mutation"),
    OperationType.SUBSCRIPTION: ("subscriptionType", "Subscription"),
}
_DIRECTIVES = frozenset({"include", "skip", "deprecated"})


class Owner(StrEnum):
    """Who answers a root field."""

    DATA = "data"
    ACTIONS = "actions"
    GATEWAY = "gateway"


@dataclass(frozen=True, kw_only=True)
class StitchedSchema:
    """The one schema that clients see.

    Attributes:
        schema: both upstreams united; root types are Query, Mutation and Subscription.
        owners: per kind of operation, who answers each root field.
    """

    schema: GraphQLSchema
    owners: Mapping[OperationType, Mapping[str, Owner]]

    def owner(self, kind: OperationType, field: str) -> Owner:
        """Return who answers a root field; introspection and `__typename` belong to the gateway."""
        return Owner.GATEWAY if field.startswith("__") else self.owners[kind][field]


def stitch(data: Introspection, actions: Introspection) -> StitchedSchema:
    """Unite two schemas.

    Root fields are united; where both have a field of one name the action wins completely (arguments, type, owner).
    So do other types of one name. Only data has subscriptions. Directives other than include, skip and deprecated are
    dropped.

    Raises:
        ValueError, TypeError, KeyError: an introspection result is incomplete or the united schema is not valid.
    """
    upstreams = ((Owner.DATA, _renamed(data["__schema"])), (Owner.ACTIONS, _renamed(actions["__schema"])))
    types: dict[str, Any] = {}
    directives: dict[str, Any] = {}
    roots: dict[OperationType, dict[str, Any]] = {}
    owners: dict[OperationType, dict[str, Owner]] = {}
    for owner, upstream in upstreams:
        members = {member["name"]: member for member in upstream["types"]}
        for kind, (role, name) in _ROOTS.items():
            if upstream.get(role) is None:
                continue
            root = members.pop(name)
            if kind is OperationType.SUBSCRIPTION and owner is not Owner.DATA:
                continue
            for field in root["fields"]:
                roots.setdefault(kind, {})[field["name"]] = field
                owners.setdefault(kind, {})[field["name"]] = owner
        types |= members
        directives |= {each["name"]: each for each in upstream["directives"] if each["name"] in _DIRECTIVES}
    for kind, fields in roots.items():
        name = _ROOTS[kind][1]
        types[name] = {"kind": "OBJECT", "name": name, "fields": list(fields.values()), "interfaces": []}
    united: dict[str, Any] = {"types": list(types.values()), "directives": list(directives.values())}
    for kind, (role, name) in _ROOTS.items():
        united[role] = {"name": name} if kind in roots else None
    schema = build_client_schema({"__schema": united})  # type: ignore[typeddict-item]
    if problems := validate_schema(schema):
        raise ValueError("The united schema is not valid: " + " ".join(problem.message for problem in problems))
    return StitchedSchema(schema=schema, owners=owners)


def _renamed(upstream: Mapping[str, Any]) -> dict[str, Any]:
    """Return an introspected schema whose root types have the gateway's names, wherever they are mentioned."""
    names = {upstream[role]["name"]: name for role, name in _ROOTS.values() if upstream.get(role) is not None}
    result: dict[str, Any] = _rename(upstream, {old: new for old, new in names.items() if old != new})
    return result


def _rename(value: Any, names: Mapping[str, str]) -> Any:
    """Copy a piece of introspection; an object type (or root reference) named in `names` gets its new name."""
    if isinstance(value, list):
        return [_rename(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    copy = {key: _rename(item, names) for key, item in value.items()}
    if value.get("name") in names and (value.get("kind") == "OBJECT" or value.keys() <= {"name", "kind"}):
        copy["name"] = names[value["name"]]
    return copy

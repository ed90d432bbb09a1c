"""A seed and a schema → documents of one shape or nearly so: valid, nearly valid, broken. Used by tests of plan caches.

A sketch is a document with holes for literals. Its variants fill the holes differently, so that whoever shares work
among documents of one shape is tempted to share too much: values out of range, of other kinds, equal and unequal where
that decides, written in all the ways the language has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

STRINGS = [
    '""',
    '"a"',
    '"b"',
    '"a # no comment"',
    '"\\u0041\\n\\""',
    '"☃"',
    '"""block \\""" " #"""',
    '""""""',
    '"it\'s 1"',
]
INTS = ["0", "1", "2", "-1", "2147483647", "2147483648", "-2147483648", "-2147483649", "12345678901234567890"]
FLOATS = ["1.5", "-0.0", "1e3", "2.50E-1", "1e999"]
ODD = ['"\\u{41}"', "007", "1a", '"', '"""', "true", "null", "A", "$x", "[1, 2]", '["a"]', "{a: 1}", '"\\x"', "1.", "-"]
KINDS = {"string": STRINGS, "int": INTS, "float": FLOATS}
SPACES = [" ", ", ", "\n  ", ' # it\'s a "comment" 1\n', ",,", "\r\n"]


@dataclass(frozen=True)
class Hole:
    """A place for a literal."""

    kind: str


@dataclass
class Sketch:
    """A document with holes; `variant` fills them."""

    parts: list[str | Hole]

    def variant(self, random: Random) -> str:
        """Return a document: mostly of the same shape as the others, sometimes with other kinds, seldom broken."""
        odd = random.random()
        few = random.random() < 0.4
        text = []
        for part in self.parts:
            if isinstance(part, str):
                text.append(part)
                continue
            kind = random.choice(list(KINDS)) if odd < 0.1 and random.random() < 0.3 else part.kind
            pool = ODD if odd > 0.95 and random.random() < 0.3 else KINDS[kind]
            text.append(random.choice(pool[:3] if few else pool))
        written = "".join(text)
        if 0.1 < odd < 0.15 and written:
            at = random.randrange(len(written))
            written = written[:at] + random.choice(['"', "#", "1", "-", " ", "\\", ".", "a"]) + written[at + 1 :]
        return written


def sketch(random: Random, schema: GraphQLSchema, *, operations: tuple[str, ...] = ("query",)) -> Sketch:
    """Return a sketch of an operation on a schema."""
    return _Sketcher(random, schema).document(random.choice(operations))


class _Sketcher:
    def __init__(self, random: Random, schema: GraphQLSchema) -> None:
        self.random = random
        self.schema = schema
        self.variables: dict[str, str] = {}
        self.fragments: dict[str, list[str | Hole]] = {}
        self.aliases = 0

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def space(self) -> str:
        return " " if self.chance(0.8) else self.random.choice(SPACES)

    def document(self, operation: str) -> Sketch:
        root = {
            "query": self.schema.query_type,
            "mutation": self.schema.mutation_type,
            "subscription": self.schema.subscription_type,
        }[operation]
        assert root is not None
        body = self.selection(root, 0) if operation != "subscription" else self.single(root)
        parts: list[str | Hole] = [operation if self.variables or self.chance(0.5) or operation != "query" else ""]
        if self.variables:
            parts.append(" q(")
            for name, type in self.variables.items():
                parts.append(f"${name}: {type}")
                if type in ("Int", "String") and self.chance(0.5):
                    parts += [" = ", Hole("int" if type == "Int" else "string")]
                parts.append(self.space())
            parts.append(")")
        parts += [self.space(), *body]
        for name in list(self.fragments):
            parts += ["\n", *self.fragments[name]]
        return Sketch(parts)

    def single(self, type: GraphQLObjectType) -> list[str | Hole]:
        name = self.random.choice(list(type.fields))
        return ["{ ", *self.field(name, type.fields[name], 0), " }"]

    def selection(self, type: GraphQLObjectType, depth: int) -> list[str | Hole]:
        parts: list[str | Hole] = ["{", self.space()]
        names = list(type.fields)
        chosen: list[tuple[str, list[str | Hole]]] = []
        for _ in range(self.random.randint(1, 3 if depth < 2 else 2)):
            odd = self.random.random()
            if odd < 0.12 and chosen:
                name, same = self.random.choice(chosen)
                parts += [*same, self.space()]
            elif odd < 0.2:
                condition = self.random.choice(["", " @include(if: true)", " @skip(if: $yes)"])
                if "$yes" in condition:
                    self.variables["yes"] = "Boolean!"
                parts += ["... ", f"on {type.name}" if self.chance(0.5) else "", condition, " "]
                parts += [*self.selection(type, depth), self.space()]
            elif odd < 0.26 and depth < 3 and len(self.fragments) < 3:
                parts += [f"...{self.fragment(type, depth)}", self.space()]
            elif odd < 0.3:
                parts += ["__typename", self.space()]
            else:
                name = self.random.choice(names)
                written = self.field(name, type.fields[name], depth)
                if written:
                    chosen.append((name, written))
                    parts += [*written, self.space()]
        if len(parts) <= 2:
            parts.append("__typename")
        return [*parts, "}"]

    def fragment(self, type: GraphQLObjectType, depth: int) -> str:
        name = f"F{len(self.fragments)}"
        self.fragments[name] = []
        self.fragments[name] = [f"fragment {name} on {type.name} ", *self.selection(type, depth + 1)]
        return name

    def field(self, name: str, definition: GraphQLField, depth: int) -> list[str | Hole]:
        type = get_named_type(definition.type)
        if not is_leaf_type(type) and (depth >= 3 or not is_object_type(type)):
            return []
        self.aliases += 1
        alias = self.random.choice(["a", f"b{self.aliases}", f"c{self.aliases}", f"d{self.aliases}"])
        parts: list[str | Hole] = [f"{alias}: " if self.chance(0.6) else "", name]
        arguments: list[str | Hole] = []
        for key, argument in definition.args.items():
            if is_non_null_type(argument.type) or self.chance(0.3):
                arguments += [f"{key}:", self.space(), *self.value(argument.type, 0), self.space()]
        if arguments:
            parts += ["(", *arguments, ")"]
        if self.chance(0.1):
            parts.append(self.random.choice([" @include(if: true)", " @skip(if: false)"]))
        if is_object_type(type):
            parts += [" ", *self.selection(type, depth + 1)]
        return parts

    def value(self, type: GraphQLInputType, depth: int) -> list[str | Hole]:
        required = is_non_null_type(type)
        if is_non_null_type(type):
            type = type.of_type
        if not required and self.chance(0.05):
            return ["null"]
        if is_list_type(type) and self.chance(0.8):
            parts: list[str | Hole] = ["["]
            inner = type.of_type
            for _ in range(self.random.choice([0, 1, 1, 2, 3, 5])):
                parts += [*self.value(inner, depth + 1), self.random.choice([" ", ", "])]
            return [*parts, "]"]
        named = get_named_type(type)
        if is_input_object_type(named):
            return self.members(named, depth)
        if self.chance(0.1) and not is_list_type(type):
            name = f"v{named.name}{'N' if required else ''}"
            self.variables[name] = f"{type}{'!' if required and self.chance(0.9) else ''}"
            return [f"${name}"]
        if isinstance(named, GraphQLEnumType):
            return [self.random.choice(list(named.values))] if self.chance(0.95) else [Hole("string")]
        if named.name == "Boolean":
            return [self.random.choice(["true", "false"])] if self.chance(0.95) else [Hole("int")]
        return self.leaf(named.name)

    def members(self, type: GraphQLInputObjectType, depth: int) -> list[str | Hole]:
        parts: list[str | Hole] = ["{"]
        keys = [key for key, member in type.fields.items() if is_non_null_type(member.type)]
        if depth < 4:
            keys += self.random.sample(list(type.fields), k=min(len(type.fields), self.random.randint(0, 2)))
        for key in dict.fromkeys(keys):
            parts += [f"{key}:", self.space(), *self.value(type.fields[key].type, depth + 1), self.space()]
        return [*parts, "}"]

    def leaf(self, name: str) -> list[str | Hole]:
        if "json" in name.lower() and self.chance(0.5):
            return ["{a: ", Hole("int"), ", b: [", Hole("string"), ", ", Hole("string"), "], c: ", Hole("float"), "}"]
        usual: Callable[[], str] = {
            "Int": lambda: "int",
            **dict.fromkeys(("Float", "bigint", "numeric"), lambda: self.random.choice(["int", "float"])),
            "ID": lambda: self.random.choice(["int", "string"]),
        }.get(name, lambda: "string")
        return [Hole(usual() if self.chance(0.97) else self.random.choice(list(KINDS)))]

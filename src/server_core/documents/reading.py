"""A document's text → its syntax tree, as graphql-core's parser makes it, in a quarter of the time. Called by planners.

That parser looks at every character in Python, which is most of what a document costs that was never seen. Here one
expression finds all tokens, then one walk makes of them the very nodes that graphql-core would. Whatever is not written
plainly (block strings, descriptions, types, deep nesting …) is left to graphql-core, and so is every error.
"""

import re
from bisect import bisect_right
from itertools import accumulate
from typing import Any, Final, TypeVar

from graphql import (
    ArgumentNode,
    BooleanValueNode,
    DefinitionNode,
    DirectiveNode,
    DocumentNode,
    EnumValueNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    Lexer,
    ListTypeNode,
    ListValueNode,
    Location,
    NamedTypeNode,
    NameNode,
    Node,
    NonNullTypeNode,
    NullValueNode,
    ObjectFieldNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    Source,
    StringValueNode,
    Token,
    TokenKind,
    TypeNode,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    parse,
)
from graphql.language import SelectionNode

_new: Final = object.__new__
_set: Final = object.__setattr__
_T = TypeVar("_T")
_N = TypeVar("_N", bound=Node)

_TOKEN: Final = re.compile(
    r"""
    ( [A-Za-z_][0-9A-Za-z_]*+
    | [!$&():=@\[\]{|}]
    | "(?!"")[^"\\\n\r]*+(?:\\[^\n\r][^"\\\n\r]*+)*+"
    | (?<![-.0-9A-Za-z_])-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+(?![.0-9A-Za-z_])
    | \.\.\.
    | \#[^\n\r]*+
    ) | "[\s\S]*+""",
    re.VERBOSE,
)
"""Finds tokens, and in no group the rest of a document from a string on that does not end, or is a block. What is tried
once is not tried again from the next character on: the cost is linear whatever the text."""
_IGNORED: Final = " \t\n\r,\ufeff"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LINE_END: Final = re.compile(r"\r\n?|\n")
_OPERATIONS: Final = {kind.value: kind for kind in OperationType}
_MOST_TOKENS: Final = 100_000
"""With comments. All are found before the first is looked at."""
_DEEPEST: Final = 40
"""Of selections, values and types. Far from where graphql-core, or Python, gives up."""
_BOOLEANS: Final = frozenset({"true", "false"})
_NUMBERS: Final = frozenset("-0123456789")
_END: Final = ""
"""What stands for the end of the document, among tokens."""


def read(text: str, *, tokens: int | None = None, comments: int | None = None) -> DocumentNode:
    """Return the syntax tree of a document, with locations.

    Args:
        text: the document.
        tokens, comments: most of these that it may hold; None for no limit.

    Raises:
        GraphQLError: it is not well-formed, or holds too many; graphql-core's words.
    """
    document = _plainly_read(text, tokens, comments) if _AGREED else None
    return parse(text, max_lexical_tokens=tokens, max_comments=comments) if document is None else document


def _plainly_read(text: str, most_tokens: int | None, most_comments: int | None) -> DocumentNode | None:
    """Return the tree of a document that is well-formed for sure; None if graphql-core must be asked."""
    if not text.isascii() and _SURROGATE.search(text):
        return None
    parts = _TOKEN.split(text, maxsplit=_MOST_TOKENS)
    if parts[-2:-1] == [None] or "".join(parts[::2]).strip(_IGNORED):
        return None
    offsets = list(accumulate(map(len, parts)))
    tokens, starts, ends = parts[1::2], offsets[:-1:2], offsets[1::2]
    count = len(tokens)
    if "#" in text:
        kept = [number for number, token in enumerate(tokens) if token[0] != "#"]
        if most_comments is not None and count - len(kept) > most_comments:
            return None
        tokens, starts, ends = _picked(tokens, kept), _picked(starts, kept), _picked(ends, kept)
    if most_tokens is not None and len(tokens) > most_tokens:
        return None
    reader = _Reader(_Text(text), [*tokens, _END], starts, ends)
    try:
        definitions = reader.definitions()
    except (_Unsure, RecursionError, GraphQLError):
        return None
    place = _new(_Whole)
    place.start, place.end, place.source = 0, len(text), reader.source
    document = _made(DocumentNode, place, {"definitions": definitions})
    _set(document, "token_count", count)
    return document


def _picked(items: list[_T], numbers: list[int]) -> list[_T]:
    return [items[number] for number in numbers]


class _Unsure(Exception):
    """The document may not be well-formed."""


class _Text(Source):
    """A document's text, that knows its lines."""

    __slots__ = ("_lines",)

    def __init__(self, body: str) -> None:
        super().__init__(body)
        self._lines: list[int] = []

    def token(self, start: int) -> Token:
        """Return the token that starts there, or after what is to be ignored there."""
        if not self._lines:
            self._lines = [0, *(end.end() for end in _LINE_END.finditer(self.body))]
        lexer = Lexer(self)
        lexer.line = bisect_right(self._lines, start)
        lexer.line_start = self._lines[lexer.line - 1]
        return lexer.read_next_token(start)


class _Place(Location):
    """Where a node stands; its tokens are told when somebody asks, and are not linked with others."""

    __slots__ = ()
    start: int
    end: int
    source: _Text

    @property
    def start_token(self) -> Token:  # type: ignore[override]
        return self.source.token(self.start)

    @property
    def end_token(self) -> Token:  # type: ignore[override]
        token = self.start_token
        while token.end < self.end:
            token = self.source.token(token.end)
        return token


class _Whole(_Place):
    """Where a document stands: from before its first token until after its last."""

    __slots__ = ()

    @property
    def start_token(self) -> Token:  # type: ignore[override]
        return Token(TokenKind.SOF, 0, 0, 0, 0)

    @property
    def end_token(self) -> Token:  # type: ignore[override]
        return self.source.token(self.end)


def _made(kind: type[_N], place: Location, members: dict[str, Any]) -> _N:
    """Return a node, made as unpickling makes it: its own constructor costs five times as much."""
    members["loc"] = place
    node = _new(kind)
    _set(node, "__dict__", members)
    return node


class _Reader:
    """Walks along the tokens of a document; each method takes what it is named after, and returns its node.

    Raises:
        _Unsure: something else stands there.
    """

    __slots__ = ("_at", "_ends", "_starts", "_tokens", "source")

    def __init__(self, source: _Text, tokens: list[str], starts: list[int], ends: list[int]) -> None:
        self.source = source
        self._tokens = tokens
        self._starts = starts
        self._ends = ends
        self._at = 0

    def definitions(self) -> tuple[DefinitionNode, ...]:
        """Take all there is."""
        found: list[DefinitionNode] = []
        while (word := self._tokens[self._at]) != _END:
            found.append(self._fragment_definition() if word == "fragment" else self._operation())
        if not found:
            raise _Unsure
        return tuple(found)

    def _place(self, first: int) -> _Place:
        """Return where what was taken stands, since a token."""
        place = _new(_Place)
        place.start = self._starts[first]
        place.end = self._ends[self._at - 1]
        place.source = self.source
        return place

    def _take(self, word: str) -> None:
        if self._tokens[self._at] != word:
            raise _Unsure
        self._at += 1

    def _name(self) -> NameNode:
        at = self._at
        word = self._tokens[at]
        if not word.isidentifier():
            raise _Unsure
        self._at = at + 1
        return _made(NameNode, self._place(at), {"value": word})

    def _operation(self) -> OperationDefinitionNode:
        first = self._at
        kind: OperationType | None = OperationType.QUERY
        name = variables = directives = None
        if self._tokens[first] != "{":
            kind = _OPERATIONS.get(self._tokens[first])
            if kind is None:
                raise _Unsure
            self._at += 1
            if self._tokens[self._at].isidentifier():
                name = self._name()
            if self._tokens[self._at] == "(":
                variables = self._variable_definitions()
            directives = self._directives(const=False)
        members = {
            "description": None,
            "name": name,
            "variable_definitions": variables,
            "directives": directives,
            "selection_set": self._selection_set(0),
            "operation": kind,
        }
        return _made(OperationDefinitionNode, self._place(first), members)

    def _fragment_definition(self) -> FragmentDefinitionNode:
        first = self._at
        self._at += 1
        members = {
            "description": None,
            "name": self._fragment_name(),
            "variable_definitions": (),
            "type_condition": self._type_condition(),
            "directives": self._directives(const=False),
            "selection_set": self._selection_set(0),
        }
        return _made(FragmentDefinitionNode, self._place(first), members)

    def _fragment_name(self) -> NameNode:
        if self._tokens[self._at] == "on":
            raise _Unsure
        return self._name()

    def _type_condition(self) -> NamedTypeNode:
        self._take("on")
        return self._named_type()

    def _variable_definitions(self) -> tuple[VariableDefinitionNode, ...]:
        self._at += 1
        found = [self._variable_definition()]
        while self._tokens[self._at] != ")":
            found.append(self._variable_definition())
        self._at += 1
        return tuple(found)

    def _variable_definition(self) -> VariableDefinitionNode:
        first = self._at
        variable = self._variable()
        self._take(":")
        type = self._type(0)
        default = None
        if self._tokens[self._at] == "=":
            self._at += 1
            default = self._value(0, const=True)
        members = {
            "description": None,
            "variable": variable,
            "type": type,
            "default_value": default,
            "directives": self._directives(const=True),
        }
        return _made(VariableDefinitionNode, self._place(first), members)

    def _variable(self) -> VariableNode:
        first = self._at
        self._take("$")
        name = self._name()
        return _made(VariableNode, self._place(first), {"name": name})

    def _type(self, depth: int) -> TypeNode:
        first = self._at
        type: ListTypeNode | NamedTypeNode
        if self._tokens[first] == "[" and depth < _DEEPEST:
            self._at += 1
            inner = self._type(depth + 1)
            self._take("]")
            type = _made(ListTypeNode, self._place(first), {"type": inner})
        else:
            type = self._named_type()
        if self._tokens[self._at] != "!":
            return type
        self._at += 1
        return _made(NonNullTypeNode, self._place(first), {"type": type})

    def _named_type(self) -> NamedTypeNode:
        name = self._name()
        return _made(NamedTypeNode, self._place(self._at - 1), {"name": name})

    def _directives(self, *, const: bool) -> tuple[DirectiveNode, ...] | None:
        if self._tokens[self._at] != "@":
            return None
        found = []
        while self._tokens[self._at] == "@":
            first = self._at
            self._at += 1
            members = {"name": self._name(), "arguments": self._arguments(const=const)}
            found.append(_made(DirectiveNode, self._place(first), members))
        return tuple(found)

    def _arguments(self, *, const: bool) -> tuple[ArgumentNode, ...] | None:
        if self._tokens[self._at] != "(":
            return None
        self._at += 1
        found = [self._member(ArgumentNode, 0, const)]
        while self._tokens[self._at] != ")":
            found.append(self._member(ArgumentNode, 0, const))
        self._at += 1
        return tuple(found)

    def _member(self, kind: type[_N], depth: int, const: bool) -> _N:
        """Take an argument, or a field of an object."""
        first = self._at
        name = self._name()
        self._take(":")
        value = self._value(depth, const)
        return _made(kind, self._place(first), {"name": name, "value": value})

    def _selection_set(self, depth: int) -> SelectionSetNode:
        if depth > _DEEPEST:
            raise _Unsure
        first = self._at
        self._take("{")
        found: list[SelectionNode] = []
        while (word := self._tokens[self._at]) != "}":
            found.append(self._fragment(depth) if word == "..." else self._field(depth))
        if not found:  # not every release of graphql-core takes that for well-formed
            raise _Unsure
        self._at += 1
        return _made(SelectionSetNode, self._place(first), {"selections": tuple(found)})

    def _field(self, depth: int) -> FieldNode:
        first = self._at
        tokens = self._tokens
        alias = None
        name = self._name()
        if tokens[self._at] == ":":
            self._at += 1
            alias = name
            name = self._name()
        arguments = directives = selection_set = None
        if tokens[self._at] == "(":
            arguments = self._arguments(const=False)
        if tokens[self._at] == "@":
            directives = self._directives(const=False)
        if tokens[self._at] == "{":
            selection_set = self._selection_set(depth + 1)
        members = {
            "directives": directives,
            "name": name,
            "alias": alias,
            "arguments": arguments,
            "selection_set": selection_set,
        }
        return _made(FieldNode, self._place(first), members)

    def _fragment(self, depth: int) -> FragmentSpreadNode | InlineFragmentNode:
        first = self._at
        self._at += 1
        word = self._tokens[self._at]
        if word != "on" and word.isidentifier():
            spread = {"name": self._name(), "arguments": None, "directives": self._directives(const=False)}
            return _made(FragmentSpreadNode, self._place(first), spread)
        members = {
            "type_condition": self._type_condition() if word == "on" else None,
            "directives": self._directives(const=False),
            "selection_set": self._selection_set(depth + 1),
        }
        return _made(InlineFragmentNode, self._place(first), members)

    def _value(self, depth: int, const: bool) -> ValueNode:
        first = self._at
        word = self._tokens[first]
        if word[:1] == '"':
            self._at = first + 1
            value = word[1:-1] if "\\" not in word else self._unescaped(first)
            return _made(StringValueNode, self._place(first), {"value": value, "block": False})
        if depth > _DEEPEST:
            raise _Unsure
        if word == "[":
            self._at = first + 1
            values = []
            while self._tokens[self._at] != "]":
                values.append(self._value(depth + 1, const))
            self._at += 1
            return _made(ListValueNode, self._place(first), {"values": tuple(values)})
        if word == "{":
            self._at = first + 1
            fields = []
            while self._tokens[self._at] != "}":
                fields.append(self._member(ObjectFieldNode, depth + 1, const))
            self._at += 1
            return _made(ObjectValueNode, self._place(first), {"fields": tuple(fields)})
        if word == "$":
            if const:
                raise _Unsure
            return self._variable()
        number = word[:1] in _NUMBERS
        if not number and not word.isidentifier():
            raise _Unsure
        self._at = first + 1
        place = self._place(first)
        if number:
            kind = IntValueNode if word.lstrip("-").isdigit() else FloatValueNode
            return _made(kind, place, {"value": word})
        if word in _BOOLEANS:
            return _made(BooleanValueNode, place, {"value": word == "true"})
        if word == "null":
            return _made(NullValueNode, place, {})
        return _made(EnumValueNode, place, {"value": word})

    def _unescaped(self, at: int) -> str:
        """Return what a string stands for.

        Raises:
            GraphQLError: there is an escape that the language does not have.
        """
        token = self.source.token(self._starts[at])
        if token.end != self._ends[at] or token.value is None:
            raise _Unsure
        return token.value


def alike(one: object, other: object) -> bool:
    """Tell whether two syntax trees consist of the same kinds of nodes with the same members, whatever their places."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if not isinstance(one, Node) or not isinstance(other, Node):
        return one == other
    ours, theirs = vars(one), vars(other)
    return (
        type(one) is type(other)
        and ours.keys() == theirs.keys()
        and all(alike(ours[name], theirs[name]) for name in ours if name != "loc")
    )


_SAMPLE: Final = """
query q($a: [Int!] = [1] @d, $b: T) @d(e: "x") { f: g(h: $a, i: {j: -1.5, k: true, l: null, m: E}) @d { n } ...o }
fragment o on T { ... on T @d { p } ... { q } }
"""


def _agreed() -> bool:
    try:
        return alike(_plainly_read(_SAMPLE, None, None), parse(_SAMPLE))
    except (AttributeError, TypeError):  # its nodes have no __dict__, or cannot be made without their constructor
        return False


_AGREED: Final = _agreed()
"""Whether the installed graphql-core makes nodes of the kinds and members known here; if not, it makes all of them."""

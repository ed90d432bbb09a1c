"""A planned document and another of its shape → what is planned, in the terms of the other. Used by document; pure.

Literals go back into the texts of steps as they were written; places in the document are told when somebody asks.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar, overload

from graphql import EnumValueNode, FloatValueNode, IntValueNode, ListValueNode, StringValueNode, ValueNode, Visitor

from server_core.documents.slots import Slots
from server_core.shape import Mark, Shape
from services.gateway.split import RootField
from services.gateway.variables import Variable

Placed = TypeVar("Placed", RootField, Variable)

_LINE_END: Final = re.compile(r"\r\n?|\n")
_HOLE: Final = re.compile("\0([0-9]+)\0")


class Blanks(Visitor):
    """Replaces the literals of a document with holes that print as such; for `visit`."""

    def __init__(self, slots: Slots) -> None:
        super().__init__()
        self._slots = slots

    def enter_list_value(self, node: ListValueNode, *_: Any) -> ListValueNode | None:
        """Replace a run of literals."""
        hole = self._hole(node)
        return None if hole is None else ListValueNode(values=(hole,))

    def enter_string_value(self, node: StringValueNode, *_: Any) -> ValueNode | None:
        """Replace a string."""
        return self._hole(node)

    def enter_int_value(self, node: IntValueNode, *_: Any) -> ValueNode | None:
        """Replace an int."""
        return self._hole(node)

    def enter_float_value(self, node: FloatValueNode, *_: Any) -> ValueNode | None:
        """Replace a float."""
        return self._hole(node)

    def _hole(self, node: ValueNode) -> ValueNode | None:
        number = self._slots.number(node)
        return None if number is None else EnumValueNode(value=f"\0{number}\0")


def filled(template: str, literals: Sequence[str]) -> str:
    """Return a text with the literals in its holes."""
    return _HOLE.sub(lambda hole: literals[int(hole[1])], template) if literals else template


class Places:
    """Where things stand in a text, as line and column, both counted from 1."""

    def __init__(self, text: str) -> None:
        self._starts = [0]
        if "\n" in text or "\r" in text:
            self._starts += [end.end() for end in _LINE_END.finditer(text)]

    def offset(self, line: int, column: int) -> int:
        """Return the number of characters before a place."""
        return self._starts[line - 1] + column - 1

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column of an offset."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


class Located(Sequence[Placed]):
    """Fields or variables as they stand in a document, told from how they stood in another one of its shape.

    Args:
        known: them, with the places they had there.
        marks: their places in all documents of the shape.
        text, shape: the document's; without a shape it is the very document they are known from.
    """

    __slots__ = ("_found", "_known", "_marks", "_shape", "_text")

    def __init__(self, known: Sequence[Placed], marks: Sequence[Mark], text: str, shape: Shape | None) -> None:
        self._known: Sequence[Placed] = known
        self._marks = marks
        self._text = text
        self._shape = shape
        self._found: Sequence[Placed] | None = known if shape is None else None

    def __len__(self) -> int:
        return len(self._known)

    @overload
    def __getitem__(self, index: int) -> Placed: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Placed]: ...
    def __getitem__(self, index: int | slice) -> Placed | Sequence[Placed]:
        return self._located()[index]

    def __iter__(self) -> Iterator[Placed]:
        return iter(self._located())

    def _located(self) -> Sequence[Placed]:
        if self._found is None and self._shape is not None:
            places = Places(self._text)
            found: list[Placed] = []
            for each, mark in zip(self._known, self._marks, strict=True):
                line, column = places.place(self._shape.offset(mark))
                found.append(replace(each, line=line, column=column))
            self._found = tuple(found)
        return self._found or ()


def marks(placed: Sequence[RootField] | Sequence[Variable], text: str, shape: Shape) -> tuple[Mark, ...]:
    """Return the places of fields or variables of a document in all documents of its shape."""
    places = Places(text)
    return tuple(shape.mark(places.offset(each.line, each.column)) for each in placed)

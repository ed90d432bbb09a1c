"""A document's text → its shape (the text with the literal values cut out) and the literals. Pure, one regex pass.

Clients that write values into their documents never send one text twice, but few shapes. Cut out are strings, block
strings, ints and floats; each leaves its kind behind. A run of two or more strings, or ints, with nothing between them
is one literal: it only parses inside a list, so lists of any length have one shape. Names stay, so do true, false, null
and enum values (they decide what is selected and how rows are ordered), and what lists and objects consist of.

Two texts of one shape have the same tokens but for the literals, provided that one of them is a document whose literals
stand where `cut` found them (documents.slots checks that): no string is cut that the lexer would refuse, no number that
goes on. What is not well-formed ends up in a shape that no document has. The cost is linear whatever the text.
"""

import re
from itertools import accumulate
from typing import Final, NamedTuple

_CHARACTERS: Final = r'[^"\\\n\r]*+'
_ESCAPE: Final = r'\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})'
_STRING_REST: Final = rf'(?!""){_CHARACTERS}(?:{_ESCAPE}{_CHARACTERS})*+"'
_PLAIN_REST: Final = r'(?!"")[^"]*+"'
_BLOCK_REST: Final = r'""[^"\\]*+(?:(?:\\(?:""")?+|"(?!""))[^"\\]*+)*+"""'
_BETWEEN: Final = r"[\ \t\n\r,\ufeff]"
_INT_END: Final = r"(?![.0-9A-Za-z_])"


def _literal(rest: str) -> re.Pattern[str]:
    """Return what finds literals, of whose strings the expression tells what follows the first quote."""
    # The first character of every alternative is tested at once, which makes the search skip everything else in C. Then
    # come a string, a string that does not end (the rest is never read again, or the cost would be quadratic), a
    # comment and a number. Possessive repetition: nothing is tried twice.
    return re.compile(
        rf"""
        (["\-0-9\#](?:
            (?<=")(?:{rest}(?:(?:{_BETWEEN}*+"{rest})++())?+|{_BLOCK_REST})()
          | (?<=")[\s\S]*+
          | (?<=\#)[^\n\r]*+
          | (?<![.0-9A-Za-z_][\s\S])(?:(?<=[1-9])[0-9]*+|(?<=0)|(?<=-)(?:0|[1-9][0-9]*+))
            (?:(?:\.[0-9]++(?:[eE][+-]?[0-9]++)?+|[eE][+-]?[0-9]++)()
              |(?:{_BETWEEN}++-?(?:0|[1-9][0-9]*+){_INT_END})++()
              |){_INT_END}
        ))""",
        re.VERBOSE,
    )


_LITERAL: Final = _literal(_STRING_REST)
_PLAIN_LITERAL: Final = _literal(_PLAIN_REST)
"""Finds the same in texts without a backslash if no string holds the end of a line; in half the time."""
_STRIDE: Final = 6
"""After each piece of text come the literal and four marks: run of strings, string, float, run of ints."""
_VALUE: Final = re.compile(rf'"{_STRING_REST}|-?[0-9]++')
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Mark(NamedTuple):
    """A place in all texts of a shape: literals before it, and characters before it that are not part of them."""

    before: int
    rest: int


class Shape(NamedTuple):
    """A text, taken apart; made by `cut` alone.

    Attributes:
        text: what was taken apart.
        key: equal for texts that differ only in literals of one kind; the pieces of text, with marks between them.
        literals: as they are written, quotes included.
    """

    text: str
    key: tuple[str | None, ...]
    literals: tuple[str, ...]

    @property
    def size(self) -> int:
        """The number of characters outside of the literals."""
        return sum(len(piece or "") for piece in self.key[:: _STRIDE - 1])

    @property
    def starts(self) -> list[int]:
        """Where in the text the literals start."""
        pieces = [len(piece or "") for piece in self.key[:: _STRIDE - 1]]
        sizes = map(sum, zip(pieces[1:], map(len, self.literals), strict=True))
        return list(accumulate(sizes, initial=pieces[0]))[: len(self.literals)]

    @property
    def most_tokens(self) -> int:
        """No less than the number of tokens and comments in the text."""
        runs = self.key[1 :: _STRIDE - 1], self.key[_STRIDE - 2 :: _STRIDE - 1]
        values = (
            len(_VALUE.findall(literal)) if strings is not None or ints is not None else 1
            for literal, strings, ints in zip(self.literals, *runs, strict=True)
        )
        return self.size + sum(values)

    def mark(self, offset: int) -> Mark:
        """Return what tells, in every text of this shape, where this place is; it is not inside a literal."""
        before = sum(start < offset for start in self.starts)
        return Mark(before, offset - sum(map(len, self.literals[:before])))

    def offset(self, mark: Mark) -> int:
        """Return where a marked place is in this text."""
        return mark.rest + sum(map(len, self.literals[: mark.before]))


def cut(text: str) -> Shape | None:
    """Take a text apart; None if it holds half a surrogate pair, which no document may."""
    if not text.isascii() and _SURROGATE.search(text):
        return None
    parts = _parts(text)
    if "#" in text:
        parts = _with_comments(parts)
    literals = tuple(parts[1::_STRIDE])
    del parts[1::_STRIDE]
    return Shape(text, tuple(parts), literals)


def _parts(text: str) -> list[str]:
    """Return pieces of text, literals and marks in turn; comments stand in place of literals."""
    if "\\" in text:
        return _LITERAL.split(text)
    parts = _PLAIN_LITERAL.split(text)
    if ("\n" in text or "\r" in text) and any("\n" in found or "\r" in found for found in parts[1::_STRIDE]):
        return _LITERAL.split(text)
    return parts


def each_of(literal: str) -> list[str]:
    """Return the strings or ints that a run consists of, each as it is written."""
    return _VALUE.findall(literal)


def _with_comments(parts: list[str]) -> list[str]:
    """Make comments part of the text around them again."""
    kept: list[str] = []
    piece = [parts[0]]
    for at in range(1, len(parts), _STRIDE):
        if parts[at][0] == "#":
            piece += parts[at], parts[at + _STRIDE - 1]
        else:
            kept += "".join(piece), *parts[at : at + _STRIDE - 1]
            piece = [parts[at + _STRIDE - 1]]
    return [*kept, "".join(piece)]

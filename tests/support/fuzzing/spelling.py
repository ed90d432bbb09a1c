"""A document → others of its shape: the same tokens, other literals, fitting or not. Pure; see server_core.shape."""

import json
from random import Random

from server_core.shape import cut
from tests.support.fuzzing.documents import NOBODY, ODD_NUMBERS, TEXTS, TIMES, WHOLE

_STRINGS = [
    *(json.dumps(text) for text in (*TEXTS, *TIMES, NOBODY, NOBODY.upper(), f"urn:uuid:{NOBODY}")),
    '"""block"""',
    '"""\n  a\n    \\""" b\n"""',
    '"\\u00e9"',
    '"[1, 2]"',
]


def respelled(text: str, random: Random) -> str:
    """Return a text of the same shape, with some literals replaced; nearly always: a run of them may become shorter."""
    shape = cut(text)
    if shape is None:
        return text
    found = []
    at = 0
    for start, literal in zip(shape.starts, shape.literals, strict=True):
        found += [text[at:start], _other(literal, random) if random.random() < 0.5 else literal]
        at = start + len(literal)
    return "".join([*found, text[at:]])


def _other(literal: str, random: Random) -> str:
    if literal.startswith('"'):
        several = literal.count('", "') + 1
        return ", ".join(random.choice(_STRINGS) for _ in range(several))
    several = len(literal.split(", "))
    whole = [number for number in (*WHOLE, *ODD_NUMBERS) if number.lstrip("-").isdigit()]
    numbers = whole if literal.replace(", ", "").replace("-", "").isdigit() else ["1.5", "-0.0", "1e10"]
    return ", ".join(random.choice(numbers) for _ in range(several))

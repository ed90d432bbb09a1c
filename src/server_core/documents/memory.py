"""Plans, remembered by the shape of the documents they were made for. Used by planners."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from server_core.documents.cache import BoundedCache
from server_core.documents.slots import Slots
from server_core.shape import Shape

P = TypeVar("P")

PER_LITERAL: Final = 200
"""What a literal weighs in the memory, in characters."""


@dataclass(kw_only=True, slots=True)
class Stats:
    """What became of look-ups, for figures.

    Attributes:
        hits: a plan was recalled.
        misses: none was known.
        unfit: one was known for the shape, but not for these literals.
    """

    hits: int = 0
    misses: int = 0
    unfit: int = 0


@dataclass(frozen=True, slots=True)
class _Known(Generic[P]):
    plan: P
    slots: Slots


class ShapeMemory(Generic[P]):
    """Remembers plans, within bounds of number and weight; may be used from several threads.

    Args:
        entries: most plans.
        characters: most weight, in characters of text.
        longest: longer documents are not remembered, not counting their literals.
    """

    def __init__(self, *, entries: int, characters: int, longest: int) -> None:
        self._kept: BoundedCache[Hashable, _Known[P] | Slots] = BoundedCache(
            entries=entries, weight=characters, heaviest=longest
        )

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def characters(self) -> int:
        """The weight of what is remembered."""
        return self._kept.held

    def get(self, shape: Shape, context: Hashable = None) -> P | None:
        """Return the plan for a document; None if it must be planned.

        Args:
            context: what else a plan depends on (the name of the operation).
        """
        found = self._find(shape, context)
        if found is None or (found.slots.integers and not found.slots.fit(shape)):
            return None
        return found.plan

    def knows(self, shape: Shape, context: Hashable = None) -> bool:
        """Tell whether documents of this shape have a plan, though perhaps not with these literals."""
        return self._find(shape, context) is not None

    def put(self, shape: Shape, slots: Slots, plan: P, context: Hashable = None) -> None:
        """Remember a plan made for a document of this shape."""
        weight = shape.size + PER_LITERAL * len(shape.literals)
        known = _Known(plan, slots)
        if not slots.pinned:
            self._kept.put((shape.key, context), known, weight)
            return
        pinned = sum(len(shape.literals[number]) for number in slots.pinned)
        self._kept.put((shape.key, context), slots, weight)
        self._kept.put((slots.key(shape), context), known, weight + pinned)

    def _find(self, shape: Shape, context: Hashable) -> _Known[P] | None:
        found = self._kept.get((shape.key, context))
        if isinstance(found, Slots):
            found = self._kept.get((found.key(shape), context))
        return found if isinstance(found, _Known) else None

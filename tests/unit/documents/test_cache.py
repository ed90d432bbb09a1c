"""The cache is bounded by entries and by weight, whoever uses it at the same time."""

from concurrent.futures import ThreadPoolExecutor
from random import Random

from server_core.documents.cache import BoundedCache, Doorkeeper


def cache() -> BoundedCache[str, int]:
    """Return one that is soon full."""
    return BoundedCache(entries=3, weight=10, heaviest=6)


def test_the_entry_not_used_for_longest_goes() -> None:
    kept = cache()
    for key in "abc":
        kept.put(key, 1, 1)
    assert kept.get("a") == 1
    kept.put("d", 1, 1)
    assert [kept.get(key) for key in "abcd"] == [1, None, 1, 1]


def test_weight_is_bounded() -> None:
    kept = cache()
    kept.put("a", 1, 5)
    kept.put("b", 2, 5)
    kept.put("c", 3, 2)
    assert [kept.get(key) for key in "abc"] == [None, 2, 3]


def test_the_heaviest_are_not_kept() -> None:
    kept = cache()
    kept.put("a", 1, 7)
    assert len(kept) == 0


def test_replacing_counts_the_weight_once() -> None:
    kept = cache()
    for _ in range(10):
        kept.put("a", 1, 6)
    kept.put("b", 1, 4)
    assert [kept.get(key) for key in "ab"] == [1, 1]


def test_what_is_new_is_kept_though_all_else_is_in_use() -> None:
    kept = cache()
    for key in "abc":
        kept.put(key, 1, 1)
        kept.get(key)
    kept.put("d", 1, 1)
    assert kept.get("d") == 1
    assert len(kept) == 3


def test_what_is_in_use_outlives_what_is_asked_once() -> None:
    kept = cache()
    kept.put("a", 1)
    for number in range(100):
        kept.put(f"once {number}", 1)
        assert kept.get("a") == 1


def test_threads_leave_it_within_its_bounds() -> None:
    kept: BoundedCache[int, int] = BoundedCache(entries=20, weight=50)

    def use(seed: int) -> bool:
        random = Random(seed)
        right = True
        for _ in range(3000):
            key = random.randrange(60)
            found = kept.get(key)
            right = right and found in (None, key)
            if found is None:
                kept.put(key, key, 1 + key % 5)
        return right

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(use, range(4)))
    assert len(kept) <= 20
    assert kept.held <= 50
    assert kept.held == sum(1 + key % 5 for key in range(60) if kept.get(key) is not None)


def test_the_doorkeeper_knows_who_came_before() -> None:
    doorkeeper = Doorkeeper()
    assert [doorkeeper.knows(name) for name in ("a", "b", "a", "b", "a")] == [False, False, True, True, True]


def test_the_doorkeeper_forgets_those_whose_place_another_took() -> None:
    """What comes once only does not fill its memory, nor anybody else's."""
    doorkeeper = Doorkeeper(slots=1)
    assert not any(doorkeeper.knows(number % 3) for number in range(9))

"""The cache is bounded by entries and by weight."""

from server_core.documents.cache import BoundedCache


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

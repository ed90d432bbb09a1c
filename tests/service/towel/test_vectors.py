"""Every event of every vector equals what the real client 1.4.1 computes; a fifth of them is also a unit test.

No service is needed: it is here for its length, some seconds.
"""

from tests.support.schedule_vectors import events_of, vectors


def test_every_vector() -> None:
    wrong = [(case, expected, actual) for case, expected in vectors() if (actual := events_of(case)) != expected]
    assert wrong == []

"""Which revisions an upgrade would apply: `database upgrade -n`."""

import pytest

from server_core.db.legacy import REVISIONS
from server_core.db.revisions import Revisions, head_revisions, pending

HEAD = head_revisions()


def ids(found: Revisions) -> list[str]:
    return [line.partition(":")[0] for line in pending(found)]


def test_an_upgraded_database_needs_nothing() -> None:
    assert pending(HEAD) == []


def test_an_empty_database_gets_the_whole_schema_and_then_our_additions() -> None:
    steps = ids(Revisions(legacy=None, additions=None))
    assert steps[0] == HEAD.legacy
    assert steps[-1] == HEAD.additions
    assert steps[1:] == ids(Revisions(legacy=HEAD.legacy, additions=None))


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_a_legacy_database_gets_what_it_lacks(revision: str) -> None:
    """schema.md §2: every revision after its own, in order."""
    own = ids(Revisions(legacy=HEAD.legacy, additions=None))
    assert ids(Revisions(legacy=revision, additions=None)) == [*REVISIONS[REVISIONS.index(revision) + 1 :], *own]


def test_each_line_says_what_the_revision_does() -> None:
    for line in pending(Revisions(legacy=REVISIONS[1], additions=None)):
        assert len(line.partition(": ")[2]) > 5, line

"""Where the chains end is read out of their files, as Alembic would find it by importing them."""

import pytest

from server_core.db.revisions import ADDITIONS, LEGACY, head_revisions, revisions, scripts


@pytest.mark.parametrize("name", [LEGACY, ADDITIONS])
def test_the_head_is_alembics(name: str) -> None:
    head = head_revisions()
    assert (head.legacy if name == LEGACY else head.additions) == scripts(name).get_current_head()


@pytest.mark.parametrize("name", [LEGACY, ADDITIONS])
def test_the_revisions_are_alembics(name: str) -> None:
    expected = {script.revision: script.down_revision for script in scripts(name).walk_revisions()}
    assert revisions(name) == expected

"""Ids are random UUIDs, each given once, also by processes that were forked."""

import os
from uuid import UUID

from server_core.ids import new_id


def test_ids_are_random_uuids_that_never_repeat() -> None:
    found = [new_id() for _ in range(2000)]
    assert len(set(found)) == 2000
    assert {each.version for each in found} == {4}
    assert len({each.bytes[:6] for each in found}) == 2000


def test_a_forked_process_gives_ids_of_its_own() -> None:
    new_id()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_id().bytes)
        os._exit(0)
    os.waitpid(child, 0)
    assert UUID(bytes=os.read(reading, 16)) != new_id()

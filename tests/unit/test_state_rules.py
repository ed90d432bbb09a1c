"""May this run enter that state? (actions.md §3.4–3.6)"""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from server_core.rules import states as rules
from server_core.states import CONCRETE, FINISHED, State, make_state, parse_state

NOW = datetime(2022, 3, 4, tzinfo=UTC)
RESULT = {"type": "Result", "location": "l", "__version__": "1.4.1"}


def state(name: str, **inputs: object) -> State:
    return parse_state({"type": name, "cached_inputs": inputs}, now=NOW)


@pytest.mark.parametrize("name", sorted(CONCRETE))
def test_what_a_state_means(name: str) -> None:
    made = make_state(name, now=NOW)
    assert rules.takes_submission(made) == (name == "Submitted")
    assert rules.cancels_task_runs(made) == (name == "Cancelled")
    assert rules.shows_life_of_flow_run(made) == (name in {"Running", "Cancelling", "Submitted"})
    assert rules.needs_running_flow(made) == (name in {"Running", "Cancelling"})


@pytest.mark.parametrize("name", [*sorted(CONCRETE), None])
def test_what_cancelling_leads_to(name: str | None) -> None:
    if name in FINISHED:
        assert rules.cancelled_as(name) is None
    else:
        assert rules.cancelled_as(name) == ("Cancelling" if name in {"Running", "Cancelling"} else "Cancelled")


def test_inputs_are_inherited_by_states_without() -> None:
    assert rules.inherits_cached_inputs(state("Failed"))
    assert not rules.inherits_cached_inputs(state("Failed", x=RESULT))


def test_inputs_are_carried_through_a_batch() -> None:
    one, other = uuid4(), uuid4()
    batch = [
        (one, state("Running")),
        (one, state("Failed", x=RESULT)),
        (other, state("Failed")),
        (one, state("Retrying")),
    ]
    batch += [(one, state("Failed", y=RESULT)), (one, state("Running"))]
    carried = rules.carry_cached_inputs(batch)
    assert [dict(each.cached_inputs) for each in carried] == [
        {},
        {"x": RESULT},
        {},
        {"x": RESULT},
        {"y": RESULT},
        {"y": RESULT},
    ]
    assert [each.name for each in carried] == [each.name for _, each in batch]


def test_refusals_hold_the_words_that_agents_look_for() -> None:
    run = uuid4()
    for refusal in (rules.refuse_flow_run, rules.refuse_task_run):
        for known, stale in ((True, False), (True, True), (False, False)):
            refused = refusal(run, known=known, stale=stale)
            assert "State update failed" in str(refused)
            assert refused.code == ("VERSION_LOCKING_ERROR" if stale else "STATE_UPDATE_FAILED")
    assert "not in a running state" in str(rules.refuse_task_run(run, known=True))


@pytest.mark.parametrize(
    ("entries", "waves"),
    [
        ("", []),
        ("a b c", [[0, 1, 2]]),
        ("a a b a", [[0, 1, 2, 3]]),
        ("A b C", [[0, 1, 2]]),
        ("A a b b a", [[0, 2, 3], [1], [4]]),
        ("a A B a B b", [[0, 2], [1, 4], [3, 5]]),
        ("b b a A", [[0, 1, 2], [3]]),
    ],
)
def test_entries_of_a_run_that_name_versions_are_written_one_by_one(entries: str, waves: list[list[int]]) -> None:
    """§3.7: capital letters are entries that name a version of the run of that letter."""
    ids = {name: uuid4() for name in "abc"}
    assert rules.waves([(ids[each.lower()], each.isupper()) for each in entries.split()]) == waves

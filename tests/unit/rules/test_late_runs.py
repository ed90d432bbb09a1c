"""Why a run is late: what is said of it, and what to do (demand 14)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server_core.rules.late_runs import Agent, Reason, Run, age, takes, why_late

NOW = datetime(2022, 3, 4, 5, 6, 7, tzinfo=UTC)

DUE = Run(
    state="Scheduled",
    state_message=None,
    due=NOW - timedelta(hours=1),
    updated=NOW - timedelta(hours=1),
    labels=["gpu"],
    auto_scheduled=True,
    agent=None,
    flow_archived=False,
    schedule_active=True,
    too_late=False,
    being_deleted=False,
    before_it=0,
)
AGENT = Agent(name="tower (LocalAgent)", labels=["gpu", "home"], last_queried=NOW - timedelta(seconds=10))


def reasons(run: Run, *agents: Agent) -> list[Reason]:
    return why_late(run, agents, now=NOW, silent_after=timedelta(minutes=1), poll_limit=25)


@pytest.mark.parametrize(
    ("changes", "agents", "code", "text"),
    [
        ({}, [AGENT], "WAITS_FOR_POLL", "nothing keeps it: the next poll of an agent takes it"),
        ({}, [], "NO_AGENT", "there is no agent"),
        (
            {"labels": ["tpu", "gpu"]},
            [AGENT],
            "NO_AGENT_WITH_LABELS",
            "it has the labels gpu, tpu, and no agent takes such runs (tower (LocalAgent) has gpu, home)",
        ),
        (
            {"labels": []},
            [AGENT],
            "NO_AGENT_WITH_LABELS",
            "it has no labels, and no agent takes such runs (tower (LocalAgent) has gpu, home)",
        ),
        (
            {},
            [replace(AGENT, last_queried=NOW - timedelta(minutes=10))],
            "AGENTS_SILENT",
            "no agent that takes it asks for runs, the last one 10 min ago (tower (LocalAgent))",
        ),
        (
            {},
            [replace(AGENT, last_queried=None)],
            "AGENTS_SILENT",
            "no agent that takes it asks for runs, none of them ever did (tower (LocalAgent))",
        ),
        (
            {"before_it": 30},
            [AGENT],
            "OTHERS_FIRST",
            "30 runs for the same labels are due for longer; an agent gets 25 at once",
        ),
        ({"due": NOW + timedelta(hours=3)}, [AGENT], "NOT_DUE", "it is due in 3 h"),
        ({"due": None}, [AGENT], "NOT_DUE", "it has no time to start at"),
        (
            {"due": NOW + timedelta(days=3650), "state": "Paused", "state_message": "approve me"},
            [AGENT],
            "PAUSED",
            "it is paused and is due in 3650 d: approve me",
        ),
        (
            {"due": NOW + timedelta(seconds=9), "state": "Queued"},
            [AGENT],
            "QUEUED",
            "it waits for a free slot of a limit and is due in 9 s",
        ),
        (
            {"too_late": True},
            [AGENT],
            "TOO_LATE",
            "the late policy of its flow group keeps it from being run; the scheduler will cancel it",
        ),
        ({"being_deleted": True}, [AGENT], "BEING_DELETED", "it is being deleted, or its flow is"),
        (
            {"state": "Submitted", "agent": "tower"},
            [AGENT],
            "SUBMITTED",
            "it was taken by agent tower and is Submitted since 60 min, but its process has not begun",
        ),
        ({"state": "Running"}, [AGENT], "RUNNING", "it is Running since 60 min"),
        ({"state": "Success"}, [AGENT], "FINISHED", "it is over: Success"),
        ({"state": "Pending"}, [AGENT], "PENDING", "it was never scheduled"),
        ({"state": None, "due": None}, [], "PENDING", "it was never scheduled"),
    ],
)
def test_what_decides_comes_first(changes: dict[str, Any], agents: list[Agent], code: str, text: str) -> None:
    first = reasons(replace(DUE, **changes), *agents)[0]
    assert (first.code, first.text) == (code, text)


def test_all_that_keeps_it_is_named_and_what_is_worth_knowing() -> None:
    run = replace(DUE, due=NOW + timedelta(hours=2), labels=["tpu"], flow_archived=True, schedule_active=False)
    assert [(reason.code, reason.keeps) for reason in reasons(run, AGENT)] == [
        ("NOT_DUE", True),
        ("NO_AGENT_WITH_LABELS", True),
        ("FLOW_ARCHIVED", False),
        ("SCHEDULE_OFF", False),
    ]


def test_one_agent_that_asks_is_enough() -> None:
    silent = replace(AGENT, name="cellar", last_queried=None)
    assert [reason.code for reason in reasons(DUE, silent, AGENT)] == ["WAITS_FOR_POLL"]


def test_the_advice_names_the_labels() -> None:
    assert (
        reasons(replace(DUE, labels=["b", "a"]))[0].advice == "start one: prefect agent local start --label a --label b"
    )


@pytest.mark.parametrize(
    ("agent", "run", "taken"),
    [
        ([], [], True),
        ([], ["a"], False),
        (["a"], [], False),
        (["a"], ["a"], True),
        (["a", "b"], ["a"], True),
        (["a"], ["a", "b"], False),
    ],
)
def test_labels_decide_who_takes_what(agent: list[str], run: list[str], taken: bool) -> None:
    """actions.md §2.8; the queue itself is asked in tests/service/actions/test_late_runs.py."""
    assert takes(replace(AGENT, labels=agent), replace(DUE, labels=run)) is taken


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")]
)
def test_ages_are_for_people(seconds: float, text: str) -> None:
    assert age(timedelta(seconds=seconds)) == text

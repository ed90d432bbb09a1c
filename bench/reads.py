"""The read workloads a–d of performance.md, each in two spellings. Used by whoever puts load on a server.

    a   one flow run with ten columns and its flow's name
    b   the 50 newest flow runs of a tenant (before a time, as pages are asked for), each with its flow, project and
        counts of task runs by state
    c   the agents' queue read: flow runs by `_in` and `_or` with an EXISTS over task runs, ordered, at most 75
    d   500 log lines of one flow run, by time

`variables` is one text with values beside it; in `literals` the values stand in the text, as the 1.x client writes
them: no text comes twice.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from bench.dataset import CYCLE, LONG_LOG, RUNNING, TALKATIVE, TENANT, Size, ident
from bench.load import FRESH

Spelling = Literal["variables", "literals"]
SPELLINGS: Final[tuple[Spelling, ...]] = ("variables", "literals")
DUE: Final = "2027-01-01T00:00:00+00:00"
LATER: Final = datetime(2027, 1, 1, tzinfo=UTC)
"""After all flow runs."""
STATES: Final = ("Success", "Failed", "Running", "Pending", "Scheduled")
ASKED_RUNS: Final = 100
"""So many ids stand in a queue read: 60 Scheduled, 15 Running with a task that is due, 25 that are over."""
REQUESTS: Final = 20_000
"""Different requests of a workload, of c fewer: they are long."""

_A: Final = (
    "id name state version start_time end_time scheduled_start_time state_message auto_scheduled parameters"
    " flow { name }"
)
_B: Final = "id name state start_time end_time flow { name project { name } } " + " ".join(
    f'{state.lower()}: task_runs_aggregate(where: {{state: {{_eq: "{state}"}}}}) {{ aggregate {{ count }} }}'
    for state in STATES
)
_C: Final = "id name state version scheduled_start_time state_start_time parameters serialized_state flow { id name }"
_D: Final = "id timestamp level name message task_run_id"


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """One kind of request.

    Attributes:
        name: a, b, c or d.
        field: the operation's one root field; `%s` stand for its values.
        variables: declarations of the variables that stand for them, `$v1`, `$v2` …
        values: those of each request.
    """

    name: str
    field: str
    variables: tuple[str, ...]
    values: Sequence[tuple[Any, ...]]

    def bodies(self, spelling: Spelling) -> list[bytes]:
        """Return the requests' bodies."""
        if spelling == "literals":
            texts = [f"query {{ {self.field % tuple(map(json.dumps, values))} }}" for values in self.values]
            return [json.dumps({"query": text}).encode() for text in texts]
        names = [f"v{number}" for number, _ in enumerate(self.variables, 1)]
        declared = ", ".join(f"${name}: {type}" for name, type in zip(names, self.variables, strict=True))
        text = f"query({declared}) {{ {self.field % tuple(f'${name}' for name in names)} }}"
        return [
            json.dumps({"query": text, "variables": dict(zip(names, values, strict=True))}).encode()
            for values in self.values
        ]


def workloads(size: Size) -> dict[str, Workload]:
    """Return the workloads for a data set of a size, by name.

    No text with literals comes again before thousands of others did, as it is with 1.x clients: else a server could
    remember texts. In c one of the ids is a new one each time, and names nothing.
    """
    runs = [str(ident("flow_run", number * 7919 % size.flow_runs + 1)) for number in range(REQUESTS)]
    talkative = [str(ident("flow_run", number * TALKATIVE)) for number in range(1, size.flow_runs // TALKATIVE + 1)]
    hundreds = range(0, size.flow_runs - CYCLE, CYCLE * 100)
    asked = [
        [
            *(str(ident("flow_run", start + (number + shift) % CYCLE or CYCLE)) for number in range(ASKED_RUNS)),
            f"00000000-0000-4000-8000-000{FRESH}",
        ]
        for start in hundreds
        for shift in range(CYCLE)
    ]
    return {
        "a": Workload(
            name="a",
            field=f"flow_run_by_pk(id: %s) {{ {_A} }}",
            variables=("uuid!",),
            values=[(run,) for run in runs],
        ),
        "b": Workload(
            name="b",
            field="flow_run(where: {tenant_id: {_eq: %s}, scheduled_start_time: {_lt: %s}},"
            f" order_by: {{scheduled_start_time: desc}}, limit: %s) {{ {_B} }}",
            variables=("uuid!", "timestamptz!", "Int!"),
            values=[(str(TENANT), (LATER + timedelta(seconds=n)).isoformat(), 50) for n in range(REQUESTS)],
        ),
        "c": Workload(
            name="c",
            field="flow_run(where: {id: {_in: %s}, _or: [{state: {_eq: %s}}, {state: {_eq: %s}, task_runs:"
            " {state_start_time: {_lte: %s}}}]}, order_by: {scheduled_start_time: asc}, limit: %s)"
            f" {{ {_C} }}",
            variables=("[uuid!]!", "String!", "String!", "timestamptz!", "Int!"),
            values=[(ids, "Scheduled", "Running", DUE, RUNNING) for ids in asked],
        ),
        "d": Workload(
            name="d",
            field=f"log(where: {{flow_run_id: {{_eq: %s}}}}, order_by: {{timestamp: asc}}, limit: %s) {{ {_D} }}",
            variables=("uuid!", "Int!"),
            values=[(run, LONG_LOG + more) for more in range(REQUESTS // len(talkative)) for run in talkative],
        ),
    }

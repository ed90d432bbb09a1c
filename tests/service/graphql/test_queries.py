"""hello, api, reference_data: actions.md §2.1."""

from importlib.metadata import version

import pytest

from tests.service.graphql.conftest import Send

API = "{ api { backend mode version core_version release_timestamp } }"

COLORS = {
    "State": "#696969",
    "Pending": "#7ebdff",
    "Scheduled": "#ffab00",
    "Paused": "#99a8e8",
    "Resume": "#f58c0c",
    "Retrying": "#f66a0a",
    "_MetaState": "#696969",
    "ClientFailed": "#eb0000",
    "Submitted": "#ffdf5d",
    "Queued": "#ffea7f",
    "Running": "#3d67ff",
    "Cancelling": "#E8E8E8",
    "Finished": "#003ccb",
    "Looped": "#003ccb",
    "Success": "#28a745",
    "Cached": "#34d058",
    "Mapped": "#003ccb",
    "Skipped": "#62757f",
    "Cancelled": "#bdbdbd",
    "Failed": "#eb0000",
    "TimedOut": "#ff4e33",
    "TriggerFailed": "#ff5131",
    "ValidationFailed": "#ff5131",
}
"""The table of actions.md §3.1."""


async def test_hello(actions: Send) -> None:
    assert (await actions("{ hello }")).data["hello"]


async def test_api_reads_the_environment_per_request(actions: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("PREFECT_SERVER_VERSION", "PREFECT_CORE_VERSION", "RELEASE_TIMESTAMP")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert (await actions(API)).data["api"] == {
        "backend": "SERVER",
        "mode": "normal",
        "version": version("prefect-server"),
        "core_version": "1.4.1",
        "release_timestamp": None,
    }
    for name, value in zip(names, ("a", "b", "c"), strict=True):
        monkeypatch.setenv(name, value)
    assert (await actions(API)).data["api"] == {
        "backend": "SERVER",
        "mode": "normal",
        "version": "a",
        "core_version": "b",
        "release_timestamp": "c",
    }


async def test_reference_data(actions: Send) -> None:
    data = (await actions("{ reference_data { state_hierarchy state_info } }")).data["reference_data"]
    hierarchy, info = data["state_hierarchy"], data["state_info"]
    assert set(hierarchy) == set(info)
    assert len(hierarchy) == 23
    assert set(hierarchy["Success"]) == {"Success", "Cached", "Mapped", "Skipped"}
    assert set(hierarchy["State"]) == set(hierarchy)
    assert all(names[0] == name for name, names in hierarchy.items())
    assert info == {name: {"color": color} for name, color in COLORS.items()}


async def test_introspection(actions: Send) -> None:
    data = (await actions("{ __schema { queryType { name } mutationType { name } } __typename }")).data
    assert data == {
        "__schema": {"queryType": {"name": "Query"}, "mutationType": {"name": "Mutation"}},
        "__typename": "Query",
    }

"""Where hooks must not lead, when they are made, tested and delivered (`hooks.forbid_private_targets`; §7.1, §7.4)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from ipaddress import ip_address

import httpx
import pytest

from server_core.actions import cloud_hooks
from server_core.actions.context import ActionContext
from server_core.actions.hook_delivery import HookDelivery
from server_core.actions.hook_http import HookClient
from server_core.errors import InvalidInput
from server_core.rules.hook_targets import Address
from tests.service.cloud_hooks.world import Run, Time, create, deliveries, statuses, tell, worker, write
from tests.support.receiver import LeadsTo, Receiver
from tests.support.rows import execute, fetch_all

PUBLIC = "93.184.216.34"


class Names:
    """A resolver: each name has answers, one after the other; the last stays."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self.answers = {name.replace("_", "."): list(addresses) for name, addresses in answers.items()}

    async def __call__(self, host: str, port: int) -> list[Address]:
        answers = self.answers.get(host)
        if not answers:
            raise OSError("no such name")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ip_address(each) for each in answer.split(",")]


class Wire(LeadsTo):
    """Leads to a receiver and keeps which address it was asked to connect to, under which name."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(receiver)
        self.connected: list[tuple[str, str]] = []
        self.dead: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.connected.append((request.url.host, request.extensions["sni_hostname"]))
        if request.url.host in self.dead:
            raise httpx.ConnectError("dead")
        return await super().handle_async_request(request)


@pytest.fixture
def names() -> Names:
    return Names(public_example=[PUBLIC], private_example=["10.0.0.7"], mixed_example=[f"{PUBLIC},127.0.0.1"])


@pytest.fixture
def wire(receiver: Receiver) -> Wire:
    return Wire(receiver)


@pytest.fixture
async def strict(context: ActionContext, names: Names, wire: Wire, time: Time) -> AsyncIterator[ActionContext]:
    """A context whose hooks must not lead to private addresses."""
    client = HookClient(forbid_private=True, transport=wire, resolve=names)
    delivery = HookDelivery(context.database, api_url="http://localhost:4200", client=client, clock=time)
    yield replace(context, hook_delivery=delivery, clock=time)
    await delivery.stop()


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]"),
        "0.0.0.0",  # noqa: S104 - not bound to
        *("169.254.169.254", "10.0.0.1", "[fd00:ec2::254]", "private.example", "mixed.example"),
    ],
)
@pytest.mark.parametrize("type", ["WEBHOOK", "SLACK_WEBHOOK"])
async def test_a_hook_to_a_private_address_is_not_made(strict: ActionContext, run: Run, host: str, type: str) -> None:
    """Nothing is stored; the error names the host."""
    with pytest.raises(InvalidInput, match="must not reach"):
        await create(strict, run, type=type, config={"url": f"http://{host}:8080/x"})
    assert await fetch_all(strict.database, "SELECT id FROM cloud_hook") == []


async def test_private_addresses_are_allowed_by_default(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """Most receivers of a server of one's own are in one's own network."""
    await create(hooked, run, config={"url": "http://127.0.0.1:8080/x"})
    await tell(hooked, run, "Failed")
    assert len(receiver.received) == 1


async def test_a_public_name_is_connected_by_its_address(
    strict: ActionContext, run: Run, receiver: Receiver, wire: Wire
) -> None:
    """The name stays in the Host header, and is what the certificate must be for."""
    await create(strict, run, config={"url": "https://public.example/x"})
    await tell(strict, run, "Failed")
    assert wire.connected == [(PUBLIC, "public.example")]
    assert [request.headers["host"] for request in receiver.received] == ["public.example"]
    assert await statuses(strict.database) == ["DELIVERED"]


async def test_a_name_that_leads_elsewhere_later_gains_nothing(
    strict: ActionContext, run: Run, receiver: Receiver, names: Names, wire: Wire
) -> None:
    """Rebinding: public when the hook is made and first used, this machine afterwards."""
    names.answers["turns.example"] = [PUBLIC, PUBLIC, "127.0.0.1"]
    await create(strict, run, config={"url": "http://turns.example/x"})
    await tell(strict, run, "Failed")
    await tell(strict, run, "Failed")
    assert wire.connected == [(PUBLIC, "turns.example")]
    assert len(receiver.received) == 1
    first, second = await deliveries(strict.database)
    assert (first["status"], second["status"]) == ("DELIVERED", "FAILED")
    assert "must not reach turns.example" in second["last_error"]


async def test_one_look_decides_and_connects(
    strict: ActionContext, run: Run, names: Names, wire: Wire, receiver: Receiver
) -> None:
    """Rebinding within one delivery: the name is looked up once, and what was judged is what is connected."""
    hook = await create(strict, run, config={"url": "http://public.example/x"})
    names.answers["public.example"] = [PUBLIC, "127.0.0.1"]
    assert (await cloud_hooks.test_cloud_hook(strict, cloud_hook_id=hook)).success
    assert wire.connected == [(PUBLIC, "public.example")]


async def test_a_stored_private_hook_is_not_delivered(
    strict: ActionContext, run: Run, receiver: Receiver, wire: Wire
) -> None:
    """One made before the setting was, or by the legacy server."""
    hook = await create(strict, run)
    await execute(strict.database, "UPDATE cloud_hook SET config = $1", {"url": "http://127.0.0.1:9/x"})
    await tell(strict, run, "Failed")
    assert await statuses(strict.database) == ["FAILED"]
    result = await cloud_hooks.test_cloud_hook(strict, cloud_hook_id=hook)
    assert result.success is False
    assert result.error is not None
    assert "must not reach 127.0.0.1" in result.error
    assert wire.connected == []
    assert receiver.received == []


async def test_a_name_without_address_is_tried_again(
    strict: ActionContext, run: Run, receiver: Receiver, names: Names, time: Time
) -> None:
    """It is no reason to refuse the hook: names come and go."""
    await create(strict, run, config={"url": "http://later.example/x"})
    await tell(strict, run, "Failed")
    assert await statuses(strict.database) == ["WAITING"]
    names.answers["later.example"] = [PUBLIC]
    time.pass_by(minutes=1)
    await worker(strict).drain()
    assert await statuses(strict.database) == ["DELIVERED"]
    assert len(receiver.received) == 1


async def test_the_next_address_is_tried(strict: ActionContext, run: Run, names: Names, wire: Wire) -> None:
    """A name may have several; all of them were judged."""
    names.answers["twin.example"] = [f"2606:2800:220:1::1,{PUBLIC}"]
    wire.dead = {"2606:2800:220:1::1"}
    await create(strict, run, config={"url": "http://twin.example/x"})
    await tell(strict, run, "Failed")
    assert [address for address, _ in wire.connected] == ["2606:2800:220:1::1", PUBLIC]
    assert await statuses(strict.database) == ["DELIVERED"]


async def test_a_redirect_to_a_private_address_is_not_followed(
    strict: ActionContext, run: Run, receiver: Receiver, wire: Wire
) -> None:
    receiver.status, receiver.headers = 302, "Location: http://127.0.0.1/\r\n"
    await create(strict, run, config={"url": "http://public.example/x"})
    await tell(strict, run, "Failed")
    assert [address for address, _ in wire.connected] == [PUBLIC]


async def test_user_and_password_of_a_url_are_sent_and_not_told(
    hooked: ActionContext, run: Run, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """They are a Basic header; neither the record of a failure nor the log has them."""
    await create(hooked, run, config={"url": "http://me:s3cret@receiver.example/x"})
    receiver.status = 401
    await write(hooked, run, "Failed")
    await worker(hooked).drain()
    [request] = receiver.received
    assert (request.basic_auth, request.headers["host"]) == ("me:s3cret", "receiver.example")
    [row] = await deliveries(hooked.database)
    assert row["status"] == "FAILED"
    assert "s3cret" not in caplog.text + row["last_error"]

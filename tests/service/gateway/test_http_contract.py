"""Every row of data-api.md §3.1, in process and again over real sockets.

The rows where the legacy server answered otherwise are marked; what it answered 500 or HTML to is a client's mistake
with `errors` in JSON here.
"""

import asyncio
import contextlib
import gzip
import json
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from graphql import get_introspection_query

from services.gateway.app import create_app
from services.gateway.reply import GZIP_BYTES
from tests.support.exchange import JSON, Exchange, Reply, Sent, framed, in_process, over_socket, posted, spoken
from tests.support.gateway import actions_service, data_service
from tests.support.servers import listening
from tests.support.settings import gateway_settings, server_settings

LIMIT = 20_000
LOGS_LIMIT = 200_000
HELLO = {"data": {"hello": "👋"}}
GZIP = ("Content-Encoding", "gzip")
BROWSER = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
ANYTHING = ("Accept", "*/*")
MUTATION = 'mutation { set_name(input: { name: "a" }) { success } }'
LONG = "{ " + " ".join(f"a{number}: hello" for number in range(400)) + " }"
UI_HEADERS = (
    "content-type,x-prefect-ui,x-backend,x-prefect-tenant-id,x-prefect-user-id,x-frame-options,"
    "x-content-type-options,x-permitted-cross-domain-policies,content-security-policy"
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A request and its answer.

    Attributes:
        sent: the request.
        status: of the answer.
        answer: the decoded body, if all of it is known.
        code: of the one error in the body.
        text: the body, if it is no JSON.
        media: content type of the answer.
        headers: further headers that it has.
        lacks: headers that it must not have.
    """

    sent: Sent
    status: int = 200
    answer: Any = None
    code: str | None = None
    text: str | None = None
    media: str | None = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()


def with_type(value: str, body: bytes = b'{"query":"{ hello }"}') -> Sent:
    """Return a POST whose Content-Type is this."""
    return Sent(headers=(("Content-Type", value),), body=body)


def refused(sent: Sent, status: int, code: str, **more: Any) -> Row:
    """Return the row of a request that is refused with one error."""
    return Row(sent=sent, status=status, code=code, **more)


def logs_of(
    size: int, query: str = "mutation($input: write_run_logs_input!) { write_run_logs(input: $input) { success } }"
) -> Sent:
    """Return a batch of logs of about this many bytes, as the 1.x client sends it."""
    return posted(query, json.dumps({"input": {"logs": [{"message": "x" * size}]}}))


ROWS = {
    # POST on any path
    "POST to /": Row(sent=posted("{ hello }"), answer=HELLO),
    "POST to /graphql": Row(sent=posted("{ hello }", target="/graphql"), answer=HELLO),
    "POST to /graphql/": Row(sent=posted("{ hello }", target="/graphql/"), answer=HELLO),
    "POST to /graphql/alpha": Row(sent=posted("{ hello }", target="/graphql/alpha"), answer=HELLO),
    "POST to any path": Row(sent=posted("{ hello }", target="/any/path%20at/all?x=1"), answer=HELLO),
    "POST to a page's path": Row(sent=posted("{ hello }", target="/health"), answer=HELLO),
    # variables
    "variables as an object": Row(
        sent=posted("query($v: JSON) { echo(value: $v) }", {"v": {"a": [1, None]}}),
        answer={"data": {"echo": {"a": [1, None]}}},
    ),
    "variables as a string": Row(
        sent=posted("query($v: JSON) { echo(value: $v) }", '{"v": {"a": [1, null]}}'),
        answer={"data": {"echo": {"a": [1, None]}}},
    ),
    "variables null": Row(sent=posted("{ hello }", None), answer=HELLO),
    "variables as the string null": Row(sent=posted("{ hello }", "null"), answer=HELLO),
    "variables as an empty string": Row(sent=posted("{ hello }", ""), answer=HELLO),
    "no variables": Row(sent=Sent(body=b'{"query":"{ hello }"}'), answer=HELLO),
    "variables that are no JSON": refused(posted("{ hello }", "{"), 400, "BAD_REQUEST"),
    "variables that are a list": refused(posted("{ hello }", [1]), 400, "BAD_REQUEST"),
    "variables that hold a list": refused(posted("{ hello }", "[1]"), 400, "BAD_REQUEST"),
    # content types; the legacy server: 500 text
    "charset utf-8": Row(sent=with_type("application/json; charset=utf-8"), answer=HELLO),
    "charset UTF-8, quoted": Row(sent=with_type('application/json;Charset="UTF-8"'), answer=HELLO),
    "other parameters": Row(sent=with_type("application/JSON; profile=x"), answer=HELLO),
    "a +json type": Row(sent=with_type("application/graphql+json"), answer=HELLO),
    "charset utf-16": refused(
        with_type("application/json; charset=utf-16", '{"query":"{ hello }"}'.encode("utf-16")),
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    "charset latin-1": refused(with_type("application/json; charset=iso-8859-1"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    "UTF-16 unannounced": refused(Sent(body='{"query":"{ hello }"}'.encode("utf-16-le")), 400, "BAD_REQUEST"),
    "UTF-16 with a byte order mark": refused(Sent(body='{"query":"{ hello }"}'.encode("utf-16")), 400, "BAD_REQUEST"),
    "a byte order mark": Row(sent=Sent(body=b'\xef\xbb\xbf{"query":"{ hello }"}'), answer=HELLO),
    "a form": refused(with_type("application/x-www-form-urlencoded", b"query=1"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    "a text": refused(with_type("text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    "application/graphql": refused(with_type("application/graphql", b"{ hello }"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    "no content type": refused(Sent(headers=(), body=b'{"query":"{ hello }"}'), 415, "UNSUPPORTED_MEDIA_TYPE"),
    # bodies; the legacy server: 500 text for the first three, 400 HTML for the fourth
    "an empty body": refused(Sent(), 400, "BAD_REQUEST"),
    "a blank body": refused(Sent(body=b" \r\n"), 400, "BAD_REQUEST"),
    "an empty batch": refused(Sent(body=b"[]"), 400, "BAD_REQUEST"),
    "malformed JSON": refused(Sent(body=b'{"query":'), 400, "BAD_REQUEST"),
    "bytes that are no text": refused(Sent(body=b'{"query":"\xff\xfe"}'), 400, "BAD_REQUEST"),
    "a string": refused(Sent(body=b'"{ hello }"'), 400, "BAD_REQUEST"),
    "no query": refused(Sent(body=b'{"variables":null}'), 400, "BAD_REQUEST"),
    "a query that is a number": refused(Sent(body=b'{"query":5}'), 400, "BAD_REQUEST"),
    "only the hash of a query": refused(
        Sent(body=b'{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"0"}}}'),
        200,
        "PERSISTED_QUERY_NOT_SUPPORTED",
    ),
    # size
    "as large as may be": Row(sent=posted("{ hello }", "null", padding="x" * (LIMIT - 58)), answer=HELLO),
    "one byte too large": refused(posted("{ hello }", "null", padding="x" * (LIMIT - 57)), 413, "PAYLOAD_TOO_LARGE"),
    "far too large": refused(Sent(body=b"x" * (5 * LOGS_LIMIT)), 413, "PAYLOAD_TOO_LARGE"),
    "too large, in pieces": refused(Sent(body=[b"x" * 1_000] * 21), 413, "PAYLOAD_TOO_LARGE"),
    "a body in pieces": Row(sent=Sent(body=[b'{"que', b'ry":"{ h', b'ello }"}']), answer=HELLO),
    "too large once inflated": refused(
        Sent(headers=(JSON, GZIP), body=gzip.compress(b"x" * LIMIT * 2, mtime=0)), 413, "PAYLOAD_TOO_LARGE"
    ),
    "a large batch of logs": Row(sent=logs_of(3 * LIMIT), answer={"data": {"write_run_logs": {"success": True}}}),
    "a large batch of logs in gzip": Row(
        sent=Sent(headers=(JSON, GZIP), body=gzip.compress(bytes(logs_of(3 * LIMIT).pieces[0]), mtime=0)),
        answer={"data": {"write_run_logs": {"success": True}}},
    ),
    "a large batch of logs in pieces": Row(
        sent=Sent(
            body=[bytes([byte]) for byte in logs_of(3 * LIMIT).pieces[0][:200]] + [logs_of(3 * LIMIT).pieces[0][200:]]
        ),
        answer={"data": {"write_run_logs": {"success": True}}},
    ),
    "a batch of logs far too large": refused(logs_of(LOGS_LIMIT), 413, "PAYLOAD_TOO_LARGE"),
    "large, and logs in name only": refused(
        logs_of(3 * LIMIT, "query write_run_logs { hello }"), 413, "PAYLOAD_TOO_LARGE"
    ),
    "large, and logs at first sight": refused(
        Sent(body=b'{"query":"mutation { write_run_logs(", "query":"{ hello }","x":"' + b"x" * 2 * LIMIT + b'"}'),
        413,
        "PAYLOAD_TOO_LARGE",
    ),
    # compression of what comes
    "gzip": Row(sent=Sent(headers=(JSON, GZIP), body=gzip.compress(b'{"query":"{ hello }"}', mtime=0)), answer=HELLO),
    "deflate": Row(
        sent=Sent(headers=(JSON, ("Content-Encoding", "Deflate")), body=zlib.compress(b'{"query":"{ hello }"}')),
        answer=HELLO,
    ),
    "gzip in pieces": Row(
        sent=Sent(
            headers=(JSON, GZIP), body=[bytes([byte]) for byte in gzip.compress(b'{"query":"{ hello }"}', mtime=0)]
        ),
        answer=HELLO,
    ),
    "broken gzip": refused(Sent(headers=(JSON, GZIP), body=b"zip"), 400, "BAD_REQUEST"),
    "an unknown encoding": refused(
        Sent(headers=(JSON, ("Content-Encoding", "br")), body=b"{}"), 415, "UNSUPPORTED_MEDIA_TYPE"
    ),
    # compression of what goes
    "a long answer in gzip": Row(
        sent=posted(LONG, headers=(JSON, ("Accept-Encoding", "gzip, deflate"))),
        headers={"content-encoding": "gzip", "vary": "Accept-Encoding"},
    ),
    "a long answer as it is": Row(sent=posted(LONG), headers={"vary": "Accept-Encoding"}, lacks=("content-encoding",)),
    "a long answer to who refuses gzip": Row(
        sent=posted(LONG, headers=(JSON, ("Accept-Encoding", "gzip;q=0, *"))),
        headers={"vary": "Accept-Encoding"},
        lacks=("content-encoding",),
    ),
    "a short answer to who takes gzip": Row(
        sent=posted("{ hello }", headers=(JSON, ("Accept-Encoding", "gzip, deflate"))),
        answer=HELLO,
        lacks=("content-encoding", "vary"),
    ),
    "a short answer to who takes nothing else": Row(
        sent=posted("{ hello }", headers=(JSON, ("Accept-Encoding", "gzip, identity;q=0"))),
        answer=HELLO,
        headers={"content-encoding": "gzip"},
    ),
    # GET
    "GET with a query": Row(
        sent=Sent(
            method="GET",
            target="/graphql?query=query%20A(%24n%3AInt)%7Bflow(limit%3A%24n)%7Bid%7D%7D%20query%20B%7Bhello%7D"
            "&variables=%7B%22n%22%3A1%7D&operationName=A",
            headers=(ANYTHING,),
        ),
        answer={"data": {"flow": [{"id": "f1"}]}},
    ),
    "GET with a mutation": refused(
        Sent(
            method="GET", target="/?query=mutation%7Bset_name(input%3A%7Bname%3A%22a%22%7D)%7Bsuccess%7D%7D", headers=()
        ),
        405,
        "BAD_REQUEST",
        headers={"allow": "POST"},
    ),
    "GET with broken variables": refused(
        Sent(method="GET", target="/?query=%7Bhello%7D&variables=%7B", headers=()), 400, "BAD_REQUEST"
    ),
    "GET without a query": Row(
        sent=Sent(method="GET", headers=(ANYTHING,)),
        status=400,
        text="GET query missing.",
        media="text/plain; charset=utf-8",
    ),
    "GET with a blank query": Row(
        sent=Sent(method="GET", target="/?query=%20", headers=()),
        status=400,
        text="GET query missing.",
        media="text/plain; charset=utf-8",
    ),
    "GET by a browser": Row(
        sent=Sent(method="GET", headers=(BROWSER,)), media="text/html; charset=utf-8", headers={"vary": "Accept"}
    ),
    "GET by a browser, with a query": Row(
        sent=Sent(method="GET", target="/graphql?query=%7Bhello%7D", headers=(BROWSER,)),
        media="text/html; charset=utf-8",
    ),
    "GET by who rather takes JSON": Row(
        sent=Sent(
            method="GET", target="/?query=%7Bhello%7D", headers=(("Accept", "application/json, text/html;q=0.9"),)
        ),
        answer=HELLO,
    ),
    # other methods
    **{
        f"{method} {target}": Row(
            sent=Sent(method=method, target=target, headers=()),
            status=405,
            code=None if method == "HEAD" else "BAD_REQUEST",
            headers={"allow": "GET, POST, OPTIONS"},
        )
        for method, target in (
            ("HEAD", "/"),
            ("PUT", "/graphql"),
            ("PATCH", "/"),
            ("DELETE", "/"),
            ("TRACE", "/"),
            ("PROPFIND", "/"),
        )
    },
    # health
    "health of Apollo": Row(
        sent=Sent(method="GET", target="/.well-known/apollo/server-health", headers=()),
        answer={"status": "pass"},
        media="application/health+json",
    ),
    "HEAD of it": Row(
        sent=Sent(method="HEAD", target="/.well-known/apollo/server-health", headers=()),
        media="application/health+json",
    ),
    "health for a browser": Row(
        sent=Sent(method="GET", target="/.well-known/apollo/server-health", headers=(BROWSER,)),
        answer={"status": "pass"},
        media="application/health+json",
    ),
    "ready": Row(sent=Sent(method="GET", target="/ready", headers=())),
    # CORS
    "preflight of the UI": Row(
        sent=Sent(
            method="OPTIONS",
            target="/graphql",
            headers=(
                ("Origin", "http://ui:8080"),
                ("Access-Control-Request-Method", "POST"),
                ("Access-Control-Request-Headers", UI_HEADERS),
            ),
        ),
        status=204,
        text="",
        media=None,
        headers={
            "access-control-allow-methods": "GET,HEAD,PUT,PATCH,POST,DELETE",
            "access-control-allow-headers": UI_HEADERS,
            "vary": "Access-Control-Request-Headers",
        },
        lacks=("content-length", "transfer-encoding"),
    ),
    "preflight on any path": Row(
        sent=Sent(method="OPTIONS", target="/any/where", headers=()),
        status=204,
        text="",
        media=None,
        headers={"access-control-allow-methods": "GET,HEAD,PUT,PATCH,POST,DELETE"},
        lacks=("access-control-allow-headers",),
    ),
    "headers that nobody needs": Row(
        sent=posted(
            "{ hello }",
            headers=(
                JSON,
                ("Authorization", "Bearer nobody"),
                ("X-Frame-Options", "x"),
                ("Cookie", "a=b"),
                ("X-PREFECT-TENANT-ID", "t"),
                ("X-Odd", "caf\xe9"),
            ),
        ),
        answer=HELLO,
    ),
    # batches
    "a batch": Row(
        sent=Sent(
            body=json.dumps(
                [
                    {"query": "{ hello }"},
                    {"query": '{ flow_by_pk(id: "f1") { name } }', "variables": "null"},
                    {"query": MUTATION, "variables": {}},
                ]
            ).encode()
        ),
        answer=[HELLO, {"data": {"flow_by_pk": {"name": "one"}}}, {"data": {"set_name": {"success": True}}}],
    ),
    "a batch of one": Row(sent=Sent(body=b'[{"query":"{ hello }"}]'), answer=[HELLO]),
    "a batch of more than the UI sends": Row(
        sent=Sent(body=json.dumps([{"query": f"{{ a{number}: hello }}"} for number in range(40)]).encode()),
        answer=[{"data": {f"a{number}": "👋"}} for number in range(40)],
    ),
    "a batch of too many": refused(
        Sent(body=json.dumps([{"query": "{ hello }"}] * 201).encode()), 413, "PAYLOAD_TOO_LARGE"
    ),
    # depth
    "as deep as may be": Row(
        sent=posted("{ flow { project { flows { project { flows { project { flows { id } } } } } } } }", "null"),
        answer={"data": {"flow": [{"project": None}] * 2}},
    ),
    "too deep": refused(
        posted(
            "query Deep { flow { project { flows { project { flows { project { flows { project { id } } } } } } } } }"
        ),
        400,
        "GRAPHQL_VALIDATION_FAILED",
    ),
}


@pytest.fixture(scope="module")
async def exchanges() -> AsyncIterator[dict[str, Exchange]]:
    """One gateway in process, and one behind a socket."""
    async with AsyncExitStack() as stack:
        settings = server_settings(gateway=gateway_settings(body_limit_bytes=LIMIT), logs_max_payload_bytes=LOGS_LIMIT)
        inside, outside = (
            create_app(settings, data=data_service(), actions=actions_service(), patience_seconds=30) for _ in range(2)
        )
        await stack.enter_async_context(inside.router.lifespan_context(inside))
        yield {
            "in process": in_process(inside),
            "over a socket": over_socket(await stack.enter_async_context(listening(outside))),
        }


@pytest.fixture(params=["in process", "over a socket"])
def exchange(request: pytest.FixtureRequest, exchanges: dict[str, Exchange]) -> Exchange:
    """The way to the gateway."""
    return exchanges[request.param]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
async def test_a_row(exchange: Exchange, row: Row) -> None:
    reply = await exchange(row.sent)
    assert reply.status == row.status, reply.body[:500]
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers.get("content-type") == row.media
    assert reply.headers.items() >= row.headers.items()
    assert not set(row.lacks) & reply.headers.keys()
    if row.sent.method == "HEAD":
        assert reply.body == b""
        return
    body = gzip.decompress(reply.body) if reply.headers.get("content-encoding") == "gzip" else reply.body
    if row.text is not None:
        assert body.decode() == row.text
    if row.answer is not None:
        assert json.loads(body) == row.answer
    if row.code is not None:
        document = json.loads(body)
        assert list(document) == ["errors"]
        (error,) = document["errors"]
        assert error["extensions"]["code"] == row.code
        assert error["message"]


async def test_a_batch_is_answered_in_order_each_by_itself(exchange: Exchange) -> None:
    """One member's failure is its own, and the answer is 200."""
    members: list[Any] = [
        {"query": "{ hello }"},
        {"query": "{ nope }"},
        5,
        {"query": "{ hello"},
        {"query": "query($n: Int!) { flow(limit: $n) { id } }", "variables": "{}"},
        {"query": 'mutation { set_name(input: {name: "taken"}) { success } }'},
        {"query": "{ flow(limit: 1) { id } }"},
    ]
    reply = await exchange(Sent(target="/graphql", body=json.dumps(members).encode()))
    assert reply.status == 200
    results = reply.json()
    assert results[0] == HELLO
    assert [list(result) for result in results[1:5]] == [["errors"]] * 4
    assert results[5]["data"] == {"set_name": None}
    assert results[6] == {"data": {"flow": [{"id": "f1"}]}}


async def test_what_is_compressed_is_the_same(exchange: Exchange) -> None:
    """Small and large ones, which are compressed in a thread."""
    for text in (LONG, get_introspection_query()):
        plain = await exchange(posted(text))
        packed = await exchange(posted(text, headers=(JSON, ("Accept-Encoding", "gzip"))))
        assert plain.status == packed.status == 200
        assert len(plain.body) >= GZIP_BYTES
        assert gzip.decompress(packed.body) == plain.body
        assert len(packed.body) < len(plain.body) / 3


async def test_the_ready_page_and_health_for_head(exchange: Exchange) -> None:
    """Probes may ask without wanting the body."""
    for target in ("/health", "/ready"):
        whole = await exchange(Sent(method="GET", target=target, headers=()))
        assert whole.json()["status"] == "ok"
        head = await exchange(Sent(method="HEAD", target=target, headers=()))
        assert (head.status, head.body) == (whole.status, b"")
        assert head.headers["content-length"] == str(len(whole.body))


@pytest.fixture
async def address(exchanges: dict[str, Exchange]) -> AsyncIterator[tuple[str, int]]:
    """Where a gateway listens that only raw bytes are sent to."""
    settings = server_settings(gateway=gateway_settings(body_limit_bytes=LIMIT))
    app = create_app(settings, data=data_service(), actions=actions_service(), patience_seconds=30)
    async with listening(app) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        yield host, int(port)


async def test_requests_in_a_row_on_one_connection(address: tuple[str, int]) -> None:
    """Pipelined requests are answered in their order, whatever becomes of each."""
    row = [posted("{ hello }"), posted("{ nope }"), Sent(body=b"{"), posted('{ flow_by_pk(id: "f1") { name } }')]
    said = await spoken(
        *address, b"".join(piece for sent in row[:3] for piece in framed(sent, last=False)), *framed(row[3])
    )
    statuses = re.findall(rb"HTTP/1.1 (\d+) ", said)
    assert statuses == [b"200", b"400", b"400", b"200"]
    assert said.endswith(b'{"data":{"flow_by_pk":{"name":"one"}}}')


async def test_a_client_that_asks_before_it_sends(address: tuple[str, int]) -> None:
    """Expect: 100-continue (curl sends it for larger bodies)."""
    body = b'{"query":"{ hello }"}'
    reader, writer = await asyncio.open_connection(*address)
    head = (
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nConnection: close\r\n"
    )
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(body)
        assert json.loads((await reader.read()).partition(b"\r\n\r\n")[2]) == HELLO
    writer.close()


async def test_a_body_far_too_large_is_refused_before_it_is_sent(address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
        b"Connection: close\r\nContent-Length: 99999999999\r\n\r\n"
    )
    async with asyncio.timeout(10):
        assert (await reader.readline()).split()[1] == b"413"
    writer.close()


@pytest.mark.parametrize("piece", [b"x" * 4096, b"x: y\r\n" * 500])
async def test_a_head_without_end_is_cut_off(address: tuple[str, int], piece: bytes) -> None:
    """As one header or as many: it is not kept until memory is full."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
    sent = 0
    with contextlib.suppress(ConnectionError):  # what was still on its way is not read any more
        async with asyncio.timeout(30):
            while not reader.at_eof():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
                sent += len(piece)
                assert sent < 2**25, "the server takes whatever comes"
    writer.close()
    reply: Reply = await over_socket(f"http://{address[0]}:{address[1]}")(posted("{ hello }"))
    assert reply.json() == HELLO


@pytest.mark.parametrize(
    "lie",
    [
        b"Content-Length: abc\r\n\r\n",
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nnot a size\r\n",
    ],
)
async def test_framing_that_makes_no_sense(address: tuple[str, int], lie: bytes) -> None:
    """The server answers 400 and closes; nothing of it reaches an upstream as a second request."""
    said = await spoken(*address, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + lie)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1 ") == 1


async def test_more_than_was_declared(address: tuple[str, int]) -> None:
    """What follows a body is another request, and no good one; the connection ends."""
    body = b'{"query":"{ hello }"}'
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    said = await spoken(*address, head + body + b"and more\r\n\r\n")
    assert b"HTTP/1.1 400 " in said
    assert said.count(b"HTTP/1.1 ") <= 2


async def test_a_client_that_leaves_in_the_middle(address: tuple[str, int]) -> None:
    """Nothing is executed, nothing breaks: the next one is served."""
    _, writer = await asyncio.open_connection(*address)
    writer.write(
        b'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"query":'
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    reply: Reply = await over_socket(f"http://{address[0]}:{address[1]}")(posted("{ hello }"))
    assert reply.json() == HELLO

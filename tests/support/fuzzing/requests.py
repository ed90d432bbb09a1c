"""Invents HTTP requests, from right ones to what is no HTTP at all, as the bytes that go over the wire. Pure."""

import codecs
import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote

from tests.support.fuzzing.documents import DOCUMENTS, TEXTS

QUERIES = [
    "{ hello }",
    "query Q { flow(limit: 1) { id } hello }",
    "query($n: Int) { flow(limit: $n) { id } }",
    "{ nope }",
]
QUERIES += ["mutation { delete_flow(input: { flow_id: null }) { success } }", "{ hello", "", "{ __typename }"]
PATHS = [
    "/",
    "/graphql",
    "/graphql/alpha",
    "//",
    "/%00",
    "/%ff",
    "/../../etc/passwd",
    "/a b",
    "/é",
    "/" + "x" * 5000,
    "*",
]
PATHS += [
    "/health",
    "/ready",
    "/.well-known/apollo/server-health",
    "/v1/graphql",
    "http://elsewhere/",
    "/?",
    "/#",
    "?",
    "",
]
METHODS = [
    "POST",
    "GET",
    "OPTIONS",
    "HEAD",
    "PUT",
    "PATCH",
    "DELETE",
    "TRACE",
    "CONNECT",
    "BREW",
    "post",
    "P\x01ST",
    "",
]
TYPES = ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/json; charset=utf-16"]
TYPES += [
    "application/graphql+json",
    "text/plain",
    "application/graphql",
    "multipart/form-data; boundary=x",
    "",
    ";",
    "a" * 9000,
]
ENCODINGS = ["gzip", "deflate", "identity", "x-gzip", "br", "gzip, gzip", "", "zstd", "GZIP"]
HEADERS = [
    ("Accept", "text/html"),
    ("Accept", "*/*"),
    ("Accept-Encoding", "gzip"),
    ("Accept-Encoding", "gzip;q=x, br, *;q=-1"),
]
HEADERS += [("X-PREFECT-CORE-VERSION", "1.4.1"), ("x-prefect-é", "ü"), ("X-Prefect-A", "a" * 5000), ("Origin", "null")]
HEADERS += [
    ("Access-Control-Request-Headers", "x, y\t, \x7f"),
    ("Access-Control-Request-Method", "POST"),
    ("Expect", "100-continue"),
]
HEADERS += [
    ("Upgrade", "h2c"),
    ("Connection", "upgrade, HTTP2-Settings"),
    ("Cookie", "a=b; " * 500),
    ("Host", "a\tb"),
    ("Range", "bytes=0-1"),
]
HEADERS += [
    ("X-Forwarded-For", "1, \x80, ::1"),
    ("Forwarded", 'for="'),
    ("X-Forwarded-Proto", "javascript"),
    ("Content-Length", "-1"),
]
HEADERS += [
    ("Content-Length", "+5"),
    ("Content-Length", "9" * 30),
    ("Transfer-Encoding", "gzip"),
    ("Bad Name", "x"),
    ("X", "a\x00b"),
    ("", "x"),
]
HEADERS += [
    ("X-Request-ID", "é" * 100),
    ("traceparent", "00-x-y-zz"),
    ("X-Forwarded-Prefix", "//x"),
    ("If-None-Match", "*"),
]


@dataclass(frozen=True, kw_only=True)
class Talk:
    """What is written to one connection.

    Attributes:
        payload: the bytes.
        answers: how many requests of it are right HTTP; each of them is answered.
        whole: nothing else is in it.
    """

    payload: bytes
    answers: int
    whole: bool


def talk(random: Random) -> Talk:
    """Invent one."""
    choice = random.random()
    if choice < 0.12:
        return Talk(payload=_broken(random), answers=0, whole=False)
    if choice < 0.2:
        count = random.choice([2, 3, 8])
        parts = [_request(random, odd=False, last=number == count - 1) for number in range(count)]
        return Talk(payload=b"".join(parts), answers=count, whole=True)
    odd = random.random() < 0.3
    request = _request(random, odd=odd, last=True)
    return Talk(payload=request, answers=0 if odd else 1, whole=not odd)


def _request(random: Random, *, odd: bool, last: bool) -> bytes:
    """Write a request; `odd`: its head may be wrong."""
    method = random.choice(METHODS if odd else ["POST"] * 12 + ["GET"] * 4 + ["OPTIONS", "PUT", "DELETE", "PATCH"])
    path = random.choice(PATHS) if odd else random.choice(["/", "/graphql", "/any/path", "/health", "/ready"])
    if method == "GET" or random.random() < 0.05:
        path += _parameters(random)
    body = _body(random) if method != "GET" or random.random() < 0.05 else b""
    headers = [("Host", "x"), ("Content-Type", random.choice(TYPES) if random.random() < 0.2 else TYPES[0])]
    if random.random() < 0.2:
        encoding = random.choice(ENCODINGS)
        headers.append(("Content-Encoding", encoding))
        body = _encoded(body, encoding, random)
    if odd:
        headers += random.sample(HEADERS, random.choice([0, 1, 3]))
        random.shuffle(headers)
        if random.random() < 0.03:
            headers += [(f"X-{number}", "v") for number in range(random.choice([100, 3000]))]
    if last:
        headers.append(("Connection", "close"))
    chunked = random.random() < 0.15
    if chunked:
        headers.append(("Transfer-Encoding", "chunked"))
        body = _chunks(body, random)
    elif body or method != "GET":
        headers.append(("Content-Length", str(len(body))))
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
    return head.encode("utf-8", "surrogateescape") + body


def _parameters(random: Random) -> str:
    values: Mapping[str, list[str]] = {
        "query": [*QUERIES, "\ufeff{hello}"],
        "variables": ["null", "{}", '{"n": 1}', "{", "[]", '"{}"', "1", ""],
        "operationName": ["Q", "", "nobody", "null"],
        "extensions": ['{"persistedQuery":{"version":1,"sha256Hash":"00"}}'],
    }
    chosen = random.sample(list(values), random.choice([0, 1, 2, 3]))
    pairs = [f"{name}={quote(random.choice(values[name]))}" for name in chosen]
    pairs += random.choice([[], [], ["query=%ff%fe"], ["query"], ["=&&;=%"], ["query=%7Bhello%7D"] * 3, ["a=b"] * 500])
    return "?" + "&".join(pairs)


def _body(random: Random) -> bytes:
    """Write a body: one operation, a batch, other JSON; then perhaps in another encoding, cut off, or damaged."""
    kind = random.random()
    value: Any
    if kind < 0.5:
        value = _operation(random)
    elif kind < 0.7:
        members = [_operation(random) for _ in range(random.choice([0, 1, 2, 25, 201]))]
        value = [random.choice([member, member, member, 5, None, [], {}]) for member in members]
    elif kind < 0.8:
        value = random.choice([*DOCUMENTS, *TEXTS])
    else:
        return random.choice(_RAW)
    body = json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    match random.randrange(12):
        case 0:
            return body[: random.randrange(len(body) + 1)]
        case 1:
            return _flipped(body, random)
        case 2:
            return codecs.BOM_UTF8 + body
        case 3:
            return body.decode("utf-8", "replace").encode(
                random.choice(["utf-16", "utf-16-le", "utf-32", "latin-1"]), "replace"
            )
        case 4:
            return body + random.choice([b"\0", b" ", b"}", body, b"\n\n"])
        case 5:
            return body.replace(b":", b" :\n\t", 3)
    return body


def _operation(random: Random) -> dict[str, Any]:
    members: dict[str, Any] = {
        "query": random.choice([*QUERIES, *QUERIES, None, 1, [], "\ud800", "x" * 9000]),
        "variables": random.choice(
            [None, "null", {}, {"n": 1}, '{"n": 1}', "{", [], 1, "", {"n": "x"}, {"n": 2**70}, {"": 1}]
        ),
        "operationName": random.choice([None, "Q", "", 1, [], "nobody"]),
        "extensions": random.choice([None, {}, 1, {"persistedQuery": {"version": 1, "sha256Hash": "00"}}]),
    }
    return {name: value for name, value in members.items() if name == "query" or random.random() < 0.5}


_RAW = [
    b"",
    b" \r\n ",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"query":' * 20_000,
    b'{"query":"{ hello }","variables":{"n":' + b"9" * 5_000 + b"}}",
    b'{"query":"{ hello }","variables":{"n":1e99999}}',
    b'{"query":"{ hello }","variables":{"n":NaN,"m":-Infinity}}',
    b'{"query":"{ hello }","query":"{ nope }"}',
    b'{"query":"\\ud800","variables":"\\udfff"}',
    b'{"query":"{ hello \\u0000 }"}',
    b'{"query":"{ hello }"' + b',"a":1' * 20_000 + b"}",
    b'"{ hello }"',
    b"{ hello }",
    b"query=%7Bhello%7D",
    b'{"query":"{ hello }"}' * 2,
    b"[" + b",".join([b'{"query":"{ __typename }"}'] * 200) + b"]",
    b'{"query":"{ hello } #' + b"x" * 6_000_000 + b'"}',
    b"x" * 20_000_000,
]


def _encoded(body: bytes, encoding: str, random: Random) -> bytes:
    if encoding.lower() in ("gzip", "x-gzip"):
        packed = gzip.compress(body, mtime=0)
        if random.random() < 0.1:
            packed = gzip.compress(b" " * 50_000_000, 1, mtime=0)
    elif encoding == "deflate":
        packed = zlib.compress(body)
    else:
        return body
    match random.randrange(8):
        case 0:
            return packed[: random.randrange(len(packed) + 1)]
        case 1:
            return _flipped(packed, random)
        case 2:
            return packed * random.choice([2, 100])
        case 3:
            return body
    return packed


def _chunks(body: bytes, random: Random) -> bytes:
    size = max(1, len(body) // random.choice([1, 2, 50]))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _flipped(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 3, 20])):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _broken(random: Random) -> bytes:
    """Write what is no HTTP, or breaks off."""
    whole = _request(random, odd=False, last=True)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return random.choice(
        [
            b"",
            b"\r\n" * 50,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(60),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/1.1\nHost: x\n\n",
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
            b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
            head + b"Content-Length: 1000\r\n\r\n{}",
            head + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
            head + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
            head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}",
            head + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}",
            head + b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
            random.randbytes(random.choice([1, 100, 5_000])),
            whole[: random.randrange(len(whole) + 1)],
            _flipped(whole, random),
            _flipped(whole[:200], random) + whole[200:],
        ]
    )

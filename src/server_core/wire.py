"""GraphQL over HTTP as values: what a client's body asks (GraphQLRequest), what a service answers (GraphQLResponse).

Every service parses bodies with the same rules (data-api.md §3.1): `variables` is an object, null or a string that
holds JSON, as the 1.x client sends it. Integers keep every digit: the standard library's json sees to that, and orjson,
which is several times faster, up to 64 bits. The gateway hands requests to a GraphQLService, in process or over HTTP,
and subscriptions to a LiveService.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import orjson

from server_core.errors import InvalidInput
from server_core.shape import Shape
from server_core.spool import Spool

if TYPE_CHECKING:
    from graphql import DocumentNode

GATEWAY_SIGN = "{ gateway: __typename }"
"""What a gateway asks the actions every few seconds, to show that clients can come in."""

REPEATABLE = frozenset(
    {
        *("set_flow_run_states", "set_task_run_states", "update_flow_run_heartbeat", "update_task_run_heartbeat"),
        *("write_run_logs", "get_runs_in_queue", "get_or_create_task_run", "get_or_create_task_run_info"),
        *("set_flow_run_name", "set_task_run_name", "register_agent"),
    }
)
"""Mutations of flow runs and agents that may be sent again although they were carried out: where their answer is lost,
the client is told to (actions.md §0.3)."""

PLAIN: Final = (b"x-graphql-plain", b"1")
"""The header by which the data service says over HTTP what GraphQLResponse.plain says in process."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


BEGINNING_BYTES = 1_024
"""So much of a body tells whether it is a batch of logs."""

_LOGS = r"mutation\b[^{{}}\"]{{0,300}}\{{{space}(?:\w+{space}:{space})?write_run_logs{space}\("
_LOGS_QUERY = re.compile(r"\s*" + _LOGS.format(space=r"\s*"))
_LOGS_BODY = re.compile((r'\s*\{\s*"query"\s*:\s*"(?:\s|\\[nrt])*' + _LOGS.format(space=r"(?:\s|\\[nrt])*")).encode())
_LONGEST_LOGS_QUERY = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class BodyLimits:
    """Largest bodies: of any request, and of a batch of logs.

    A client cuts a batch of logs by its characters, before JSON escapes them twice, and sends one that is refused every
    five seconds for ever, while later ones wait behind it. So a body that begins as a `write_run_logs` mutation may be
    larger (actions.md §2.9, client-operations.md §5.4).

    Attributes:
        body: bytes of a request.
        logs: bytes of one that writes logs; if less than `body`, that counts.
    """

    body: int
    logs: int

    @property
    def most(self) -> int:
        """The limit of the largest body of all."""
        return max(self.body, self.logs)

    def at(self, beginning: bytes) -> int:
        """Return the limit of a body that begins so; BEGINNING_BYTES of it are enough."""
        return self.most if _LOGS_BODY.match(beginning) else self.body

    def fits(self, length: int, request: "GraphQLRequest | Sequence[object]") -> bool:
        """Tell whether a decoded body of this length is within the limit that its beginning promised."""
        return length <= self.body or (isinstance(request, GraphQLRequest) and _is_log_write(request.query))


def _is_log_write(query: str) -> bool:
    return len(query) <= _LONGEST_LOGS_QUERY and _LOGS_QUERY.match(query) is not None


class Parsed:
    """A syntax tree, on its way from who parsed a document to who plans it next in this process.

    A tree is some fifty times as large as its text, so it is handed on, never kept: who takes it has it alone.

    Args:
        text: the document.
        tree: what was made of it. Not to be changed.
    """

    __slots__ = ("_text", "_tree")

    def __init__(self, text: str, tree: "DocumentNode") -> None:
        self._text = text
        self._tree: DocumentNode | None = tree

    def take(self, text: str, *, tokens: int) -> "DocumentNode | None":
        """Return the tree if it is still here, of this very text, and of no more than so many tokens."""
        tree = self._tree
        if tree is None or self._text != text or tree.token_count > tokens:
            return None
        self._tree = None
        return tree

    def drop(self) -> None:
        """Let go of the tree."""
        self._tree = None


@dataclass(kw_only=True, slots=True)
class GraphQLRequest:
    """One GraphQL operation. Not to be changed: that it is not frozen saves a microsecond for each of two per request.

    Attributes:
        query: document text.
        variables: raw variable values by name; empty when none were sent.
        operation_name: which operation of the document to run, or None.
        headers: the `x-prefect*` headers that came with it, names in lower case.
        read_only: the sender knows that it is a query; it may be sent again when a connection breaks.
        raw: the JSON body it was read from, so that it can be passed on without being written anew.
        shape: what `shape.cut` made of the document, so that nobody in this process has to cut it again. It counts only
            if it is of this very text.
        parsed: the document's syntax tree, if who sends the request has it; to be taken before anything is waited for.
        chunked: whoever asks takes a long answer in chunks.
    """

    query: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation_name: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False
    raw: bytes | None = field(default=None, repr=False, compare=False)
    shape: Shape | None = field(default=None, repr=False, compare=False)
    parsed: Parsed | None = field(default=None, repr=False, compare=False)
    chunked: bool = field(default=False, repr=False, compare=False)

    def body(self) -> bytes:
        """Return the request as a JSON body, as it is POSTed to an upstream."""
        if self.raw is not None:
            return self.raw
        document: dict[str, Any] = {"query": self.query, "variables": self.variables}
        if self.operation_name is not None:
            document["operationName"] = self.operation_name
        return json.dumps(document).encode()


class GraphQLResponse(NamedTuple):
    """The answer to one operation.

    Attributes:
        body: JSON, complete with `data` and, if any, `errors`.
        status: of HTTP.
        plain: whether it is known to hold data and no errors.
        chunks: where the request takes such, a long answer, which is plain; whoever gets it closes it in the end. The
            body is empty then.
    """

    body: bytes
    status: int = 200
    plain: bool = False
    chunks: Spool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceStatus:
    """How a service is doing.

    Attributes:
        ready: it can answer, and so can its database.
        version: of the program; empty if it does not tell.
        schema: a digest of its GraphQL schema; empty if it does not tell.
    """

    ready: bool
    version: str = ""
    schema: str = ""

    def document(self) -> dict[str, Any]:
        """Return what `/ready` of a service answers."""
        return {
            "status": "ok" if self.ready else "unavailable",
            "version": self.version,
            "schema": self.schema,
            "services": {"database": self.ready},
        }

    @classmethod
    def read(cls, body: bytes) -> "ServiceStatus":
        """Read such a document.

        Raises:
            ValueError: it is none.
        """
        document = loads(body)
        match document:
            case {"status": str(status), "version": str(version), "schema": str(schema)}:
                return cls(ready=status == "ok", version=version, schema=schema)
        raise ValueError("not the status of a service")


class GraphQLService(Protocol):
    """A service the gateway can call: the data API or the actions, in this process or behind HTTP."""

    async def start(self) -> None:
        """Open what the service needs (pools, caches); called once, before the first request."""

    async def stop(self) -> None:
        """Close what start opened, after requests in flight are done."""

    async def execute(self, request: GraphQLRequest) -> GraphQLResponse:
        """Answer one operation; never raises for a client's mistake."""

    async def status(self) -> ServiceStatus:
        """Tell how the service is doing, within a few seconds and cheaply enough for every second."""


def schema_digest(sdl: str) -> str:
    """Return what changes if and only if a schema does: ServiceStatus.schema."""
    return hashlib.sha256(sdl.encode()).hexdigest()[:16]


class Watcher(Protocol):
    """Who is told about a subscription; called in the event loop, must not wait."""

    def result(self, body: str) -> None:
        """Take a result, `{"data":…}`; it is complete and stands for all before it."""

    def ended(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """Take the errors that ended the subscription, none if it is complete; nothing follows."""


End = Callable[[], None]
"""Ends a subscription, without a word to its watcher; does nothing if it has ended."""


class LiveService(GraphQLService, Protocol):
    """A service that has subscriptions too."""

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> GraphQLResponse | End:
        """Begin a subscription: the watcher is told the result at once, and again whenever it changes.

        Returns:
            How to end it; or the answer of a request that was refused or is no subscription.
        """


_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
"""So many digits in a row may be an integer beyond 64 bits, of which orjson makes a float."""


def loads(text: str | bytes, *, exact: bool = False) -> Any:
    """Decode JSON, strictly: NaN and Infinity are not JSON.

    Args:
        exact: fractions as Decimal, so that no digit is lost.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        encoded = text.encode() if isinstance(text, str) else text
        document = orjson.loads(encoded)
        if not _holds_float(document) or (not exact and _LONG_NUMBER not in encoded.translate(_DIGITS_AS_ZEROS)):
            return document
    except (ValueError, RecursionError):
        pass  # or else what orjson does not read: halves of surrogate pairs, a byte order mark, UTF-16
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    elif text.startswith("\ufeff"):
        raise ValueError("JSON does not begin with a byte order mark")
    try:
        return (_EXACT if exact else _ROUNDED).decode(text)
    except ArithmeticError as error:  # an exponent that not even a Decimal has
        raise ValueError("a number is out of range") from error


def _holds_float(value: object) -> bool:
    """Tell whether a number has a fraction, an exponent, or more than 64 bits: orjson makes a float of all of these."""
    if isinstance(value, dict):
        return not _WHOLE.issuperset(map(type, value.values())) and any(map(_holds_float, value.values()))
    if isinstance(value, list):
        return not all_texts(value) and any(map(_holds_float, value))
    return isinstance(value, float)


def all_texts(values: Sequence[object]) -> bool:
    """Tell whether a list holds strings alone, in a fraction of the time that looking at each of them takes."""
    try:
        "".join(values)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_WHOLE = frozenset({str, int, bool, type(None)})
_EXACT = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=Decimal)
_ROUNDED = json.JSONDecoder(parse_constant=_refuse_constant)
"""Made once: that takes longer than reading a request."""


def parse_body(
    body: bytes, headers: Mapping[str, str] = NO_HEADERS, *, exact: bool = False
) -> GraphQLRequest | list[GraphQLRequest]:
    """Read the body of a POST: one operation, or a batch (array body) of them.

    Args:
        body: UTF-8 JSON text.
        headers: passed on in each request; keep only `x-prefect*` names, in lower case.
        exact: see loads.

    Raises:
        InvalidInput: the body is not JSON, not an object (or array of objects), or a member has a wrong type.
    """
    try:
        document = loads(body, exact=exact)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The request body is not valid JSON.") from error
    if isinstance(document, list):
        if not document:
            raise InvalidInput("The request body is an empty batch.")
        return [parse_request(member, headers, exact=exact) for member in document]
    return parse_request(document, headers, exact=exact)


def parse_request(
    document: object, headers: Mapping[str, str] = NO_HEADERS, *, exact: bool = False, raw: bytes | None = None
) -> GraphQLRequest:
    """Read one decoded operation object; see parse_body.

    Args:
        raw: the body, if the object is all of it.

    Raises:
        InvalidInput: it is not an object or a member has a wrong type.
    """
    if not isinstance(document, dict):
        raise InvalidInput("The request body must be a JSON object with a `query`.")
    query = document.get("query")
    if not isinstance(query, str) or not query.strip():
        raise InvalidInput("The request has no `query` text.")
    operation_name = document.get("operationName")
    if operation_name is not None and not isinstance(operation_name, str):
        raise InvalidInput("`operationName` must be a string or null.")
    return GraphQLRequest(
        query=query,
        variables=parse_variables(document.get("variables"), exact=exact),
        operation_name=operation_name or None,
        headers=headers,
        raw=raw,
    )


def parse_variables(value: object, *, exact: bool = False) -> Mapping[str, Any]:
    """Read the `variables` member: an object, null, or a string holding either as JSON.

    Raises:
        InvalidInput: it is anything else.
    """
    if isinstance(value, str):
        if not value.strip():
            return {}
        try:
            value = loads(value, exact=exact)
        except (ValueError, RecursionError) as error:
            raise InvalidInput("`variables` is a string but not valid JSON.") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput("`variables` must be an object, null, or a string holding JSON.")
    return value


def forwarded_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Keep the headers that reach resolvers: names that start with `x-prefect`, in lower case (actions.md §8.1)."""
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith("x-prefect")}


def errors_body(*errors: Mapping[str, Any]) -> bytes:
    """Return `{"errors": […]}`, the body of a request that was refused before any field ran."""
    document = {"errors": list(errors)}
    try:
        return orjson.dumps(document)
    except TypeError:  # a message quotes a lone surrogate that the client sent
        return json.dumps(document).encode()

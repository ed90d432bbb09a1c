"""Turns the bytes of a request into operations: inflated, decoded, one or a batch. Called by edge; no I/O."""

import zlib
from collections.abc import Mapping

from server_core.errors import InvalidInput
from server_core.wire import BEGINNING_BYTES, GraphQLRequest, loads, parse_request, parse_variables
from services.gateway.refusal import UNSUPPORTED, Refusal

BATCH_LIMIT = 200
"""Most operations in one array body; the UI sends 25."""

MEMBERS_LIMIT = 64
"""Most gzip members of one body. Usual is one; each costs a copy of what follows it, so many of them take minutes."""


_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii"})
_NOT_UTF8 = "The request body must be JSON in UTF-8."
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ENGINES = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


def too_large(limit: int) -> Refusal:
    """Return the refusal of a body over the limit."""
    return Refusal.plain(f"The request body is larger than {limit} bytes.", code="PAYLOAD_TOO_LARGE", status=413)


def check_content_type(value: str) -> None:
    """Accept JSON in UTF-8, with any other parameters.

    The legacy server answered 500 to other content types; what a client did wrong is a 415 here.

    Raises:
        Refusal: the body is declared to be something else; status 415.
    """
    if value == "application/json":
        return
    media, *parameters = (part.strip().lower() for part in value.split(";"))
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise Refusal.plain(
            "The request body must be JSON, sent with the header `Content-Type: application/json`.",
            code=UNSUPPORTED,
            status=415,
        )
    for parameter in parameters:
        name, _, charset = parameter.partition("=")
        if name.strip() == "charset" and charset.strip(" \"'") not in _CHARSETS:
            raise Refusal.plain(_NOT_UTF8, code=UNSUPPORTED, status=415)


def check_encoding(value: str) -> str:
    """Return a Content-Encoding header as inflate takes it: a name in lower case, empty for none.

    Raises:
        Refusal: it is not known; status 415.
    """
    name = value.strip().lower()
    if name in ("", "identity"):
        return ""
    if name not in _ENGINES:
        raise Refusal.plain(f"Content-Encoding {name[:40]!r} is not supported.", code=UNSUPPORTED, status=415)
    return name


def beginning(body: bytes, encoding: str) -> bytes:
    """Return how a body begins, inflated; empty where that cannot be told."""
    if not encoding:
        return body[:BEGINNING_BYTES]
    try:
        return zlib.decompressobj(_ENGINES[encoding]).decompress(body[: 2 * BEGINNING_BYTES], BEGINNING_BYTES)
    except zlib.error:
        return b""


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo the content encoding of a body, reading no more than the limit.

    Args:
        body: as it came.
        encoding: what check_encoding returned of the header.
        limit: most bytes of the result.

    Raises:
        Refusal: the data are broken (400), or the result is too large (413).
    """
    if not encoding:
        return body
    pieces: list[bytes] = []
    held = 0
    rest = body
    try:
        while rest:
            if len(pieces) == MEMBERS_LIMIT:
                raise Refusal.plain(f"A compressed request body may have {MEMBERS_LIMIT} parts at most.")
            engine = zlib.decompressobj(_ENGINES[encoding])
            piece = engine.decompress(rest, limit + 1 - held)
            held += len(piece)
            if held > limit:
                raise too_large(limit)
            if not engine.eof:
                raise Refusal.plain("The compressed request body is not complete.")
            pieces.append(piece)
            rest = engine.unused_data
    except zlib.error as error:
        raise Refusal.plain(f"The request body is not valid {encoding}.") from error
    return b"".join(pieces)


def read_body(body: bytes, headers: Mapping[str, str]) -> GraphQLRequest | list[GraphQLRequest | Refusal]:
    """Decode a JSON body.

    Args:
        body: JSON text, in UTF-8; a byte order mark is passed over.
        headers: the headers to pass on with each operation.

    Returns:
        One operation, or for an array body a list in its order, where a member that makes no sense is a refusal.

    Raises:
        Refusal: there is no body, it is not JSON, it is neither object nor array, or it is in UTF-16 or UTF-32, which a
            JSON decoder would read (400); or a batch is too long (413).
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    if not body or body.isspace():
        raise Refusal.plain("The request has no body.")
    if b"\0" in body[:4] or body.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Refusal.plain(_NOT_UTF8)
    try:
        document = loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal.plain("The request body is not valid JSON.") from error
    if not isinstance(document, list):
        single = _member(document, headers, body)
        if isinstance(single, Refusal):
            raise single
        return single
    if not document:
        raise Refusal.plain("The request body is an empty batch.")
    if len(document) > BATCH_LIMIT:
        raise Refusal.plain(f"A batch may hold {BATCH_LIMIT} operations at most.", status=413, code="PAYLOAD_TOO_LARGE")
    return [_member(member, headers, None) for member in document]


def _member(document: object, headers: Mapping[str, str], raw: bytes | None) -> GraphQLRequest | Refusal:
    if isinstance(document, dict) and not document.get("query") and _asks_for_persisted(document):
        return Refusal.plain("PersistedQueryNotSupported", code="PERSISTED_QUERY_NOT_SUPPORTED", status=200)
    try:
        return parse_request(document, headers, raw=raw)
    except InvalidInput as error:
        return Refusal.plain(error.message)


def _asks_for_persisted(document: Mapping[str, object]) -> bool:
    """Tell whether only the hash of a document was sent: such clients send the text when told that it is not kept."""
    extensions = document.get("extensions")
    return isinstance(extensions, dict) and "persistedQuery" in extensions


def read_query(parameters: Mapping[str, str], headers: Mapping[str, str]) -> GraphQLRequest:
    """Read the operation of a GET: `?query=&variables=&operationName=`.

    Raises:
        Refusal: variables are not JSON; status 400.
    """
    try:
        variables = parse_variables(parameters.get("variables"))
    except InvalidInput as error:
        raise Refusal.plain(error.message) from error
    return GraphQLRequest(
        query=parameters["query"],
        variables=variables,
        operation_name=parameters.get("operationName") or None,
        headers=headers,
    )

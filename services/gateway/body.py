"""Turns the bytes of a request into operations: inflated, decoded, one or a batch. Called by edge; no I/O."""

import zlib
from collections.abc import Mapping

from server_core.errors import InvalidInput
from server_core.wire import GraphQLRequest, loads, parse_request, parse_variables
from services.gateway.refusal import Refusal

BATCH_LIMIT = 200
"""Most operations in one array body; the UI sends 25."""

MEMBERS_LIMIT = 64
"""Most gzip members of one body. Usual is one; each costs a copy of what follows it, so many of them take minutes."""


def too_large(limit: int) -> Refusal:
    """Return the refusal of a body over the limit."""
    return Refusal.plain(f"The request body is larger than {limit} bytes.", code="PAYLOAD_TOO_LARGE", status=413)


def check_content_type(value: str) -> None:
    """Accept JSON, with any parameters.

    Raises:
        Refusal: the body is declared to be something else; status 415.
    """
    media = value.partition(";")[0].strip().lower()
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise Refusal.plain(
            "The request body must be JSON, sent with the header `Content-Type: application/json`.",
            code="UNSUPPORTED_MEDIA_TYPE",
            status=415,
        )


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo the content encoding of a body, reading no more than the limit.

    Args:
        body: as it came.
        encoding: the Content-Encoding header, empty for none.
        limit: most bytes of the result.

    Raises:
        Refusal: the encoding is not known (415), the data are broken (400), the result is too large (413).
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip", "deflate"):
        raise Refusal.plain(
            f"Content-Encoding {name[:40]!r} is not supported.", code="UNSUPPORTED_MEDIA_TYPE", status=415
        )
    pieces: list[bytes] = []
    held = 0
    rest = body
    try:
        while rest:
            if len(pieces) == MEMBERS_LIMIT:
                raise Refusal.plain(f"A compressed request body may have {MEMBERS_LIMIT} parts at most.")
            engine = zlib.decompressobj(zlib.MAX_WBITS if name == "deflate" else zlib.MAX_WBITS | 16)
            piece = engine.decompress(rest, limit + 1 - held)
            held += len(piece)
            if held > limit:
                raise too_large(limit)
            if not engine.eof:
                raise Refusal.plain("The compressed request body is not complete.")
            pieces.append(piece)
            rest = engine.unused_data
    except zlib.error as error:
        raise Refusal.plain(f"The request body is not valid {name}.") from error
    return b"".join(pieces)


def read_body(body: bytes, headers: Mapping[str, str]) -> GraphQLRequest | list[GraphQLRequest | Refusal]:
    """Decode a JSON body.

    Args:
        body: JSON text, in UTF-8.
        headers: the headers to pass on with each operation.

    Returns:
        One operation, or for an array body a list in its order, where a member that makes no sense is a refusal.

    Raises:
        Refusal: there is no body, it is not JSON, or it is neither object nor array; status 400.
    """
    if not body.strip():
        raise Refusal.plain("The request has no body.")
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
    try:
        request = parse_request(document, headers)
    except InvalidInput as error:
        return Refusal.plain(error.message)
    return GraphQLRequest(
        query=request.query,
        variables=request.variables,
        operation_name=request.operation_name,
        headers=headers,
        raw=raw,
    )


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

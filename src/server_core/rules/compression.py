"""base64(gzip(JSON)), as clients send a large flow → the document, never inflated beyond a limit. Called by actions."""

import base64
import json
import zlib
from typing import Any

from server_core.errors import InvalidInput, PayloadTooLarge

INFLATED_LIMIT = 64 * 1024 * 1024
"""Bytes of JSON; a flow of 20 000 tasks takes about 20 MB."""

_GZIP = 16 + zlib.MAX_WBITS


def inflate_json(text: str, *, limit: int = INFLATED_LIMIT) -> Any:
    """Return the decoded JSON value of a compressed string.

    Args:
        text: base64 of the gzipped JSON.
        limit: most bytes of JSON; whatever the text claims, no more than this is inflated.

    Raises:
        InvalidInput: it is not base64, not gzip, cut off, or not JSON.
        PayloadTooLarge: it inflates to more than the limit.
    """
    try:
        packed = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InvalidInput("Unable to decompress the flow: it is not valid base64.") from error
    inflater = zlib.decompressobj(_GZIP)
    try:
        inflated = inflater.decompress(packed, limit + 1)
    except zlib.error as error:
        raise InvalidInput("Unable to decompress the flow: it is not valid gzip.") from error
    if len(inflated) > limit:
        raise PayloadTooLarge(f"Unable to decompress the flow: it is larger than {limit} bytes.")
    if not inflater.eof or inflater.unused_data:
        raise InvalidInput("Unable to decompress the flow: the gzip data is cut off or followed by other data.")
    try:
        return json.loads(inflated)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("Unable to decompress the flow: it does not hold valid JSON.") from error

"""Where a list continues: an opaque token that carries the ids shown so far, so that no page repeats one."""

import base64
import binascii
import json
import zlib
from collections.abc import Sequence

from mmrec.errors import InvalidRequestError

_MAX_SHOWN = 2_000
_MAX_BYTES = 1_000_000


def page_token(shown_item_ids: Sequence[str]) -> str:
    """Token for the page after `shown_item_ids`; empty where the list has reached its greatest length."""
    if len(shown_item_ids) > _MAX_SHOWN:
        return ""
    return base64.urlsafe_b64encode(zlib.compress(json.dumps([1, *shown_item_ids]).encode())).decode()


def shown_items(token: str) -> tuple[str, ...]:
    """Ids shown on the pages before; none for an empty token. InvalidRequestError where this system did not make it."""
    if not token:
        return ()
    try:
        packed = base64.b64decode(token, altchars=b"-_", validate=True)
        document = json.loads(zlib.decompressobj().decompress(packed, _MAX_BYTES))
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        document = None
    if not isinstance(document, list) or document[:1] != [1] or not all(isinstance(i, str) for i in document[1:]):
        raise InvalidRequestError("page_token is not one that this service gave out; leave it empty for the first page")
    return tuple(document[1:])

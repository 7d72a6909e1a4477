"""The one rule for ids of users, items, events, sessions and requests.

id_problem("item_id", value)     "" where it is valid, else what is wrong with it and what would be right
"""

import re
from collections.abc import Sequence
from typing import Final

from mmrec.wire.shown import shown

MAX_ID_BYTES: Final = 256
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


def first_id_problem(name: str, values: Sequence[str]) -> str:
    """What is wrong with the first bad one of many ids, "" where all are valid; fast for thousands.

    Args:
        name: Of the list; the message adds the position.
        values: As id_problem() takes them.
    """
    joined = "".join(values)
    if joined.isascii() and not _CONTROL.search(joined) and max(map(len, values), default=0) <= MAX_ID_BYTES:
        return ""
    found = (problem for at, value in enumerate(values) if (problem := id_problem(f"{name}[{at}]", value)))
    return next(found, "")


def id_problem(name: str, value: str) -> str:
    """What is wrong with an id, "" where it is valid. An empty id is left to the caller, since its meaning differs.

    Args:
        name: Of the field, for the message.
        value: Any text, half surrogate pairs included.
    """
    if len(value) * 4 > MAX_ID_BYTES or not value.isascii():
        try:
            num_bytes = len(value.encode("utf-8"))
        except UnicodeEncodeError:
            return f"{name} is {shown(value)}, which holds half a surrogate pair; give UTF-8"
        if num_bytes > MAX_ID_BYTES:
            return f"{name} has {num_bytes} bytes; at most {MAX_ID_BYTES}"
    if _CONTROL.search(value):
        return f"{name} is {shown(value)}; no control characters"
    return ""

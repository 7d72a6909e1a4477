"""Decoded events as columns: the one table that codec, stream, log and examples share."""

import pyarrow as pa
import pyarrow.compute as pc

ANONYMOUS_PREFIX = "~"
"""Prefix of profile keys of anonymous ids; user ids may not begin with it."""

RESUBMITTED = "mmrec.resubmitted"
"""Name in the context map of an event that was resubmitted after a refusal; no cap applies to such an event."""
_IN_CONTEXT = f'"{RESUBMITTED}":'

EVENT_SCHEMA = pa.schema(
    [
        # The record's place; (source, partition, offset) is unique.
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("topic_id", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("ingest_time_s", pa.float64(), nullable=False),
        # Ingest time, or event time for imported history: when the system could know the event.
        pa.field("known_time_s", pa.float64(), nullable=False),
        pa.field("event_time_s", pa.float64(), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
        # user_id, or "~" + anonymous_id: what profiles are keyed by.
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("behavior", pa.string(), nullable=False),
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("quantity", pa.float64(), nullable=False),
        pa.field("price", pa.float64(), nullable=False),
        pa.field("currency", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("context", pa.string(), nullable=False),
        pa.field("imported", pa.bool_(), nullable=False),
    ]
)
"""Absent strings are "", absent numbers 0; `context` is a JSON object or ""."""

RAW_SCHEMA = pa.schema(
    [
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("ingest_time_s", pa.float64(), nullable=False),
    ]
)
"""Records as the broker delivers them, of one (cluster, topic)."""

REJECTED_SCHEMA = pa.schema(
    [
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("topic_id", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("original_key", pa.binary()),
        pa.field("original_value", pa.binary()),
        pa.field("ingest_time_s", pa.float64(), nullable=False),
    ]
)
"""Records that were refused; `reason` is a value of Rejection."""


def was_resubmitted(context: str) -> bool:
    """Whether the context of an event, a JSON object as text, says that it was resubmitted.

    Quotes are escaped within values, so a match can only be a name of the map.
    """
    return _IN_CONTEXT in context


def were_resubmitted(contexts: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """The same for a column of contexts; booleans."""
    return pc.match_substring(contexts, _IN_CONTEXT)


def user_key(user_id: str, anonymous_id: str) -> str:
    """Key of the profile an event belongs to: the user id, else "~" + anonymous id, else ""."""
    if user_id:
        return user_id
    return ANONYMOUS_PREFIX + anonymous_id if anonymous_id else ""

"""Which profile keys a request to forget concerns, according to all places that record logins.

    known = KnownLogins(store, log)
    keys = known.keys_of("ann", more=logins_among(records, decode))

Profiles name only the newest guests, and the log hides the logins of forgotten users. So both are read before the
request is sent. Logins that the stream has not read yet are on the topic.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.columns import EVENT_SCHEMA, RAW_SCHEMA
from mmrec.events.control import IDENTIFY
from mmrec.events.log import EventLog
from mmrec.events.producer import TopicRecord
from mmrec.features.ports import ProfileReader
from mmrec.scoring.identity import history_of, links_of
from mmrec.scoring.together import Link, one_person, user_by
from mmrec.stream.control_rows import LOGIN_COLUMNS, is_login
from mmrec.stream.replay import logins_in_log, naming
from mmrec.wire.portions import portions

Decode = Callable[[pa.Table], pa.Table]
"""Records, RAW_SCHEMA -> the valid control records among them, EVENT_SCHEMA."""
PORTION: Final = 10_000
"""Records decoded at a time."""
NO_LOGINS: Final = pa.schema([EVENT_SCHEMA.field(name) for name in LOGIN_COLUMNS]).empty_table()


class KnownLogins:
    """Who logged in as whom, by the log as of now, and by the profiles as of each call."""

    def __init__(self, store: ProfileReader, log: EventLog) -> None:
        """Read the log's identify rows.

        Raises:
            StoreError: the log failed.
        """
        self._store = store
        self._logged = logins_in_log(log, up_to_sequence=log.sequence())

    def keys_of(self, user_key: str, *, more: pa.Table = NO_LOGINS) -> list[str]:
        """The profile keys of one person, `user_key` first; of an anonymous id with the user of its newest login.

        Args:
            more: Further logins: at least LOGIN_COLUMNS.

        Raises:
            StoreError: the store failed.
        """
        logins = pa.concat_tables([self._logged, more.select(LOGIN_COLUMNS)])

        def linked(keys: Collection[str]) -> Iterator[Link]:
            yield from links_of(self._store.read_profiles(keys))
            mine = naming(logins, keys)
            yield from zip(mine["user_key"].to_pylist(), mine["item_id"].to_pylist(), strict=True)

        history = history_of(self._store.read_profiles([user_key]).get(user_key))
        mine = logins.filter(pc.equal(logins["item_id"], user_key))
        owner = user_by(history, zip(mine["known_time_s"].to_pylist(), mine["user_key"].to_pylist(), strict=True))
        return one_person(user_key, linked, owner=owner)[::-1]


def first_known(logins: pa.Table) -> dict[str, float]:
    """Known time of the first login that names each key, on either side."""
    found: dict[str, float] = {}
    for *sides, known_s in zip(*(logins[name].to_pylist() for name in LOGIN_COLUMNS), strict=True):
        for key in sides:
            found[key] = min(known_s, found.get(key, known_s))
    return found


def logins_among(records: Iterable[TopicRecord], decode: Decode) -> pa.Table:
    """The logins among records of the topic of events: LOGIN_COLUMNS."""
    # JSON may write the name with escapes; a value with neither the name nor an escape is no login and is not decoded.
    likely = (r for r in records if r.value is not None and (IDENTIFY.encode() in r.value or b"\\u" in r.value))
    found = [NO_LOGINS]
    for portion in portions(likely, PORTION):
        columns = {
            "key": [r.key for r in portion],
            "value": [r.value for r in portion],
            "partition": [r.partition for r in portion],
            "offset": [r.offset for r in portion],
            "ingest_time_s": [r.timestamp_s for r in portion],
        }
        control = decode(pa.table([columns[name] for name in RAW_SCHEMA.names], schema=RAW_SCHEMA))
        found.append(control.filter(pa.array(is_login(control))).select(LOGIN_COLUMNS))
    return pa.concat_tables(found)

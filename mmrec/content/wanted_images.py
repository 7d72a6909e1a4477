"""Items whose picture is still to be fetched, with when to try next: a file, so that no crash forgets one.

An item stands here from the moment it is read until its picture was published or the item has another record. What
fails stays, with its reason: a host that is away for an hour or a night does not cost an item its picture for ever.
"""

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmrec.catalog.item import CatalogItem, from_json_value, to_json_value
from mmrec.errors import InvalidRequestError
from mmrec.telemetry.logs import get_logger

AWAITED: Final = "awaited"
"""Reason of what was not tried yet."""
log = get_logger(__name__)
_LAYOUT: Final = """
create table if not exists wanted (
    item_id text primary key, value blob not null, shown_digest blob not null, attempts integer not null,
    next_s real not null, reason text not null, detail text not null
) without rowid;
create index if not exists wanted_next on wanted (next_s);
"""


@dataclass(frozen=True, kw_only=True)
class WantedImage:
    """One item to fetch for."""

    item: CatalogItem
    """Without its picture."""
    value: bytes
    """The item as it was kept: tells whether another record came meanwhile."""
    shown_digest: bytes
    """digest() of the picture it is published with; empty where it has none."""
    attempts: int
    """Fetches that failed so far."""


class WantedImages:
    """The list of one deployment; several processes and threads may share it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=60, check_same_thread=False)
        self._turn = threading.Lock()
        with self._turn, self._database:
            self._database.executescript(_LAYOUT)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def replace(self, wanted: Sequence[tuple[CatalogItem, bytes]], *, others: Iterable[str] = ()) -> None:
        """Newest records: these (item, shown digest) want a picture, due at once; items `others` want none any more."""
        rows = [(item.item_id, to_json_value(item), shown) for item, shown in wanted]
        with self._turn, self._database:
            self._database.executemany("delete from wanted where item_id = ?", ((i,) for i in others))
            self._database.executemany(f"insert or replace into wanted values (?, ?, ?, 0, 0, '{AWAITED}', '')", rows)  # noqa: S608

    def hasten(self) -> None:
        """Everything is due now."""
        with self._turn, self._database:
            self._database.execute("update wanted set next_s = 0")

    def take(self, limit: int, *, now_s: float, until_s: float) -> list[WantedImage]:
        """Items that are due, at most `limit`, longest due first; nobody is given them again before `until_s`."""
        query = "select item_id, value, shown_digest, attempts from wanted where next_s <= ? order by next_s limit ?"
        with self._turn, self._database:
            self._database.execute("begin immediate")
            rows = self._database.execute(query, (now_s, limit)).fetchall()
            taken = ((until_s, row[0]) for row in rows)
            self._database.executemany("update wanted set next_s = ? where item_id = ?", taken)
        found = []
        for item_id, value, shown, attempts in rows:
            try:  # as it was kept: after cleaning it need not be what a stranger may send
                item = from_json_value(value)
            except InvalidRequestError as error:
                log.warning("wanted_image_dropped", item_id=item_id, detail=str(error))
                self.replace([], others=[item_id])
                continue
            found.append(WantedImage(item=item, value=value, shown_digest=shown, attempts=attempts))
        return found

    def is_current(self, wanted: WantedImage) -> bool:
        """Whether no other record of the item came since it was taken."""
        query = "select count(*) from wanted where item_id = ? and value = ?"
        with self._turn, closing(self._database.execute(query, (wanted.item.item_id, wanted.value))) as found:
            return bool(found.fetchone()[0])

    def failed(self, wanted: WantedImage, *, reason: str, detail: str, next_s: float) -> None:
        """Keep it for `next_s`, with why it is not here."""
        values = (wanted.attempts + 1, next_s, reason, detail, wanted.item.item_id, wanted.value)
        with self._turn, self._database:
            self._database.execute(
                "update wanted set attempts = ?, next_s = ?, reason = ?, detail = ? where item_id = ? and value = ?",
                values,
            )

    def done(self, fetched: Iterable[WantedImage]) -> None:
        """Forget those, unless another record of the item came meanwhile."""
        with self._turn, self._database:
            self._database.executemany(
                "delete from wanted where item_id = ? and value = ?", ((w.item.item_id, w.value) for w in fetched)
            )

    def counts(self) -> dict[str, int]:
        """Items without their picture now, by reason."""
        with (
            self._turn,
            closing(
                self._database.execute("select reason, count(*) from wanted group by reason order by reason")
            ) as found,
        ):
            return {str(reason): int(number) for reason, number in found}

"""The catalogue as its topic has it, kept in a file so that a page of it costs the same at a million items.

    view = CatalogueView(path, topics, "catalog-items"); view.start()
    page = view.page("red dress", after=0, num_items=50)
    row = view.row("i1"); record = view.record(row)            the whole record, pictures included, from the topic

One row per item: what lists of items show, the item without its pictures, and where its record stands in the topic. The
file is derived: without it, or where the topic is another one, it is made anew. Refused records are left out; the state
before them is served on.
"""

import sqlite3
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from mmrec.catalog.item import CatalogItem, to_proto
from mmrec.catalog.refusals import ItemRefusal
from mmrec.catalog.rules import parse_change
from mmrec.errors import NotFoundError, StoreError
from mmrec.events.producer import TopicRecord
from mmrec.events.topics import TopicIdentity, Topics
from mmrec.telemetry.logs import get_logger
from mmrec.v1 import admin_pb2, catalog_pb2

log = get_logger(__name__)
RETRY_S: Final = 2.0
_WAIT_S: Final = 10.0
_PORTION: Final = 500
"""Records that catching up takes in at once."""
_LAYOUT: Final = """
pragma journal_mode = wal;
pragma synchronous = off;
create table topic (cluster_id text not null, topic_id text not null);
create table marks (partition integer primary key, next_offset integer not null);
create table items (
    place integer primary key, item_id text not null unique, summary blob not null, item blob not null,
    picture_uri text not null, partition integer not null, offset integer not null, ingest_s real not null
);
create virtual table words using fts5 (text, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
"""


@dataclass(frozen=True, kw_only=True)
class ItemRow:
    """One item of the catalogue."""

    place: int
    """Where pages continue; changes where the item is sent again."""
    summary: admin_pb2.ItemSummary
    item: catalog_pb2.CatalogItem
    """Without pictures and media."""
    picture_uri: str
    """Empty where the picture was sent with the item, or there is none."""
    partition: int
    offset: int
    ingest_s: float


class CatalogueView:
    """Follows the topic in a thread of its own. Safe to use from several threads; one process per file."""

    def __init__(self, path: Path, topics: Topics, topic: str) -> None:
        """Nothing is opened or read yet."""
        self._path, self._topics, self._topic = path, topics, topic
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="catalogue-view", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_WAIT_S)

    def catch_up(self) -> None:
        """Take in everything that the topic holds now.

        Raises:
            StoreError, NotFoundError: see Topics.
        """
        identity = self._topics.describe(self._topic)
        with self._writing:
            self._make(identity)
            records = iter(self._topics.read(self._topic, start=self._marks()))
            while portion := list(islice(records, _PORTION)):
                self._take(portion)

    def num_behind(self) -> int:
        """Records of the topic that were not taken in yet; errors as Topics.ends()."""
        marks = self._marks() if self._path.exists() else {}
        ends = self._topics.ends(self._topic)
        return sum(max(end - marks.get(partition, 0), 0) for partition, end in ends.items())

    def num_items(self) -> int:
        """How many items there are."""
        if not self._path.exists():
            return 0
        with self._open() as database:
            return int(database.execute("select count(*) from items").fetchone()[0])

    def page(self, query: str, *, after: int, num_items: int) -> list[ItemRow]:
        """Items in the order in which they were sent last.

        Args:
            query: Words that title or id must have, or begin with; empty for all.
            after: Only rows behind this place.
        """
        if not self._path.exists():
            return []
        chosen = "select * from items where place > ? order by place limit ?"
        asked: tuple[object, ...] = (after, num_items)
        if wanted := _words(query):
            chosen = (
                "select items.* from words join items on items.place = words.rowid "
                "where words match ? and words.rowid > ? order by words.rowid limit ?"
            )
            asked = (wanted, after, num_items)
        elif query.strip():
            return []  # nothing in it that could be a word
        with self._open() as database:
            return [_row(found) for found in database.execute(chosen, asked)]

    def row(self, item_id: str) -> ItemRow:
        """One item.

        Raises:
            NotFoundError: the catalogue has no such item.
        """
        found = None
        if self._path.exists():
            with self._open() as database:
                found = database.execute("select * from items where item_id = ?", (item_id,)).fetchone()
        if found is None:
            raise NotFoundError(f"item {item_id!r} is not in the catalogue, or was refused")
        return _row(found)

    def record(self, row: ItemRow) -> TopicRecord:
        """The whole record of a row, from the topic.

        Raises:
            NotFoundError: it was replaced meanwhile, and compacted away.
            StoreError: no broker answers.
        """
        start = {**self._topics.ends(self._topic), row.partition: row.offset}
        with closing(_generator(self._topics.read(self._topic, start=start))) as records:
            for record in records:
                if (record.partition, record.offset) == (row.partition, row.offset):
                    return record
                if record.partition == row.partition:
                    break  # compacted away
        raise NotFoundError(f"the record of item {row.summary.item_id!r} was replaced; ask again in a moment")

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                with self._writing:
                    self._make(self._topics.describe(self._topic))
                for records in self._topics.follow(self._topic, stop=self._stop.is_set, start=self._marks()):
                    with self._writing:
                        self._take(records)
            except Exception as error:  # a lost broker, a full disk or a damaged file must not end the thread
                log.warning("catalogue_not_followed", topic=self._topic, error=repr(error))
                self._stop.wait(RETRY_S)

    def _make(self, identity: TopicIdentity) -> None:
        """The file of this topic: the one that is there, or an empty one."""
        named = (identity.cluster_id, identity.topic_id)
        if self._path.exists():
            with suppress(StoreError), self._open() as database:
                if database.execute("select * from topic").fetchone() == named:
                    return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for ending in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        beside = self._path.with_name(f"{self._path.name}.new")
        beside.unlink(missing_ok=True)
        with closing(sqlite3.connect(beside)) as database, database:
            database.executescript(_LAYOUT)
            database.execute("insert into topic values (?, ?)", named)
        beside.replace(self._path)  # whole, so that nobody reads a file without its tables

    def _marks(self) -> dict[int, int]:
        with self._open() as database:
            return dict(database.execute("select partition, next_offset from marks"))

    def _take(self, records: Sequence[TopicRecord]) -> None:
        if not records:
            return
        with self._open() as database:
            marks = dict(database.execute("select partition, next_offset from marks"))
            for record in records:
                if record.offset < marks.get(record.partition, 0):
                    continue  # the other reader was first
                marks[record.partition] = record.offset + 1
                change = parse_change(record.key, record.value)
                if not isinstance(change, ItemRefusal):
                    _remove(database, change.item_id)
                    if change.item is not None:
                        _insert(database, change.item, record)
            database.executemany("insert or replace into marks values (?, ?)", marks.items())

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction; StoreError where the file is damaged."""
        try:
            with closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as database, database:
                database.execute("pragma synchronous = off")  # of each connection; a file that is derived may be lost
                yield database
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be used ({error}); it is made anew at the next start") from error


def item_summary(item: CatalogItem) -> admin_pb2.ItemSummary:
    """What a list of items shows of one."""
    return admin_pb2.ItemSummary(
        item_id=item.item_id,
        title=item.title,
        domain=item.domain,
        price=item.price,
        currency=item.currency,
        availability=catalog_pb2.Availability.Name(int(item.availability)),
        has_picture=item.image is not None or bool(item.image_uri),
    )


def _remove(database: sqlite3.Connection, item_id: str) -> None:
    found = database.execute("select place from items where item_id = ?", (item_id,)).fetchone()
    if found is not None:
        database.execute("delete from words where rowid = ?", found)
        database.execute("delete from items where place = ?", found)


def _insert(database: sqlite3.Connection, item: CatalogItem, record: TopicRecord) -> None:
    message = to_proto(item)
    message.ClearField("images")
    message.ClearField("media")
    place = database.execute(
        "insert into items (item_id, summary, item, picture_uri, partition, offset, ingest_s) values (?,?,?,?,?,?,?)",
        (
            item.item_id,
            item_summary(item).SerializeToString(),
            message.SerializeToString(),
            item.image_uri if item.image is None else "",
            record.partition,
            record.offset,
            record.timestamp_s,
        ),
    ).lastrowid
    text = f"{item.item_id} {item.title}".encode("utf-8", errors="replace").decode("utf-8")
    database.execute("insert into words (rowid, text) values (?, ?)", (place, text))


def _row(found: tuple[int, str, bytes, bytes, str, int, int, float]) -> ItemRow:
    place, _, summary, item, picture_uri, partition, offset, ingest_s = found
    return ItemRow(
        place=place,
        summary=admin_pb2.ItemSummary.FromString(summary),
        item=catalog_pb2.CatalogItem.FromString(item),
        picture_uri=picture_uri,
        partition=partition,
        offset=offset,
        ingest_s=ingest_s,
    )


def _words(query: str) -> str:
    """A query of FTS5: every word must be there, or begin one; nothing of the text is taken as an operator."""
    words = "".join(c if c.isalnum() else " " for c in query).split()
    return " ".join(f'"{word}"*' for word in words)


def _generator(records: Iterator[TopicRecord]) -> Generator[TopicRecord]:
    yield from records

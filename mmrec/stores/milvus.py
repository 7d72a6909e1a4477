"""Milvus as the store of record of item embeddings: what recall's first stage searches (METHODS M26).

One code for Milvus Lite's own server and for a cluster. Milvus Lite accepts index types it does not know and then
searches without them, so types are checked here.

Rows are numbered from 0 and keyed by that number; item ids are plain text beside it. So no id ever stands in an
expression: engines differ in how they read quotes, backslashes and Han characters there, and pymilvus's own iterator
writes the last id of a page into one as it is. Numbers also show what is missing: a page holds exactly the rows it
was asked for, or is an error. An item that comes later gets the next number, and when one goes, the last one takes
its number: so numbers stay without gaps, whenever the writer ends.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import numpy as np
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from mmrec.connections.engines import StoreSettings
from mmrec.connections.secrets import private_problem, read_secret
from mmrec.errors import ConfigurationError, IncompatibleStateError, NotFoundError, StoreError
from mmrec.index.vectors import (
    MAX_ITEM_ID_BYTES,
    Float32Array,
    StoredVectors,
    checked_additions,
    checked_collection,
)

INDEX_TYPES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "AUTOINDEX")
"""Those that Milvus Lite and servers from 2.3 on build alike."""
_BUILT_WITH: dict[str, dict[str, int]] = {
    "IVF_FLAT": {"nlist": 128},
    "IVF_SQ8": {"nlist": 128},
    "HNSW": {"M": 16, "efConstruction": 200},
}
"""Parameters of an index; a server takes none of them from itself."""
_LEAST_EF, _NUM_PROBES = 200, 16
"""HNSW searches among so many nearest at least; a server refuses fewer than the results asked for."""
_INSERT_ROWS = 1_000
_READ_ROWS = 1_000
_MAX_TEXT_BYTES = MAX_ITEM_ID_BYTES
"""Milvus counts bytes of a VARCHAR, Milvus Lite characters; bytes satisfy both."""
_SAID = "mmrec.description"
"""Property that holds the description, too: Milvus Lite keeps properties alone."""
_ROW, _ID, _VECTOR = "row_number", "item_id", "embedding"
# pymilvus pings an idle server every 10 s; a gRPC server that was not told to allow that (Milvus Lite's) ends the
# connection after a few (GOAWAY, too_many_pings) and the next call finds none. Every 5 minutes is what servers allow.
# After an outage gRPC waits up to two minutes before it connects again, for all channels of a process to an address
# together; so each client has its own pool, and waits for a second.
_CHANNEL_OPTIONS = {
    "grpc.keepalive_time_ms": 300_000,
    "grpc.keepalive_permit_without_calls": False,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.max_reconnect_backoff_ms": 1_000,
}
_CONNECT_TRIES = 3
_LOAD_S = 600.0
_LONG = ("flush", "create_index", "load_collection")
"""What an engine has most time for: to write a collection down, index it and bring it into memory. Everything else has
the store's own time-out."""
_READ_TRIES = 5
"""Reads of a collection while another process takes items out of it, before that counts as damage."""
# Milvus Lite sends no timestamps for iterators, which pymilvus reports as a warning each time.
logging.getLogger("pymilvus").setLevel(logging.ERROR)


class MilvusVectorStore:
    """Collections of one Milvus server."""

    def __init__(
        self,
        uri: str,
        *,
        index_type: str = "FLAT",
        timeout_s: float = 20.0,
        secured: "MilvusSecurity | None" = None,
    ) -> None:
        """Connect.

        Args:
            uri: With https:// for TLS.
            timeout_s: A call fails after this time where the server refuses or swallows, or after twice as long where
                it refused first and swallowed then.
            secured: What the connection is checked by, and the login; None for what the machine trusts, and no login.

        Raises:
            ConfigurationError: an unknown index type, or a file that is no secret.
            StoreError: no server answers, or it refuses the login.
        """
        if index_type not in INDEX_TYPES:
            raise ConfigurationError(f"index type {index_type!r} is not one of {', '.join(INDEX_TYPES)}")
        self._index_type = index_type
        self._timeout_s = timeout_s
        self._client: Any = _BoundedClient(_connected(uri, timeout_s, secured or MilvusSecurity()), timeout_s)
        self._rows_of: dict[str, dict[str, int]] = {}
        """Collection -> item id -> row number, of the collections that this process writes into."""

    def create_collection(
        self,
        name: str,
        item_ids: Sequence[str],
        vectors_ID: Float32Array,
        fields: Mapping[str, Sequence[str]],
        *,
        description: Mapping[str, Any] | None = None,
    ) -> None:
        """See VectorStore."""
        vectors_ID = checked_collection(item_ids, vectors_ID)
        self.drop(name)
        said = json.dumps(description or {}, sort_keys=True)
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False, description=said)
        schema.add_field(_ROW, DataType.INT64, is_primary=True)
        schema.add_field(_ID, DataType.VARCHAR, max_length=_MAX_TEXT_BYTES)
        schema.add_field(_VECTOR, DataType.FLOAT_VECTOR, dim=vectors_ID.shape[1])
        for field in fields:
            schema.add_field(field, DataType.VARCHAR, max_length=_MAX_TEXT_BYTES)
        index = self._client.prepare_index_params()
        index.add_index(
            field_name=_VECTOR,
            index_type=self._index_type,
            metric_type="IP",
            params=_BUILT_WITH.get(self._index_type, {}),
        )
        with _store_errors(f"collection {name!r} was not written"):
            # Strong: who reads it back at once, as publishing does, sees every row. A server then answers when its
            # clock has passed, up to .2 s later; requests never wait for that, since replicas search what they loaded.
            self._client.create_collection(name, schema=schema, consistency_level="Strong", properties={_SAID: said})
            for start in range(0, len(item_ids), _INSERT_ROWS):
                rows = range(start, min(start + _INSERT_ROWS, len(item_ids)))
                self._client.insert(name, [self._row(row, item_ids, vectors_ID, fields) for row in rows])
            # In this order: what a server has loaded before it is written down is searched by an index for the time
            # being, which misses some.
            self._client.flush(name)
            self._client.create_index(name, index_params=index)
            self._client.load_collection(name)

    @staticmethod
    def _row(
        row: int, item_ids: Sequence[str], vectors_ID: Float32Array, fields: Mapping[str, Sequence[str]]
    ) -> dict[str, Any]:
        texts = {field: _bounded(values[row]) for field, values in fields.items()}
        return {_ROW: row, _ID: item_ids[row], _VECTOR: vectors_ID[row].tolist(), **texts}

    def describe(self, name: str) -> dict[str, Any]:
        """See VectorStore."""
        found = self._describe(name)
        try:
            described = json.loads(found.get("description") or found.get("properties", {}).get(_SAID) or "{}")
        except ValueError:  # somebody else's words
            return {}
        return described if isinstance(described, dict) else {}

    def upsert(
        self, name: str, item_ids: Sequence[str], vectors_ID: Float32Array, fields: Mapping[str, Sequence[str]]
    ) -> None:
        """See VectorStore."""
        columns = self._columns(name)
        vectors_ID = checked_additions(name, item_ids, vectors_ID, embedding_dim=columns.embedding_dim)
        with self._writing(name, columns) as row_of:
            numbers = {item_id: row_of.get(item_id) for item_id in item_ids}
            added = (item_id for item_id, number in numbers.items() if number is None)
            numbers.update({item_id: number for number, item_id in enumerate(added, start=len(row_of))})
            texts = {field: fields.get(field, ("",) * len(item_ids)) for field in columns.texts}
            rows = [
                {**self._row(position, item_ids, vectors_ID, texts), _ROW: numbers[item_id]}
                for position, item_id in enumerate(item_ids)
            ]
            rows.sort(key=lambda row: int(row[_ROW]))  # whatever gets through, no number is left out
            for start in range(0, len(rows), _INSERT_ROWS):
                self._client.upsert(name, rows[start : start + _INSERT_ROWS])
            row_of.update({str(row[_ID]): int(row[_ROW]) for row in rows})

    def delete(self, name: str, item_ids: Sequence[str]) -> None:
        """See VectorStore."""
        columns = self._columns(name)
        with self._writing(name, columns) as row_of:
            gone = [item_id for item_id in dict.fromkeys(item_ids) if item_id in row_of]
            last_rows = self._last_rows(name, len(row_of), num_wanted=len(gone), texts=columns.texts)
            for item_id in gone:
                number, last = row_of[item_id], len(row_of) - 1
                if number != last:
                    moved = last_rows[number] = {**last_rows[last], _ROW: number}
                    self._client.upsert(name, [moved])
                    row_of[str(moved[_ID])] = number
                self._client.delete(name, ids=[last])
                del row_of[item_id]

    def _last_rows(
        self, name: str, num_rows: int, *, num_wanted: int, texts: tuple[str, ...]
    ) -> dict[int, dict[str, Any]]:
        """The last of `num_rows` rows by number: all that may take the number of one that goes.

        Read at once, since each read waits until the engine has seen the write before it.
        """
        wanted = [_ID, _VECTOR, *texts]
        found: dict[int, dict[str, Any]] = {}
        for start in range(num_rows - num_wanted, num_rows, _READ_ROWS):
            numbers = range(start, min(start + _READ_ROWS, num_rows))
            page = self._page(name, numbers, wanted, num_rows=num_rows)
            found.update({int(row[_ROW]): {field: row[field] for field in (_ROW, *wanted)} for row in page})
        return found

    @contextmanager
    def _writing(self, name: str, columns: "_Columns") -> Iterator[dict[str, int]]:
        """Row numbers by item id; they are read again after a failure, which may have come at any point."""
        if not columns.has_rows:
            raise IncompatibleStateError(f"collection {name!r} has no row numbers; publish the release's model again")
        place = columns.collection
        with _store_errors(f"collection {name!r} was not written"):
            try:
                if place not in self._rows_of:
                    self._rows_of[place] = self._read_row_numbers(name)
                yield self._rows_of[place]
            except BaseException:
                self._rows_of.pop(place, None)
                raise

    def _read_row_numbers(self, name: str) -> dict[str, int]:
        self._client.load_collection(name)
        row_of: dict[str, int] = {}
        for row in sorted((row for page in self._pages(name, [_ID]) for row in page), key=lambda row: int(row[_ROW])):
            if row_of.setdefault(str(row[_ID]), int(row[_ROW])) != int(row[_ROW]):
                # The writer before ended after the last item got the number of one that went.
                self._client.delete(name, ids=[int(row[_ROW])])
        return row_of

    def load(self, name: str) -> StoredVectors:
        """See VectorStore."""
        columns = self._columns(name)
        wanted, embedding_dim, fields = [_ID, _VECTOR, *columns.texts], columns.embedding_dim, columns.texts
        with _store_errors(f"collection {name!r} was not read"):
            self._client.load_collection(name)
            pages = self._whole_pages if columns.has_rows else self._pages_by_id
            read = [row for page in pages(name, wanted) for row in page]
        rows = sorted({str(row[_ID]): row for row in read}.values(), key=lambda row: str(row[_ID]))
        vectors_ID = np.array([row[_VECTOR] for row in rows], dtype=np.float32).reshape(len(rows), embedding_dim)
        return StoredVectors(
            item_ids=tuple(row[_ID] for row in rows),
            vectors_ID=vectors_ID,
            fields={field: tuple(row[field] for row in rows) for field in fields},
        )

    def _whole_pages(self, name: str, wanted: list[str]) -> list[list[dict[str, Any]]]:
        """_pages(), again where an item was taken out meanwhile."""
        for _ in range(_READ_TRIES - 1):
            with suppress(StoreError):
                return list(self._pages(name, wanted))
        return list(self._pages(name, wanted))

    def _pages(self, name: str, wanted: list[str]) -> Iterator[list[dict[str, Any]]]:
        """All rows, by their numbers; a page that lacks one is a StoreError."""
        counted = self._client.query(name, filter="", output_fields=["count(*)"])
        num_rows = int(counted[0]["count(*)"])
        for start in range(0, num_rows, _READ_ROWS):
            yield self._page(name, range(start, min(start + _READ_ROWS, num_rows)), wanted, num_rows=num_rows)

    def _page(self, name: str, numbers: range, wanted: list[str], *, num_rows: int) -> list[dict[str, Any]]:
        """The rows of these numbers, one after the other; StoreError where one is not there."""
        page: list[dict[str, Any]] = self._client.query(
            name,
            filter=f"{_ROW} >= {numbers.start} and {_ROW} < {numbers.stop}",
            output_fields=[_ROW, *wanted],
            limit=_READ_ROWS,
        )
        missing = set(numbers) - {int(row[_ROW]) for row in page}
        if missing or len(page) != len(numbers):
            raise StoreError(
                f"collection {name!r} counts {num_rows} rows, but {len(page)} came back for rows {numbers.start} to "
                f"{numbers.stop}, without {sorted(missing)[:3]}; publish it again"
            )
        return page

    def _pages_by_id(self, name: str, wanted: list[str]) -> Iterator[list[dict[str, Any]]]:
        """All rows of a collection made before rows were numbered, as far as the client's iterator can read it.

        It quotes no ids. Where the next page does not begin behind the one before, it would never end.
        """
        iterator = self._client.query_iterator(name, batch_size=_READ_ROWS, output_fields=wanted)
        last = ""
        try:
            while page := iterator.next():
                first = min(str(row[_ID]) for row in page)
                if last and first <= last:
                    raise IncompatibleStateError(
                        f"collection {name!r} cannot be read beyond item {last!r}, which its layout cannot quote; "
                        "publish the release's model again"
                    )
                last = max(str(row[_ID]) for row in page)
                yield page
        finally:
            iterator.close()

    def search(self, name: str, queries_QD: Float32Array, *, num_results: int) -> list[list[tuple[str, float]]]:
        """See VectorStore."""
        self._describe(name)
        with _store_errors(f"collection {name!r} was not searched"):
            hits = self._client.search(
                name,
                np.asarray(queries_QD, dtype=np.float32).tolist(),
                limit=num_results,
                anns_field=_VECTOR,
                output_fields=[_ID],
                search_params={"metric_type": "IP", "params": _searched_with(self._index_type, num_results)},
            )
        return [[(_found_id(hit), float(hit["distance"])) for hit in query] for query in hits]

    def point_alias(self, alias: str, name: str) -> None:
        """See VectorStore."""
        self._describe(name)
        with _store_errors(f"alias {alias!r} was not moved"):
            if self._client.has_collection(alias):
                self._client.alter_alias(name, alias)
            else:
                self._client.create_alias(name, alias)

    def drop(self, name: str) -> None:
        """See VectorStore."""
        with _store_errors(f"collection {name!r} was not dropped"):
            if not self._client.has_collection(name):
                return
            for alias in self._client.list_aliases(name).get("aliases", []):
                self._client.drop_alias(alias)
            self._client.drop_collection(name)
            self._rows_of.pop(name, None)

    def collections(self) -> tuple[str, ...]:
        """See VectorStore."""
        with _store_errors("collections were not listed"):
            return tuple(sorted(self._client.list_collections()))

    def _columns(self, name: str) -> "_Columns":
        described = self._describe(name)
        fields = {field["name"]: field for field in described["fields"]}
        return _Columns(
            collection=str(described.get("collection_name") or name),
            embedding_dim=int(fields[_VECTOR]["params"]["dim"]),
            texts=tuple(field for field in fields if field not in (_ROW, _ID, _VECTOR)),
            has_rows=_ROW in fields,
        )

    def _describe(self, name: str) -> dict[str, Any]:
        with _store_errors(f"collection {name!r} was not described"):
            if not self._client.has_collection(name):
                known = ", ".join(self.collections()) or "none"
                raise NotFoundError(f"no collection {name!r}; there are {known}")
            described: dict[str, Any] = self._client.describe_collection(name)
        return described


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """What a collection consists of."""

    collection: str
    """Its own name, whatever alias it was asked for by."""
    embedding_dim: int
    texts: tuple[str, ...]
    has_rows: bool
    """Whether rows are numbered; not so in collections of older versions."""


@dataclass(frozen=True, kw_only=True)
class MilvusSecurity:
    """Files that a connection needs; empty for none."""

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    token_file: str = ""

    @classmethod
    def of(cls, stores: StoreSettings) -> "MilvusSecurity":
        """As the configuration has them."""
        return cls(
            ca_file=stores.milvus_ca_file,
            certificate_file=stores.milvus_certificate_file,
            key_file=stores.milvus_key_file,
            token_file=stores.milvus_token_file,
        )

    def arguments(self) -> dict[str, Any]:
        """Of MilvusClient.

        Raises:
            ConfigurationError: a file is no secret, or others may read the key.
        """
        found: dict[str, Any] = {}
        if self.certificate_file:
            if problem := private_problem(self.key_file):
                raise ConfigurationError(f"stores.milvus_key_file is {self.key_file!r}: {problem}")
            found |= {
                "ca_pem_path": self.ca_file,
                "client_pem_path": self.certificate_file,
                "client_key_path": self.key_file,
            }
        elif self.ca_file:
            found["server_pem_path"] = self.ca_file  # the client's name for what it checks a server by
        if self.token_file:
            found["token"] = read_secret(self.token_file, setting="stores.milvus_token_file")
        return found


class _BoundedClient:
    """A MilvusClient each call of which is told when to give up: without a time-out it tries 75 times, or waits on."""

    def __init__(self, client: MilvusClient, timeout_s: float) -> None:
        self._client, self._timeout_s = client, timeout_s

    def __getattr__(self, name: str) -> Any:
        """A method of the client."""
        if name == "prepare_index_params":  # asks no server
            return self._client.prepare_index_params
        timeout_s = max(_LOAD_S, self._timeout_s) if name in _LONG else self._timeout_s
        return partial(getattr(self._client, name), timeout=timeout_s)


def _connected(uri: str, timeout_s: float, secured: MilvusSecurity) -> MilvusClient:
    """A client on a channel of its own; tried again, since a server may end a connection while it is being made."""
    tls = {"secure": True} if uri.startswith("https://") else {}
    arguments = {**tls, **secured.arguments()}
    where = uri.rpartition("@")[2]  # without a login
    for tries_left in reversed(range(_CONNECT_TRIES)):
        try:
            return MilvusClient(
                uri=uri, timeout=timeout_s, dedicated=True, grpc_options=dict(_CHANNEL_OPTIONS), **arguments
            )
        except (MilvusException, grpc.RpcError) as error:
            if not tries_left:
                raise StoreError(f"no Milvus at {where}: {_said(error)}; start it with `mmrec up`") from None
    raise AssertionError("unreachable")


def _said(error: Exception) -> str:
    """What an error of the client, or of gRPC below it, says."""
    if isinstance(error, grpc.RpcError) and hasattr(error, "code"):
        return f"{error.code().name}: {error.details()}"
    return str(error)


@contextmanager
def _store_errors(what: str) -> Iterator[None]:
    """What Milvus raises, as StoreError; a refused privilege comes as an error of gRPC."""
    try:
        yield
    except (MilvusException, grpc.RpcError) as error:
        raise StoreError(f"{what}: {_said(error)}") from error


def _searched_with(index_type: str, num_results: int) -> dict[str, int]:
    """Parameters of a search; a server refuses those that an index does not know."""
    if index_type == "HNSW":
        return {"ef": max(_LEAST_EF, num_results)}
    return {"nprobe": _NUM_PROBES} if index_type.startswith("IVF") else {}


def _found_id(hit: Mapping[str, Any]) -> str:
    """Item id of a hit; where it is the key of a collection, a server gives it as that alone."""
    entity = hit["entity"]
    return str(entity[_ID] if _ID in entity else hit["id"])


def _bounded(text: str) -> str:
    """Text cut to what a column holds, at a character's edge."""
    return text.encode("utf-8")[:_MAX_TEXT_BYTES].decode("utf-8", errors="ignore")

"""Milvus as the store of record of item embeddings.

One code for Milvus Lite's own server and for a cluster. Milvus Lite accepts index types it does not know and then
searches without them, so types are checked here (METHODS M26).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from mmrec.errors import ConfigurationError, NotFoundError, StoreError
from mmrec.index.vectors import Float32Array, StoredVectors, checked_vectors

INDEX_TYPES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "HNSW_SQ", "AUTOINDEX")
_INSERT_ROWS = 1_000
_READ_ROWS = 1_000
_MAX_TEXT_BYTES = 1_024
_ID, _VECTOR = "item_id", "embedding"
# pymilvus pings an idle server every 10 s; a gRPC server that was not told to allow that (Milvus Lite's) ends the
# connection after a few (GOAWAY, too_many_pings) and the next call finds none. Every 5 minutes is what servers allow.
_CHANNEL_OPTIONS = {"grpc.keepalive_time_ms": 300_000, "grpc.keepalive_permit_without_calls": False}
_CONNECT_TRIES = 3
# Milvus Lite sends no timestamps for iterators, which pymilvus reports as a warning each time.
logging.getLogger("pymilvus").setLevel(logging.ERROR)


class MilvusVectorStore:
    """Collections of one Milvus server."""

    def __init__(self, uri: str, *, index_type: str = "FLAT", timeout_s: float = 20.0) -> None:
        if index_type not in INDEX_TYPES:
            raise ConfigurationError(f"index type {index_type!r} is not one of {', '.join(INDEX_TYPES)}")
        self._index_type = index_type
        self._timeout_s = timeout_s
        self._client = _connected(uri, timeout_s)

    def create_collection(
        self, name: str, item_ids: Sequence[str], vectors_ID: Float32Array, fields: Mapping[str, Sequence[str]]
    ) -> None:
        """See VectorStore."""
        vectors_ID = checked_vectors(item_ids, vectors_ID)
        self.drop(name)
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(_ID, DataType.VARCHAR, is_primary=True, max_length=_MAX_TEXT_BYTES)
        schema.add_field(_VECTOR, DataType.FLOAT_VECTOR, dim=vectors_ID.shape[1])
        for field in fields:
            schema.add_field(field, DataType.VARCHAR, max_length=_MAX_TEXT_BYTES)
        index = self._client.prepare_index_params()
        index.add_index(field_name=_VECTOR, index_type=self._index_type, metric_type="IP")
        with _store_errors(f"collection {name!r} was not written"):
            self._client.create_collection(name, schema=schema, index_params=index, timeout=self._timeout_s)
            for start in range(0, len(item_ids), _INSERT_ROWS):
                rows = range(start, min(start + _INSERT_ROWS, len(item_ids)))
                self._client.insert(name, [self._row(row, item_ids, vectors_ID, fields) for row in rows])
            self._client.load_collection(name)

    @staticmethod
    def _row(
        row: int, item_ids: Sequence[str], vectors_ID: Float32Array, fields: Mapping[str, Sequence[str]]
    ) -> dict[str, Any]:
        texts = {field: _bounded(values[row]) for field, values in fields.items()}
        return {_ID: item_ids[row], _VECTOR: vectors_ID[row].tolist(), **texts}

    def load(self, name: str) -> StoredVectors:
        """See VectorStore."""
        description = self._describe(name)
        fields = [f["name"] for f in description["fields"] if f["name"] not in (_ID, _VECTOR)]
        embedding_dim = next(f["params"]["dim"] for f in description["fields"] if f["name"] == _VECTOR)
        rows: list[dict[str, Any]] = []
        with _store_errors(f"collection {name!r} was not read"):
            self._client.load_collection(name)
            iterator = self._client.query_iterator(name, batch_size=_READ_ROWS, output_fields=[_ID, _VECTOR, *fields])
            try:
                while batch := iterator.next():
                    rows.extend(batch)
            finally:
                iterator.close()
        rows.sort(key=lambda row: str(row[_ID]))
        vectors_ID = np.array([row[_VECTOR] for row in rows], dtype=np.float32).reshape(len(rows), int(embedding_dim))
        return StoredVectors(
            item_ids=tuple(row[_ID] for row in rows),
            vectors_ID=vectors_ID,
            fields={field: tuple(row[field] for row in rows) for field in fields},
        )

    def search(self, name: str, queries_QD: Float32Array, *, num_results: int) -> list[list[tuple[str, float]]]:
        """See VectorStore."""
        self._describe(name)
        with _store_errors(f"collection {name!r} was not searched"):
            hits = self._client.search(
                name, np.asarray(queries_QD, dtype=np.float32).tolist(), limit=num_results, anns_field=_VECTOR
            )
        return [[(str(hit[_ID]), float(hit["distance"])) for hit in query] for query in hits]

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

    def collections(self) -> tuple[str, ...]:
        """See VectorStore."""
        with _store_errors("collections were not listed"):
            return tuple(sorted(self._client.list_collections()))

    def _describe(self, name: str) -> dict[str, Any]:
        with _store_errors(f"collection {name!r} was not described"):
            if not self._client.has_collection(name):
                known = ", ".join(self.collections()) or "none"
                raise NotFoundError(f"no collection {name!r}; there are {known}")
            described: dict[str, Any] = self._client.describe_collection(name)
        return described


def _connected(uri: str, timeout_s: float) -> MilvusClient:
    """A client on a channel of its own; tried again, since a server may end a connection while it is being made."""
    for tries_left in reversed(range(_CONNECT_TRIES)):
        try:
            return MilvusClient(uri=uri, timeout=timeout_s, dedicated=True, grpc_options=dict(_CHANNEL_OPTIONS))
        except MilvusException as error:
            if not tries_left:
                raise StoreError(f"no Milvus at {uri}: {error}; start it with `mmrec up`") from None
    raise AssertionError("unreachable")


@contextmanager
def _store_errors(what: str) -> Iterator[None]:
    """What Milvus raises, as StoreError."""
    try:
        yield
    except MilvusException as error:
        raise StoreError(f"{what}: {error}") from error


def _bounded(text: str) -> str:
    """Text cut to what a column holds, at a character's edge."""
    return text.encode("utf-8")[:_MAX_TEXT_BYTES].decode("utf-8", errors="ignore")

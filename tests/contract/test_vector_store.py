"""Both vector stores keep the same laws: in memory, and Milvus behind its own server."""

import numpy as np
import pytest

from mmrec.errors import ConfigurationError, NotFoundError, StoreError
from mmrec.index.vectors import ExactIndex, MemoryVectorStore


@pytest.fixture(params=["memory", pytest.param("milvus", marks=pytest.mark.integration)])
def store(request):
    if request.param == "memory":
        yield MemoryVectorStore()
        return
    from mmrec.stores.milvus import MilvusVectorStore

    store = MilvusVectorStore(request.getfixturevalue("milvus_uri"))
    yield store
    for name in store.collections():
        store.drop(name)


def planted(num_items: int = 1_200):
    values = np.random.default_rng(2).normal(size=(num_items, 8)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return [f"item {row:04d} é" for row in range(num_items)], values


def test_what_was_written_comes_back_in_the_order_of_ids(store):
    item_ids, values = planted()
    backwards = np.arange(len(item_ids))[::-1]
    store.create_collection(
        "items_a", [item_ids[row] for row in backwards], values[backwards], {"title": [f"t{row}" for row in backwards]}
    )
    stored = store.load("items_a")
    assert list(stored.item_ids) == item_ids
    assert np.allclose(stored.vectors_ID, values, atol=1e-6)
    assert stored.fields["title"][:3] == ("t0", "t1", "t2")


def test_search_finds_what_exact_search_finds(store):
    item_ids, values = planted()
    store.create_collection("items_a", item_ids, values, {})
    queries_QD = values[:5] + values[5:10]
    exact = ExactIndex(item_ids, values).search(queries_QD, num_results=10)
    for hits, rows, scores in zip(
        store.search("items_a", queries_QD, num_results=10), exact.rows_QK, exact.scores_QK, strict=True
    ):
        assert [item_id for item_id, _ in hits] == [item_ids[row] for row in rows]
        assert np.allclose([score for _, score in hits], scores, atol=1e-5)


def test_an_alias_moves_from_one_collection_to_the_next(store):
    item_ids, values = planted(10)
    store.create_collection("items_a", item_ids, values, {})
    store.create_collection("items_b", item_ids[:4], values[:4], {})
    store.point_alias("items_live", "items_a")
    assert len(store.load("items_live").item_ids) == 10
    store.point_alias("items_live", "items_b")
    assert len(store.load("items_live").item_ids) == 4


def test_writing_again_replaces_and_dropping_forgets(store):
    item_ids, values = planted(10)
    store.create_collection("items_a", item_ids, values, {})
    store.create_collection("items_a", item_ids[:3], values[:3], {})
    assert len(store.load("items_a").item_ids) == 3
    assert store.collections() == ("items_a",)
    store.point_alias("items_live", "items_a")
    store.drop("items_a")
    store.drop("items_a")
    assert store.collections() == ()
    with pytest.raises(NotFoundError, match="items_a"):
        store.load("items_a")
    with pytest.raises(NotFoundError, match="items_live"):
        store.load("items_live")
    with pytest.raises(NotFoundError, match="items_a"):
        store.point_alias("items_live", "items_a")


@pytest.mark.integration
def test_what_milvus_refuses_is_a_store_error(milvus_uri):
    from mmrec.stores.milvus import MilvusVectorStore

    store = MilvusVectorStore(milvus_uri)
    item_ids, values = planted(10)
    store.create_collection("items_narrow", item_ids, values, {})
    with pytest.raises(StoreError, match="items_narrow"):
        store.search("items_narrow", np.ones((1, 3), dtype=np.float32), num_results=2)
    store.drop("items_narrow")


def test_index_types_that_milvus_only_pretends_to_know_are_refused():
    from mmrec.stores.milvus import MilvusVectorStore

    with pytest.raises(ConfigurationError, match="SCANN"):
        MilvusVectorStore("http://127.0.0.1:1", index_type="SCANN")

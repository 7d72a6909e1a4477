"""All vector stores keep the same laws: in memory, Milvus Lite behind its own server, and a real Milvus server.

MMREC_TEST_MILVUS=... make test-long      with the real server (tests.milvus_server says what may be named)
"""

import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mmrec.errors import ConfigurationError, InvalidRequestError, NotFoundError, StoreError
from mmrec.index.faiss_index import FaissIndex
from mmrec.index.vectors import ExactIndex, MemoryVectorStore
from mmrec.wire.ids import MAX_ID_BYTES, id_problem


@pytest.fixture(
    params=[
        "memory",
        pytest.param("milvus_uri", id="lite", marks=pytest.mark.integration),
        pytest.param("real_milvus", id="real", marks=[pytest.mark.integration, pytest.mark.long]),
    ]
)
def store(request):
    if request.param == "memory":
        yield MemoryVectorStore()
        return
    from mmrec.stores.milvus import MilvusVectorStore

    store = MilvusVectorStore(request.getfixturevalue(request.param))
    yield store
    for name in store.collections():
        store.drop(name)


AWKWARD_IDS = (
    *('tv 5"', "cat\\new", '"', "\\", "'", '\\"', "ends in \\", "\\\\", "\\n", "\\u4e2d", "it's", "`", "$meta", "{id}"),
    *(
        "' OR 1==1",
        'x" or item_id != "',
        "item_id in []",
        "50%",
        "_",
        "%s",
        "*",
        "~x",
        "null",
        "true",
        "0",
        "-1",
        "1e9",
    ),
    *("../../etc", "a/b", "a:b", "#", " leading", "trailing ", " ", "\u00a0", "\u2028", "\u2029", "\u200b", "\ufeff"),
    *("中文", "\U00020000", "é", "e\u0301", "É", "ß", "ss", "SS", "ﬁ", "\u202eabc", "👨\u200d👩\u200d👧", "\u0301"),
    *("😀" * (MAX_ID_BYTES // 4), '"' * MAX_ID_BYTES, "\\" * MAX_ID_BYTES, "~" * MAX_ID_BYTES, "\U0010ffff", "\uffff"),
)
"""Ids that the doors take and that have meant something else to somebody."""
INDEX_TYPES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "AUTOINDEX")
READ_ROWS = 1_000
"""Rows that Milvus is asked for at a time: where a page ends."""


def accepted_ids():
    text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=80)
    marked = st.text(st.sampled_from("\"\\'%${}[]()=<>!&|`~*?:/#, naé中😀"), min_size=1, max_size=12)
    return (text | marked).filter(lambda item_id: not id_problem("item_id", item_id))


def vectors_of(item_ids) -> np.ndarray:
    """A vector of each id's own, so that a vector under another id is seen."""
    values = np.random.default_rng(len(item_ids)).normal(size=(len(item_ids), 4)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


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
    queries_QD = values[:5] + 0.5 * values[5:10]  # of two equally near items either may come first
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


def assert_comes_back(store, item_ids) -> None:
    values = vectors_of(item_ids)
    store.create_collection("items_a", item_ids, values, {"title": list(item_ids)})
    stored = store.load("items_a")
    order = sorted(range(len(item_ids)), key=lambda row: item_ids[row])
    assert list(stored.item_ids) == [item_ids[row] for row in order]
    assert np.array_equal(stored.vectors_ID, values[order])
    assert stored.fields["title"] == stored.item_ids
    found = store.search("items_a", values[:3], num_results=1)
    assert [hits[0][0] for hits in found] == list(item_ids[:3])


@pytest.mark.parametrize("item_id", [*AWKWARD_IDS[:8], *AWKWARD_IDS[-6:]])
def test_an_id_that_the_doors_take_may_be_alone_in_a_collection(store, item_id):
    assert not id_problem("item_id", item_id)
    assert_comes_back(store, [item_id])


def test_ids_that_differ_only_in_case_normalization_or_spaces_stay_apart(store):
    same = ["é", unicodedata.normalize("NFD", "é"), "É", "a", "A", "a ", " a", "ａ", "a\u200b"]
    assert_comes_back(store, same)


@pytest.mark.parametrize("awkward", ['tv 5"', "cat\\new", "ends in \\", "' OR 1==1", '" or item_id != "'])
def test_any_id_may_be_the_last_of_a_page_and_the_first_of_the_next(store, awkward):
    """The awkward id comes first in the order of ids, in the middle, and last; pages end at each place once."""
    smaller = [f"\x20{row:04d}" for row in range(READ_ROWS - 1)]
    assert_comes_back(store, [*smaller, awkward, f"{awkward}x", "\U0010ffff last"])
    assert_comes_back(store, [*[f"{awkward}{row:04d}" for row in range(READ_ROWS)], f"{awkward}~"])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(item_ids=st.lists(accepted_ids(), min_size=1, max_size=60, unique=True))
@example(item_ids=list(AWKWARD_IDS))
def test_any_set_of_ids_comes_back_as_it_was(store, item_ids):
    assert_comes_back(store, item_ids)


def test_an_id_that_no_collection_holds_is_refused_by_name(store):
    item_ids = ["short", "long-" + "é" * 512]
    with pytest.raises(InvalidRequestError, match=r"long-é.* has 1029 bytes; a collection takes at most 1024"):
        store.create_collection("items_a", item_ids, vectors_of(item_ids), {})
    assert store.collections() == ()


@pytest.mark.integration
def test_a_collection_that_lost_a_row_is_not_read(any_milvus):
    from pymilvus import MilvusClient

    from mmrec.stores.milvus import MilvusVectorStore

    store = MilvusVectorStore(any_milvus)
    item_ids, values = planted(1_200)
    store.create_collection("items_holed", item_ids, values, {})
    client = MilvusClient(any_milvus, dedicated=True)
    client.delete("items_holed", ids=[1_007])
    client.close()
    with pytest.raises(StoreError, match=r"'items_holed' counts 1199 rows.*\[1007\].*publish it again"):
        store.load("items_holed")
    store.drop("items_holed")


@pytest.mark.integration
@pytest.mark.parametrize(("awkward", "reads"), [("plain", True), ('tv 5"', False), ("cat\\new", False)])
def test_a_collection_keyed_by_ids_is_read_or_refused_but_never_read_for_ever(milvus_uri, awkward, reads):
    """Collections made before rows were numbered have the item id as their key; Milvus Lite alone held such."""
    from pymilvus import DataType, MilvusClient

    from mmrec.stores.milvus import MilvusVectorStore

    client = MilvusClient(milvus_uri, dedicated=True)
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("item_id", DataType.VARCHAR, is_primary=True, max_length=1_024)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=4)
    index = client.prepare_index_params()
    index.add_index(field_name="embedding", index_type="FLAT", metric_type="IP")
    client.create_collection("items_keyed", schema=schema, index_params=index)
    item_ids = [*(f" {row:04d}" for row in range(READ_ROWS - 1)), awkward, "~ last"]
    values = vectors_of(item_ids)
    for rows in (slice(0, 600), slice(600, None)):
        client.insert(
            "items_keyed",
            [{"item_id": i, "embedding": v.tolist()} for i, v in zip(item_ids[rows], values[rows], strict=True)],
        )
    client.close()
    store = MilvusVectorStore(milvus_uri)
    if reads:
        assert store.load("items_keyed").item_ids == tuple(item_ids)
        assert store.search("items_keyed", values[:1], num_results=1)[0][0][0] == item_ids[0]
    else:
        with pytest.raises(StoreError, match="items_keyed"):
            store.load("items_keyed")
    store.drop("items_keyed")


@pytest.mark.integration
def test_what_milvus_refuses_is_a_store_error(any_milvus):
    from mmrec.stores.milvus import MilvusVectorStore

    store = MilvusVectorStore(any_milvus)
    item_ids, values = planted(10)
    store.create_collection("items_narrow", item_ids, values, {})
    with pytest.raises(StoreError, match="items_narrow"):
        store.search("items_narrow", np.ones((1, 3), dtype=np.float32), num_results=2)
    store.drop("items_narrow")


@pytest.mark.integration
@pytest.mark.parametrize("index_type", INDEX_TYPES)
def test_every_index_type_finds_what_exact_search_finds(any_milvus, index_type):
    from mmrec.stores.milvus import MilvusVectorStore

    store = MilvusVectorStore(any_milvus, index_type=index_type)
    item_ids, values = planted(1_200)
    store.create_collection("items_indexed", item_ids, values, {})
    found = store.search("items_indexed", values[:20], num_results=250)
    assert [hits[0][0] for hits in found] == item_ids[:20]
    least = 250 if index_type == "FLAT" else 20
    assert all(len(hits) >= least for hits in found)
    store.drop("items_indexed")


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_what_is_filtered_is_searched_exactly_whatever_store_it_was_loaded_from(store, share):
    """Milvus Lite's own filtered HNSW finds a third of them; so replicas filter what they loaded, by themselves."""
    item_ids, values = planted()
    store.create_collection("items_a", item_ids, values, {})
    loaded = store.load("items_a")
    allowed_I = np.random.default_rng(5).random(len(item_ids)) < share
    queries_QD = values[:8] + 0.5 * values[8:16]
    exact = ExactIndex(item_ids, values).search(queries_QD, num_results=20, allowed_I=allowed_I)
    found = FaissIndex(loaded.item_ids, loaded.vectors_ID).search(queries_QD, num_results=20, allowed_I=allowed_I)
    assert (found.rows_QK == exact.rows_QK).all()


def test_index_types_that_milvus_only_pretends_to_know_are_refused():
    from mmrec.stores.milvus import MilvusVectorStore

    with pytest.raises(ConfigurationError, match="SCANN"):
        MilvusVectorStore("http://127.0.0.1:1", index_type="SCANN")


def test_items_that_come_change_and_go_leave_the_collection_that_is_written_at_once(store):
    item_ids, values = planted(40)
    store.create_collection("items_a", item_ids[:30], values[:30], {"title": item_ids[:30], "share": ["1"] * 30})
    store.point_alias("items_live", "items_a")
    store.upsert("items_live", [item_ids[3], *item_ids[30:]], values[[39, *range(30, 40)]], {"title": ["new"] * 11})
    store.delete("items_a", [item_ids[0], "unknown", item_ids[39], item_ids[17], item_ids[0]])
    store.delete("items_a", [item_ids[39]])
    store.upsert("items_a", [item_ids[17]], values[[17]], {"title": ["back"], "other": ["x"]})
    left = [row for row in range(40) if row not in (0, 39)]
    stored = store.load("items_a")
    assert list(stored.item_ids) == [item_ids[row] for row in left]
    assert np.allclose(stored.vectors_ID, values[[39 if row == 3 else row for row in left]], atol=1e-6)
    titles = dict(zip(stored.item_ids, stored.fields["title"], strict=True))
    assert titles == {item_ids[r]: "back" if r == 17 else "new" if r == 3 or r >= 30 else item_ids[r] for r in left}
    assert stored.fields["share"][left.index(3)] == stored.fields["share"][-1] == ""
    assert [hits[0][0] for hits in store.search("items_live", values[[35, 17]], num_results=2)] == [
        item_ids[35],
        item_ids[17],
    ]


def test_what_does_not_fit_a_collection_is_not_taken_into_it(store):
    item_ids, values = planted(3)
    store.create_collection("items_a", item_ids, values, {})
    with pytest.raises(InvalidRequestError, match="numbers do not fit collection 'items_a', whose vectors have 8"):
        store.upsert("items_a", ["new"], np.ones((1, 4), np.float32), {})
    with pytest.raises(InvalidRequestError, match="repeat"):
        store.upsert("items_a", ["new", "new"], values[:2], {})
    with pytest.raises(NotFoundError, match="items_b"):
        store.upsert("items_b", ["new"], values[:1], {})
    with pytest.raises(NotFoundError, match="items_b"):
        store.delete("items_b", ["new"])
    assert list(store.load("items_a").item_ids) == item_ids


def test_a_collection_says_what_it_was_made_for(store):
    item_ids, values = planted(3)
    said = {"release_id": "r1", "fingerprints": {"text": 'a"b', "image": "é"}}
    store.create_collection("items_a", item_ids, values, {}, description=said)
    store.create_collection("items_b", item_ids, values, {})
    store.point_alias("items_live", "items_a")
    store.upsert("items_a", ["new"], values[:1], {})
    assert store.describe("items_a") == store.describe("items_live") == said
    assert store.describe("items_b") == {}
    with pytest.raises(NotFoundError, match="items_c"):
        store.describe("items_c")
